"""The page of an evaluation: one HTML file without scripts or outside resources, which a maker reads in a minute.

It answers two questions, how often the word will be missed and how often the detector will fire by mistake, each with its limits.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape as escape_html
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

from speechtl.audio.evaluation.streams import BEFORE, BEHIND, BETWEEN
from speechtl.limits import rate_high
from speechtl.runtime.trigger import GRACE
from speechtl.text import counted, one_line

CLAIM = 0.5  # false accepts per hour that a maker wants to promise
SHOWN = 12  # rows of a list or table; the rest is collapsed
HEADINGS = {"condition": "In quiet and in noise", "speaker": "Speaker by speaker, the most missed first"}

WIDTH, HEIGHT = 460, 330  # of the plot; small, so that its text stays legible on a telephone
LEFT, RIGHT, TOP, BOTTOM = 92, 446, 26, 272  # of the logarithmic part
ZERO = 60  # x where a rate of zero stands, which a logarithmic axis has no place for
MISS_TOPS = (5, 10, 20, 50, 100)  # per cent, at the top of the plot

STYLE = """
:root {
  color-scheme: light;
  --page: #fff; --card: #f4f6f8; --text: #16191d; --muted: #50575f; --rule: #c9ced4; --line: #5c6670; --mark: #a3260b;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    color-scheme: dark;
    --page: #14171a; --card: #1f2428; --text: #eceef0; --muted: #b0b7bf; --rule: #454c54; --line: #9aa4ae; --mark: #ff9d7e;
  }
}
* { box-sizing: border-box }
body { margin: 0 auto; padding: 1rem; max-width: 52rem; background: var(--page); color: var(--text);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; overflow-wrap: anywhere }
h1 { margin: .3rem 0; font-size: 1.7rem; line-height: 1.2 }
h2 { margin: 2rem 0 .4rem; font-size: 1.2rem }
p { margin: .4rem 0 }
.muted, figcaption, caption { color: var(--muted); font-size: .9rem }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(19rem, 100%), 1fr)); gap: 1rem; margin: 1rem 0 }
.card { padding: .8rem 1rem; background: var(--card); border: 1px solid var(--rule); border-radius: .5rem }
.card h2 { margin: 0; font-size: 1rem }
.big { margin: 0; font-size: 2.4rem; font-weight: 700; line-height: 1.3 }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; margin: 0 }
dt { color: var(--muted) }
dd { margin: 0 }
figure { margin: 0; max-width: 38rem }
svg { display: block; width: 100%; overflow: visible }
svg text { fill: var(--muted); font-size: 13px }
.grid { stroke: var(--rule); stroke-width: 1 }
.axis, .curve { stroke: var(--line); fill: none; stroke-width: 1.5 }
.curve { stroke-width: 2 }
.jump { stroke-dasharray: 4 4 }
.dot { fill: var(--line) }
.limits { stroke: var(--mark); fill: none; stroke-width: 2.5 }
.point { fill: var(--mark) }
table { width: 100%; border-collapse: collapse; table-layout: fixed; font-variant-numeric: tabular-nums }
caption { text-align: left }
th, td { padding: .25rem .6rem .25rem 0; text-align: left; font-weight: 400; font-size: .9rem }
thead th, thead td { color: var(--muted); border-bottom: 1px solid var(--rule); vertical-align: bottom }
.plot { position: relative; width: 32% }
.plot svg { position: absolute; inset: 0 auto 0 6%; width: 84%; height: 100% }
.count { width: 5rem }
.recall { width: 12.5rem }
.delay { width: 5.4rem }
summary { cursor: pointer; padding: .3rem 0 }
code { font-size: .85rem }
ul { margin: .3rem 0; padding-left: 1.2rem }
@media (max-width: 34rem) {
  .delay { display: none }
  figure text { font-size: 15px }
  .plot { width: 28% }
  .plot svg { width: 76% }
  .count { width: 4.7rem }
  .recall { width: 6.6rem }
  dl { grid-template-columns: 1fr; gap: 0 }
  dd { margin-bottom: .4rem }
}
@media print {
  body { max-width: none; padding: 0; font-size: .85rem }
  figure, tr, .card { break-inside: avoid }
  h2, caption { break-after: avoid }
  figure { max-width: 26rem }
}
"""


def escape(text: str) -> str:
    """A text as HTML shows it, whatever characters it has."""
    return escape_html(one_line(text))


def page(report: Mapping[str, Any]) -> str:
    """Return the HTML page of a report of `evaluate`."""
    name = escape(report["name"])
    parts = [
        f"<h1>“<bdi>{name}</bdi>”: how often it misses, how often it fires by mistake</h1>",
        '<p class="muted">Measured on recordings that the model was not trained on. '
        f"Model: <bdi>{escape(Path(report['model']).name)}</bdi>{', ' + escape(report['graph']) if report['graph'] else ''}</p>",
        _cards(report),
        _facts(report),
        _trade(report),
        *_slices(report["slices"], report["positives"]["recall"]),
        _files("Missed recordings", [_file(file) for file in report["missed"]]),
        _files("False accepts", [f"{_file(event['file'])} at {event['time']:.2f} s" for event in report["false_accepts"]]),
        _method(report),
    ]
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{name}: misses and false accepts</title>",
            f"<style>{STYLE}</style>\n</head>\n<body>\n<main>",
            *parts,
            "</main>\n</body>\n</html>\n",
        ]
    )


def _cards(report: Mapping[str, Any]) -> str:
    words, noise = report["positives"], report["negatives"]
    beside = noise["events_beside_words"]
    missed = f"{100 * _miss(words):.1f} %" if words["clips"] else "unknown"
    fired = f"{_number(noise['per_hour'])} per hour" if noise["events"] else f"none in {_number(noise['hours'])} h"
    others = [part for part in report["slices"] if part["kind"] == "condition" and part["name"] != "clean"]
    return "\n".join(
        [
            '<div class="cards">\n<section class="card"><h2>How often it misses</h2>',
            f'<p class="big">{missed}</p><p>It {_misses(words)} with 95 % confidence.</p>',
            *(f'<p class="muted">With {escape(part["name"])} it {_misses(part)}.</p>' for part in others),
            '</section>\n<section class="card"><h2>How often it fires by mistake</h2>',
            f'<p class="big">{fired}</p><p>{_false_accepts(noise)}.</p>',
            f'<p class="muted">Of these, {counted(beside, "event")} stood beside the words in the stream of positives.</p>'
            if beside
            else "",
            "</section>\n</div>",
        ]
    )


def _misses(counts: Mapping[str, Any]) -> str:
    clips = counts["clips"]
    if not clips:
        return "heard no recording of the word: it may miss 0 to 100 %"
    low, high = 100 * (1 - counts["recall_high"]), 100 * (1 - counts["recall_low"])
    return f"misses {clips - counts['detected']} of {clips} = {100 * _miss(counts):.1f} % ({low:.1f} to {high:.1f} %)"


def _miss(counts: Mapping[str, Any]) -> float:
    return 1.0 - float(counts["recall"])


def _false_accepts(counts: Mapping[str, Any]) -> str:
    events, hours, high = counts["events"], counts["hours"], counts["per_hour_high"]
    found = f"{counted(events, 'false accept')} in {_number(hours)} h: at most {_number(high)} per hour with 95 % confidence"
    if high <= CLAIM or events / hours >= CLAIM:
        return found
    needed = f"{rate_high(events, 1.0) / CLAIM:.1f}".removesuffix(".0")
    return f"{found}; to claim {CLAIM:g} per hour you need {needed} hours {'with no more of them' if events else 'without one'}"


def _facts(report: Mapping[str, Any]) -> str:
    delay, detector = report["delay_ms"], report["detector"]
    later = "no word was detected"
    if delay["p50"] is not None:
        later = (
            f"at most {delay['p50']:.0f} ms for half of the detected words, {delay['p95']:.0f} ms for 95 %, from a word’s end to the event"
        )
    return (
        f"<dl><dt>Delay</dt><dd>{later}</dd>\n"
        f"<dt>Threshold</dt><dd>{_threshold(report['threshold'])} ({report['threshold_source']}) on the average score of "
        f"{counted(detector['smoothing'], 'step')}; after an event none for {detector['refractory']:g} s</dd></dl>"
    )


@dataclass(frozen=True)
class _Axes:
    """Where a rate (logarithmic, with zero apart) and a proportion of misses stand in the plot."""

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
        """Return where a rate per hour stands."""
        return LEFT + (math.log10(rate) - self.low) / (self.high - self.low) * (RIGHT - LEFT) if rate > 0 else ZERO

    def y(self, miss: float) -> float:
        """Return where a proportion of misses stands."""
        return BOTTOM - 100 * miss / self.top * (BOTTOM - TOP)

    def rates(self) -> list[float]:
        """Return the rates to write at the axis."""
        steps = (1, 2, 5) if self.high - self.low <= 3 else (1,)
        ticks = [step * 10.0**power for power in range(self.low, self.high) for step in steps]
        return [*ticks, 10.0**self.high]


def _trade(report: Mapping[str, Any]) -> str:
    threshold = _threshold(report["threshold"])
    words = (
        f"Large dot: the threshold in use, {threshold}, with its 95 % limits. Line: what other thresholds would have done on the same "
        "recordings; a higher one misses more and fires less by mistake. At the left edge, apart from the scale: no false accept at all."
    )
    rows = [(_threshold(value), f"{100 * (1 - recall):.1f} %", _number(rate)) for value, recall, rate in report["det"]]
    return "\n".join(
        [
            "<h2>Misses against false accepts</h2>\n<figure>",
            _det(report),
            f"<figcaption>{words}</figcaption>\n</figure>",
            "<details><summary>The same as a table</summary>",
            _table(("Threshold", "Missed", "False accepts per hour"), dict.fromkeys(rows)),  # the threshold in use may read like another
            "</details>",
        ]
    )


def _det(report: Mapping[str, Any]) -> str:
    axes = _Axes.around(report)
    threshold, miss, rate = _threshold(report["threshold"]), _miss(report["positives"]), report["negatives"]["per_hour"]
    return "\n".join(
        [
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="det-title det-description">',
            '<title id="det-title">Misses against false accepts per hour, by threshold</title>',
            f'<desc id="det-description">At the threshold in use, {threshold}, {100 * miss:.1f} % of the words are missed and there are '
            f"{_number(rate)} false accepts per hour. The table below the plot has the other thresholds.</desc>",
            f'<clipPath id="det-area"><rect x="0" y="{TOP - 6}" width="{WIDTH}" height="{BOTTOM - TOP + 12}"/></clipPath>',
            *_scales(axes),
            '<g clip-path="url(#det-area)">',
            *_curve(axes, report["det"]),
            *_operating_point(axes, report),
            "</g>\n</svg>",
        ]
    )


def _scales(axes: _Axes) -> Iterable[str]:
    yield f'<text x="6" y="{TOP - 12}">missed, %</text>'
    for fifth in range(6):
        value = axes.top * fifth / 5
        y = axes.y(value / 100)
        yield f'{_path("grid", (ZERO - 14, y), (RIGHT, y))}<text x="{ZERO - 20}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>'
    for rate in (0.0, *axes.rates()):
        x = axes.x(rate)
        yield f'{_path("grid", (x, TOP), (x, BOTTOM + 4))}<text x="{x:.1f}" y="{BOTTOM + 20}" text-anchor="middle">{rate:g}</text>'
    middle = (ZERO + LEFT) / 2
    yield _path("axis", (ZERO - 14, BOTTOM), (middle - 3, BOTTOM)) + _path("axis", (middle + 3, BOTTOM), (RIGHT, BOTTOM))
    yield from (_path("axis", (x - 3, BOTTOM + 6), (x + 3, BOTTOM - 6)) for x in (middle - 3, middle + 3))
    yield f'<text x="{(ZERO + RIGHT) / 2}" y="{BOTTOM + 44}" text-anchor="middle">false accepts per hour</text>'


def _curve(axes: _Axes, det: Sequence[Sequence[float]]) -> Iterable[str]:
    for (_, recall, rate), (_, next_recall, next_rate) in pairwise(det):
        kind = "curve" if (rate > 0) == (next_rate > 0) else "curve jump"
        yield _path(kind, (axes.x(rate), axes.y(1 - recall)), (axes.x(next_rate), axes.y(1 - next_recall)))
    for threshold, recall, rate in det:
        words = f"threshold {_threshold(threshold)}: {100 * (1 - recall):.1f} % missed, {_number(rate)} false accepts per hour"
        yield f'<circle class="dot" cx="{axes.x(rate):.1f}" cy="{axes.y(1 - recall):.1f}" r="3"><title>{words}</title></circle>'


def _operating_point(axes: _Axes, report: Mapping[str, Any]) -> Iterable[str]:
    words, noise = report["positives"], report["negatives"]
    x, y, right = axes.x(noise["per_hour"]), axes.y(_miss(words)), axes.x(noise["per_hour_high"])
    ends = [axes.y(1 - words[limit]) for limit in ("recall_low", "recall_high")]
    yield _path("limits", (x, ends[0]), (x, ends[1]))
    yield from (_path("limits", (x - 5, end), (x + 5, end)) for end in ends)
    yield _path("limits", (x, y), (right, y)) + _path("limits", (right, y - 5), (right, y + 5))
    yield f'<circle class="point" cx="{x:.1f}" cy="{y:.1f}" r="6"><title>{_misses(words)}; {_false_accepts(noise)}</title></circle>'


def _path(kind: str, start: tuple[float, float], end: tuple[float, float]) -> str:
    return f'<path class="{kind}" d="M{start[0]:.1f} {start[1]:.1f}L{end[0]:.1f} {end[1]:.1f}"/>'


def _slices(slices: Sequence[Mapping[str, Any]], recall: float) -> Iterable[str]:
    for kind, group in groupby(slices, key=lambda part: str(part["kind"])):
        parts = list(group)
        if kind == "speaker":
            parts.sort(key=lambda part: part["recall"])
        yield f"<h2>{escape(HEADINGS.get(kind, kind))}</h2>"
        if kind == "condition" and len(parts) == 1:
            yield '<p class="muted">Only clean recordings were played. Evaluate with <code>--noise</code> to know about noise.</p>'
        yield _forest(parts[:SHOWN], kind, recall)
        if parts[SHOWN:]:
            yield f"<details><summary>{len(parts) - SHOWN} more</summary>{_forest(parts[SHOWN:], kind, recall)}</details>"


def _forest(parts: Iterable[Mapping[str, Any]], kind: str, recall: float) -> str:
    scale = "".join(f'<text x="{x}%" y="90%" text-anchor="middle">{x}</text>' for x in (0, 50, 100))
    rows = "\n".join(_forest_row(part, recall) for part in parts)
    return (
        "<table><caption>Detected words in %, with 95 % limits; dashed: all clean recordings</caption>\n"
        f'<thead><tr><th scope="col">{escape(kind.capitalize())}</th>'
        f'<td class="plot"><svg aria-hidden="true"><title>Per cent detected</title>{scale}</svg></td>'
        '<th scope="col" class="count">Words</th><th scope="col" class="recall">Recall</th>'
        f'<th scope="col" class="delay">Delay p50</th></tr></thead>\n<tbody>\n{rows}\n</tbody></table>'
    )


def _forest_row(part: Mapping[str, Any], recall: float) -> str:
    value, low, high = (100 * part[key] for key in ("recall", "recall_low", "recall_high"))
    delay = part["delay_ms"]["p50"]
    numbers = f"{value:.1f} % ({low:.1f} to {high:.1f} %)"
    return (
        f'<tr><th scope="row"><bdi>{escape(part["name"])}</bdi></th>'
        f'<td class="plot">{_interval(value, low, high, 100 * recall, numbers)}</td>'
        f'<td class="count">{part["detected"]} of {part["clips"]}</td><td class="recall">{numbers}</td>'
        f'<td class="delay">{"none" if delay is None else f"{delay:.0f} ms"}</td></tr>'
    )


def _interval(value: float, low: float, high: float, overall: float, words: str) -> str:
    """Draw a value and its limits in per cent of the cell's width; the numbers stand in the row, so readers of the text skip it."""
    uprights = "".join(_upright("grid", x) for x in (0, 50, 100)) + _upright("axis jump", overall)
    return (
        f'<svg aria-hidden="true"><title>{words}</title>{uprights}'
        f'<line class="limits" x1="{low:.2f}%" x2="{high:.2f}%" y1="50%" y2="50%"/>'
        f'<circle class="point" cx="{value:.2f}%" cy="50%" r="5"/></svg>'
    )


def _upright(kind: str, x: float) -> str:
    return f'<line class="{kind}" x1="{x:.2f}%" x2="{x:.2f}%" y1="0" y2="100%"/>'


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    body = "\n".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table>"


def _files(title: str, items: Sequence[str]) -> str:
    if not items:
        return f"<h2>{title}</h2>\n<p>None.</p>"
    listing = "<ul>\n" + "\n".join(f"<li>{item}</li>" for item in items) + "\n</ul>"
    if len(items) > SHOWN:
        listing = f"<details><summary>Show all {len(items)}</summary>\n{listing}\n</details>"
    return f"<h2>{title}: {len(items)}</h2>\n{listing}"


def _file(name: str) -> str:
    return f"<code><bdi>{escape(name)}</bdi></code>"


def _method(report: Mapping[str, Any]) -> str:
    words, noise = report["positives"], report["negatives"]
    return (
        "<h2>How it was measured</h2>\n"
        f"<p>The detector heard {counted(words['clips'], 'recording')} of the word in one running stream: it kept its "
        f"state from one to the next and heard at least {BEFORE:g} s of background before each and {BEHIND:g} s behind it. A word counts "
        f"once, as detected, when an event falls between the word’s start and {GRACE:g} s after its end. A delay runs from the word’s end "
        "to the event; below zero, the event came before the word was over.</p>\n"
        f"<p>The negatives, {_number(noise['hours'])} h without the word, are one continuous stream too, with {BETWEEN:g} s of quiet "
        "between recordings that is not counted; every event in it is a false accept, and so is every one in the other stream that is no "
        "word’s. Sounds that are not among these recordings are not covered.</p>\n"
        "<p>All limits are 95 % and exact: two limits for misses and recall (Clopper and Pearson), an upper limit for false accepts "
        "(Poisson). They cover the chance in so many recordings, not voices, rooms and microphones unlike these. A model’s own "
        "threshold is chosen on validation recordings, never on those reported here. The other thresholds in the plot are for "
        "comparison: choosing one of them calls for new recordings to test it on.</p>"
    )


def _number(value: float) -> str:
    """Write a rate or hours with about three digits."""
    if value == 0 or 0.1 <= value < 100:
        return f"{value:.2f}".removesuffix(".00")
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}"


def _threshold(value: float) -> str:
    """Write a threshold so that its distance from 0 and from 1 can be told: 0.68, 0.999."""
    if not 0 < value < 1:
        return f"{value:g}"
    digits = max(2, 1 - math.floor(math.log10(min(value, 1 - value))))
    return f"{value:.{digits}f}".rstrip("0").ljust(4, "0")
