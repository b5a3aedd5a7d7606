"""The page of an evaluation: one HTML file without scripts or outside resources, and sound files beside it.

It answers two questions, how often the word will be missed and how often the detector will fire by mistake, each with its limits.
`report.html` is its template, `report.css` its style sheet.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from speechtl.audio.evaluation.conditions import kind_and_snr
from speechtl.audio.evaluation.hours.hearing import AFTER as QUIET
from speechtl.audio.evaluation.streams import AFTER, BEFORE
from speechtl.audio.evidence.requirements import MEASURES, shown
from speechtl.audio.evidence.slices import CONDITION, NEGATIVES, SOUND, SPEAKER, by_kind, worst_first, worst_of_words
from speechtl.limits import rate_high
from speechtl.runtime.trigger import GRACE
from speechtl.text import counted, one_line

CLAIM = 0.5  # false accepts per hour that a product may claim
SHOWN = 12  # rows of a list or table; the rest is collapsed
MOST_ROWS = 300  # of slices of one kind
LISTED = 4  # conditions; more become a table of kinds and ratios
HEADINGS = {
    CONDITION: "In quiet and in other surroundings",
    SOUND: "False accepts by kind of sound, the worst first",
    NEGATIVES: "False accepts by manifest or folder, the worst first",
    SPEAKER: "Speaker by speaker, the worst first",
    "age": "By age, the worst first",
    "sex": "By sex, the worst first",
    "accent": "By accent, the worst first",
    "device": "By device, the worst first",
    "room": "By room, the worst first",
    "distance": "By distance to the microphone, the worst first",
}

WIDTH, HEIGHT = 460, 330  # of the plot; small, so that its text stays legible on a telephone
LEFT, RIGHT, TOP, BOTTOM = 92, 446, 26, 272  # of the logarithmic part
ZERO = 60  # x of a rate of zero, which a logarithmic axis cannot show
MISS_TOPS = (5, 10, 20, 50, 100)  # per cent, at the top of the plot

Line = tuple[str, str]  # the class of an SVG path, and its data


def page(report: Mapping[str, Any], players: Mapping[str, Sequence[str | None]] | None = None) -> str:
    """The HTML page of a report of `evaluate`; `players` are files beside it, for the first entries of its lists."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        finalize=_in_line,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    filters = {"counted": counted, "number": _number, "percent": _percent, "threshold": _threshold}
    environment.filters |= filters | {
        "misses": _misses,
        "false_accepts": _false_accepts,
        "rate": _rate,
        "delay": _delay,
        "basename": _basename,
        "value": _value,
        "measure": _measure,
    }
    constants = {
        "SHOWN": SHOWN,
        "MOST_ROWS": MOST_ROWS,
        "LISTED": LISTED,
        "BEFORE": BEFORE,
        "AFTER": AFTER,
        "QUIET": QUIET,
        "GRACE": GRACE,
    }
    # The threshold in use may read like another, so rows are kept once.
    det = dict.fromkeys((_threshold(value), _percent(1 - recall), _number(rate)) for value, recall, rate in report["det"])
    slices = report["slices"]
    parts = {"slices": list(_slices(slices)), "grid": _grid(slices), "worst": worst_of_words(slices), "players": players or {}}
    model = Path(report["model"]).name
    return environment.get_template("report.html").render(report=report, model=model, plot=_plot(report), det=det, **parts, **constants)


def _in_line(value: object) -> object:
    """Escape the control characters of everything that is put into the template, apart from the output of its own macros."""
    return one_line(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _slices(slices: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str, list[Mapping[str, Any]]]]:
    for kind, parts in by_kind(slices).items():
        yield HEADINGS.get(kind, kind), kind, worst_first(parts)


@dataclass(frozen=True)
class _Grid:
    """Conditions as a table: a row for each kind, a column for each signal-to-noise ratio."""

    columns: list[str]  # "20 dB"; "" for conditions without one
    rows: dict[str, dict[str, Mapping[str, Any]]]


def _grid(slices: Sequence[Mapping[str, Any]]) -> _Grid:
    rows: dict[str, dict[str, Mapping[str, Any]]] = {}
    for part in slices:
        if part["kind"] == "condition":
            kind, snr = kind_and_snr(part["name"])
            rows.setdefault(kind, {})[snr] = part
    columns = {snr: float(snr.removesuffix(" dB") or "inf") for row in rows.values() for snr in row}
    return _Grid(sorted(columns, key=lambda snr: -columns[snr]), rows)


def _misses(counts: Mapping[str, Any]) -> str:
    clips = counts["clips"]
    if not clips:
        return "was tested on no recording of the word: it may miss 0 to 100 %"
    low, high = _percent(1 - counts["recall_high"]), _percent(1 - counts["recall_low"])
    return f"misses {clips - counts['detected']} of {clips} = {_percent(1 - counts['recall'])} % ({low} to {high} %)"


def _false_accepts(counts: Mapping[str, Any]) -> str:
    events, hours, high = counts["events"], counts["hours"], counts["per_hour_high"]
    found = f"{counted(events, 'false accept')} in {_number(hours)} h: at most {_number(high)} per hour with 95 % confidence"
    if high <= CLAIM or events / hours >= CLAIM:
        return found
    needed = f"{rate_high(events, 1.0) / CLAIM:.1f}".removesuffix(".0")
    return f"{found}; to claim {CLAIM:g} per hour you need {needed} hours {'with no more of them' if events else 'without one'}"


def _rate(counts: Mapping[str, Any]) -> str:
    found = f"{counts['events']} in {_number(counts['hours'])} h = {_number(counts['per_hour'])} per hour"
    return f"{found} (at most {_number(counts['per_hour_high'])})"


def _delay(delays: Mapping[str, float | None]) -> str:
    """The median and, in parentheses, the 95 % of delays."""
    most = "" if delays["p95"] is None else f" ({delays['p95']:.0f})"
    return "none" if delays["p50"] is None else f"{delays['p50']:.0f} ms{most}"


def _measure(name: str) -> str:
    """A measure of requirements for people."""
    return MEASURES[name]


def _value(value: float, measure: str) -> str:
    return shown(measure, value)


def _basename(path: str) -> str:
    return Path(path).name or path


@dataclass(frozen=True)
class _Axes:
    """The axes of the plot: rates (logarithmic, with zero apart) and proportions of misses."""

    low: int  # power of ten
    high: int
    top: float  # per cent

    @classmethod
    def around(cls, report: Mapping[str, Any]) -> _Axes:
        """Choose axes that hold every rate, and the misses near the operating point."""
        rates = [rate for *_, rate in report["det"]] + [report["negatives"]["per_hour"], report["negatives"]["per_hour_high"]]
        logs = [math.log10(rate) for rate in rates if rate > 0]
        low, high = math.floor(min(logs)), math.ceil(max(logs))
        most = 200 * (1 - report["positives"]["recall_low"])
        return cls(low, max(high, low + 1), next((top for top in MISS_TOPS if top >= most), 100))

    def x(self, rate: float) -> float:
        """The place of a rate per hour."""
        return LEFT + (math.log10(rate) - self.low) / (self.high - self.low) * (RIGHT - LEFT) if rate > 0 else ZERO

    def y(self, miss: float) -> float:
        """The place of a proportion of misses."""
        return BOTTOM - 100 * miss / self.top * (BOTTOM - TOP)

    def rates(self) -> list[float]:
        """The rates to write at the axis."""
        steps = (1, 2, 5) if self.high - self.low <= 3 else (1,)
        ticks = [step * 10.0**power for power in range(self.low, self.high) for step in steps]
        return [0.0, *ticks, 10.0**self.high]


def _plot(report: Mapping[str, Any]) -> dict[str, Any]:
    """Lines, points and texts of the plot of misses against false accepts."""
    axes, words, noise = _Axes.around(report), report["positives"], report["negatives"]
    marks = [(axes.top * fifth / 5, axes.y(axes.top * fifth / 500)) for fifth in range(6)]
    rates = [(rate, axes.x(rate)) for rate in axes.rates()]
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "top": TOP,
        "bottom": BOTTOM,
        "middle": (ZERO + RIGHT) / 2,
        "lines": [
            *(_line("grid", (ZERO - 14, y), (RIGHT, y)) for _, y in marks),
            *(_line("grid", (x, TOP), (x, BOTTOM + 4)) for _, x in rates),
            *_broken_axis(),
        ],
        "misses": [(ZERO - 20, f"{y + 4:.1f}", f"{value:g}") for value, y in marks],
        "rates": [(f"{x:.1f}", f"{rate:g}") for rate, x in rates],
        "curve": [*_curve(axes, report["det"])],
        "dots": [(f"{axes.x(rate):.1f}", f"{axes.y(1 - recall):.1f}", value, recall, rate) for value, recall, rate in report["det"]],
        "limits": [*_limits(axes, words, noise)],
        "point": (f"{axes.x(noise['per_hour']):.1f}", f"{axes.y(1 - words['recall']):.1f}"),
    }


def _broken_axis() -> Iterator[Line]:
    """The axis of rates, broken between zero and the logarithmic part."""
    left, right = (ZERO + LEFT) / 2 - 3, (ZERO + LEFT) / 2 + 3
    yield _line("axis", (ZERO - 14, BOTTOM), (left, BOTTOM))
    yield _line("axis", (right, BOTTOM), (RIGHT, BOTTOM))
    yield from (_line("axis", (x - 3, BOTTOM + 6), (x + 3, BOTTOM - 6)) for x in (left, right))


def _curve(axes: _Axes, det: Sequence[Sequence[float]]) -> Iterator[Line]:
    """The line through the rows, from the threshold with the most false accepts on: one that scores hardly fall below makes no events."""
    most = max(range(len(det)), key=lambda row: det[row][2], default=0)
    for (_, recall, rate), (_, next_recall, next_rate) in pairwise(det[most:]):
        kind = "curve" if (rate > 0) == (next_rate > 0) else "curve jump"
        yield _line(kind, (axes.x(rate), axes.y(1 - recall)), (axes.x(next_rate), axes.y(1 - next_recall)))


def _limits(axes: _Axes, words: Mapping[str, Any], noise: Mapping[str, Any]) -> Iterator[Line]:
    x, y, right = axes.x(noise["per_hour"]), axes.y(1 - words["recall"]), axes.x(noise["per_hour_high"])
    ends = [axes.y(1 - words[limit]) for limit in ("recall_low", "recall_high")]
    yield _line("limits", (x, ends[0]), (x, ends[1]))
    yield from (_line("limits", (x - 5, end), (x + 5, end)) for end in ends)
    yield _line("limits", (x, y), (right, y))
    yield _line("limits", (right, y - 5), (right, y + 5))


def _line(kind: str, start: tuple[float, float], end: tuple[float, float]) -> Line:
    return kind, f"M{start[0]:.1f} {start[1]:.1f}L{end[0]:.1f} {end[1]:.1f}"


def _percent(proportion: float) -> str:
    return f"{100 * proportion:.1f}"


def _number(value: float) -> str:
    """A rate or hours with about three digits."""
    if value == 0 or 0.1 <= value < 100:
        return f"{value:.2f}".removesuffix(".00")
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}"


def _threshold(value: float) -> str:
    """A threshold with enough digits to see its distance from 0 and from 1: 0.68, 0.999."""
    if not 0 < value < 1:
        return f"{value:g}"
    digits = max(2, 1 - math.floor(math.log10(min(value, 1 - value))))
    return f"{value:.{digits}f}".rstrip("0").ljust(4, "0")
