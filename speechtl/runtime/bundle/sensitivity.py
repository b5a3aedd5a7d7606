"""A detector's sensitivity in false accepts a day: the threshold for a rate, and what a threshold costs, with limits.

Training fits the tail of the scores of negatives and measures recall on held-out recordings; a bundle holds both, so a device can
move the threshold. Scores are log-odds here.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any

from speechtl.runtime.bundle.document import Field

HOURS_A_DAY = 24.0
HIGHEST_LOGIT = 14.0  # scores beyond are 1 in single precision
# The tail is extrapolated to one event in so many times the hours that were heard. Thresholds for rarer events were too high in a
# study with 20.9 hours to count in (training/studies/README.md), which costs recall and no false accepts.
BEYOND_HOURS = 10.0
MOST_POINTS = 200
LARGEST = 1e6  # of rates per hour and of hours
LOGITS = (-20.0, 20.0)


@dataclass(frozen=True)
class Tail:
    """Rate at which a stream without the word reaches a logit x: `per_hour(x) = rate * exp(-(x - start) / scale)`."""

    start: float
    scale: float
    rate: float  # per hour, at `start`

    def logit_for(self, per_hour: float) -> float:
        """The logit that is reached `per_hour` times an hour."""
        return self.start + self.scale * math.log(self.rate / per_hour)

    def per_hour(self, logit: float) -> float:
        """The rate at a logit; below `start`, where nothing was fitted, that of the start."""
        return self.rate * math.exp(-max(logit - self.start, 0.0) / self.scale)


@dataclass(frozen=True)
class Recall:
    """Recall in validation at one threshold (a logit), with 95 % limits."""

    logit: float
    recall: float
    low: float
    high: float


@dataclass(frozen=True)
class Setting:
    """A threshold, the false accepts a day that it aims at, and the recall that validation found; limits are 95 %.

    `beyond` is a sentence where the data cannot tell what was asked for, else empty.
    """

    threshold: float
    per_day: float
    per_day_high: float
    recall: float
    recall_low: float
    recall_high: float
    beyond: str = ""

    def __str__(self) -> str:
        recall = f"{100 * self.recall:.1f} % ({100 * self.recall_low:.1f} to {100 * self.recall_high:.1f} %)"
        accepts = "accept" if _rate(self.per_day) == "1" else "accepts"
        return (
            f"threshold {self.threshold:.4g} for {_rate(self.per_day)} false {accepts} a day "
            f"(at most {_rate(self.per_day_high)} with 95 % confidence); recall in validation {recall}"
        )


@dataclass(frozen=True)
class Sensitivity:
    """What validation tells about a word at every threshold.

    `tail` is that of an unseen kind of sound (`speechtl.audio.training.calibrate`), `high` its upper 95 % limit, `hours` the length of
    different recordings without the word, and `recalls` the recall at rising thresholds.
    """

    tail: Tail
    high: Tail
    hours: float
    recalls: tuple[Recall, ...]

    @property
    def most_per_day(self) -> float:
        """The highest rate of the fitted tail: more sensitive than that is unknown."""
        return HOURS_A_DAY * self.tail.rate

    @property
    def least_per_day(self) -> float:
        """The lowest rate that the hours heard support; less is extrapolated far beyond them."""
        return min(HOURS_A_DAY / (BEYOND_HOURS * self.hours), self.most_per_day)

    @property
    def deaf_per_day(self) -> float:
        """The rate at which validation no longer detects the word."""
        return HOURS_A_DAY * next((self.tail.per_hour(point.logit) for point in self.recalls if point.recall == 0.0), 0.0)

    def at_rate(self, per_day: float) -> Setting:
        """The threshold for a rate of false accepts a day.

        A rate above the fitted tail gets the threshold where the tail begins, so fewer false accepts than asked for. A rate below
        what the hours support gets the threshold of the extrapolated tail.
        """
        logit = min(self.tail.logit_for(min(per_day, self.most_per_day) / HOURS_A_DAY), HIGHEST_LOGIT)
        return self._setting(sigmoid(logit), logit, per_day)

    def at_threshold(self, threshold: float) -> Setting:
        """What a threshold between 0 and 1 costs."""
        logit = _in_range(_logit(threshold))
        known = logit >= self.tail.start - 1e-6
        return self._setting(threshold, logit, HOURS_A_DAY * self.tail.per_hour(logit) if known else math.inf)

    def moved(self, by: float) -> Sensitivity:
        """The sensitivity of a detector whose logits are that much higher, for words and everything else alike.

        Logits stay in the range that bundles may have, however often they have moved.
        """
        tail, high = (replace(one, start=_in_range(one.start + by)) for one in (self.tail, self.high))
        moved = {_in_range(point.logit + by): point for point in self.recalls}
        return Sensitivity(tail, high, self.hours, tuple(replace(point, logit=logit) for logit, point in moved.items()))

    def _setting(self, threshold: float, logit: float, asked: float) -> Setting:
        found = self._recall(logit)
        rates = (HOURS_A_DAY * self.tail.per_hour(logit), HOURS_A_DAY * self.high.per_hour(logit))
        return Setting(threshold, *rates, found.recall, found.low, found.high, self._beyond(asked))

    def _beyond(self, asked: float) -> str:
        if asked > self.most_per_day * (1.0 + 1e-6):
            return f"Validation tells nothing about more than {_rate(self.most_per_day)} false accepts a day."
        if asked < self.least_per_day * (1.0 - 1e-6):
            return (
                f"{self.hours:.2g} hours of validation support no rate below {_rate(self.least_per_day)} false accepts a day, so the "
                "threshold is extrapolated."
            )
        return ""

    def _recall(self, logit: float) -> Recall:
        """Recall at a logit: interpolated between thresholds that were tried, that of the nearest beyond them."""
        index = bisect_left([point.logit for point in self.recalls], logit)
        if index in (0, len(self.recalls)):
            return self.recalls[min(index, len(self.recalls) - 1)]
        before, after = self.recalls[index - 1], self.recalls[index]
        part = (logit - before.logit) / (after.logit - before.logit)
        values = (a + part * (b - a) for a, b in ((before.recall, after.recall), (before.low, after.low), (before.high, after.high)))
        return Recall(logit, *values)

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON."""
        return {
            "tail": asdict(self.tail),
            "high": asdict(self.high),
            "hours": self.hours,
            "recalls": [asdict(point) for point in self.recalls],
        }


def read_sensitivity(field: Field) -> Sensitivity | None:
    """The sensitivity in a bundle's description; None where its word was not calibrated."""
    if field.value is None:
        return None
    field.only("tail", "high", "hours", "recalls")
    recalls = tuple(_read_recall(one) for one in field["recalls"].list(1, MOST_POINTS))
    if any(after.logit <= before.logit for before, after in pairwise(recalls)):
        raise field["recalls"].wrong("of rising logits")
    return Sensitivity(_read_tail(field["tail"]), _read_tail(field["high"]), field["hours"].real(1e-6, LARGEST), recalls)


def _read_tail(field: Field) -> Tail:
    field.only("start", "scale", "rate")
    return Tail(field["start"].real(*LOGITS), field["scale"].real(1e-3, 1e3), field["rate"].real(1e-9, LARGEST))


def _read_recall(field: Field) -> Recall:
    field.only("logit", "recall", "low", "high")
    return Recall(field["logit"].real(*LOGITS), *(field[key].real(0.0, 1.0) for key in ("recall", "low", "high")))


def sigmoid(logit: float) -> float:
    """The score of a logit."""
    return 1.0 / (1.0 + math.exp(-logit))


def _logit(score: float) -> float:
    return math.inf if score >= 1.0 else math.log(score) - math.log1p(-score)


def _in_range(logit: float) -> float:
    return min(max(logit, LOGITS[0]), LOGITS[1])


def _rate(rate: float) -> str:
    """A rate for people, with two digits that count."""
    return f"{rate:.0f}" if rate >= 10.0 else f"{rate:.2g}"
