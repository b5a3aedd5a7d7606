"""Whether an adapted detector is worse than the old one: both on the same sounds, with exact paired tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from speechtl.limits import rate_high

LEVEL = 0.05  # of the tests, one-sided
MOST_LOST = 0.02  # of the words or clips, however few: a test of few cannot tell
PRICE = 0.04  # of the words that silence may cost, also if a test can tell, where false alarms became fewer by such a test
NEAR = 2.0  # log-odds below the threshold at which events are also counted: at the threshold they are rare

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Line:
    """A line of the table: what is counted, of how many, with the old detector and the new, and the units that got better and worse."""

    what: str
    of: int
    old: int
    new: int
    better: int
    worse: int
    p: float  # of so many units that got worse, or more, if worse were as likely as better (McNemar, sign test)
    reason: str = ""  # why this is worse, or empty

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON."""
        return asdict(self)


def words_found(what: str, old: Counts, new: Counts, of: int, price: float = 0.0) -> Line:
    """Words that are found, by unit: a recording in several conditions, or a clip; a `price` is the share of them that may be lost."""
    better, worse = int((new > old).sum()), int((new < old).sum())
    p = chance(worse, better)
    lost = int(old.sum() - new.sum())
    reason = ""
    if lost > price * of if price > 0.0 else p < LEVEL or lost > MOST_LOST * of:
        reason = f"{what}: {worse} of {len(old)} are found less often than before, and {better} more often"
        reason += f"; {lost} of {of} are lost (p = {p:.2g})"
    return Line(what, of, int(old.sum()), int(new.sum()), better, worse, p, reason)


def fires(what: str, old: Counts, new: Counts, hours: float | None = None) -> Line:
    """Events without the word, by unit: a stream, or a clip; with `hours`, an increase within the limit of the old rate is allowed."""
    better, worse = int((new < old).sum()), int((new > old).sum())
    p = chance(worse, better)
    before, after = int(old.sum()), int(new.sum())
    most = before + MOST_LOST * len(old) if hours is None else rate_high(before, hours) * hours
    reason = f"{what}: {after} where the old detector has {before} (p = {p:.2g})" if p < LEVEL or after > most else ""
    return Line(what, len(old), before, after, better, worse, p, reason)


def chance(worse: int, better: int) -> float:
    """The probability of at least `worse` of the units that changed, if both directions are as likely."""
    return float(stats.binom.sf(worse - 1, worse + better, 0.5)) if worse else 1.0


def table(lines: Sequence[Mapping[str, Any]]) -> str:
    """Lines as `Line.to_json` gives them for a terminal."""
    rows: list[tuple[str, ...]] = [("", "of", "old", "new", "better", "worse", "p", "verdict")]
    rows += [
        (*(str(line[key]) for key in ("what", "of", "old", "new", "better", "worse")), f"{line['p']:.2g}", _verdict(line)) for line in lines
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    written = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    written.append("old, new: words in all conditions, false accepts, clips; better, worse, p: recordings, moments, clips.")
    if any(row[-1] == "price" for row in rows):
        written.append(f"price: silence costs these words; up to {PRICE:.0%} of all may be lost where false alarms fall silent.")
    return "\n".join(written)


def _verdict(line: Mapping[str, Any]) -> str:
    return "WORSE" if line["reason"] else "price" if line["p"] < LEVEL else "ok"
