"""What a tally shows of each detector: false accepts in hours of daily use, with exact limits."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from speechtl.errors import SpeechtlError
from speechtl.runtime.listen.clips import NOT_WORD, UNSURE, VERDICTS, WORD
from speechtl.runtime.listen.tally_file import EVENT, HEARD, NEAR, VERDICT, Line, Which, read_lines
from speechtl.runtime.samples import Json
from speechtl.text import one_line

NONE = "none"  # no verdict
CONFIDENCE = 0.95


@dataclass
class Evidence:
    """The daily use of a detector: hours, and events and near misses by verdict ("none" where nobody has said)."""

    word: str
    bundle: str
    threshold: float
    hours: float = 0.0
    events: Counter[str] = field(default_factory=Counter)
    near: Counter[str] = field(default_factory=Counter)

    @property
    def false_accepts(self) -> tuple[int, int]:
        """The least number of false accepts and the greatest: events without a clear verdict may be false."""
        return self.events[NOT_WORD], self.events.total() - self.events[WORD]

    @property
    def per_hour_high(self) -> float:
        """The upper 95 % limit of false accepts per hour, where every event without a clear verdict is one."""
        return events_high(self.false_accepts[1]) / self.hours if self.hours else math.inf

    def to_json(self) -> Json:
        """The fields as JSON."""
        least, most = self.false_accepts
        high = self.per_hour_high
        return {
            "word": self.word,
            "bundle": self.bundle,
            "threshold": self.threshold,
            "hours": round(self.hours, 3),
            "events": dict(self.events),
            "near_misses": dict(self.near),
            "false_accepts": [least, most],
            "per_hour_high": None if math.isinf(high) else high,
        }

    def __str__(self) -> str:
        least, most = self.false_accepts
        false = str(most) if least == most else f"{least} to {most}"
        limit = f": at most {_digits(self.per_hour_high)} an hour with 95 % confidence" if self.hours else ""
        which = f"bundle {one_line(self.bundle) or 'unknown'}, threshold {self.threshold:.4g}"
        return "\n".join(
            [
                f"{one_line(self.word)} ({which}): {self.hours:.1f} hours",
                f"  events         {_by_verdict(self.events)}",
                f"  false accepts  {false}{limit}",
                f"  near misses    {_by_verdict(self.near)}",
            ]
        )


def read_evidence(path: Path) -> tuple[list[Evidence], int]:
    """The evidence of a tally, the detector heard last at the end, and the number of lines that cannot be used.

    Verdicts are those of the clips' folders, and of clips that have gone since, those in the tally.
    """
    try:
        lines, damaged = read_lines(path)
    except FileNotFoundError as error:
        raise SpeechtlError(f"{path} does not exist. A tally is written by: speechtl listen ... --tally {path}") from error
    if damaged and not lines:
        raise SpeechtlError(f"{path} is not a tally of speechtl listen --tally.")
    return _collected(lines), damaged


def _collected(lines: Iterable[Line]) -> list[Evidence]:
    found: dict[Which, Evidence] = {}
    happened: dict[tuple[Which, str], list[Line]] = {}
    said: dict[str, str] = {}
    for line in lines:
        if line["what"] == VERDICT:
            said[line["clip"]] = line["verdict"]
            continue
        which = (line["word"], line["bundle"], float(line["threshold"]))
        one = found.pop(which, Evidence(*which))
        found[which] = one
        if line["what"] == HEARD:
            one.hours += line["seconds"] / 3600.0
        else:
            happened.setdefault((which, line["what"]), []).append(line)
    for (which, what), events in happened.items():
        verdicts = Counter(_verdict(line.get("clip"), said) for line in events)
        if what == EVENT:
            found[which].events = verdicts
        elif what == NEAR:
            found[which].near = verdicts
    return list(found.values())


def _verdict(clip: str | None, said: dict[str, str]) -> str:
    if clip is None:
        return NONE
    path = Path(clip)
    now = (verdict for verdict in VERDICTS if os.path.isfile(path.parent / verdict / path.name))  # noqa: PTH113, false for any text
    return next(now, said.get(clip, NONE))


def events_high(events: int) -> float:
    """The upper 95 % limit of the mean of a Poisson distribution of which `events` were seen: 3.00 for none.

    The mean at which so few events have a probability of 5 % (Garwood 1936); by bisection, because devices have no scipy.
    """
    low, high = 0.0, events + 10.0 * math.sqrt(events + 1.0)
    for _ in range(100):
        middle = (low + high) / 2.0
        low, high = (middle, high) if _at_most(events, middle) > 1.0 - CONFIDENCE else (low, middle)
    return high


def _at_most(events: int, mean: float) -> float:
    """The probability of at most so many events."""
    return math.fsum(math.exp(number * math.log(mean) - mean - math.lgamma(number + 1)) for number in range(events + 1))


def _by_verdict(verdicts: Counter[str]) -> str:
    names = {WORD: "the word", NOT_WORD: "not the word", UNSURE: "unsure", NONE: "without a verdict"}
    parts = ", ".join(f"{verdicts[verdict]} {name}" for verdict, name in names.items() if verdicts[verdict])
    return f"{verdicts.total()}{f': {parts}' if parts else ''}"


def _digits(rate: float) -> str:
    return f"{rate:.0f}" if rate >= 10.0 else f"{rate:.2g}"
