"""From scores to events: smoothing, threshold, refractory time. Evaluation and devices use the same code.

Scores are averaged as log-odds: then a shift of a network's log-odds moves the average by as much, and the average of
two steps rises to the threshold where their mean does, however close to 1 either is.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from speechtl.errors import BundleError
from speechtl.runtime.samples import Array, Floats

GRACE = 1.5  # seconds after a word's end in which an event still counts as its detection
SURE = 1e-7  # scores are clipped this far from 0 and 1, where log-odds are infinite


@dataclass(frozen=True)
class TriggerSettings:
    """Settings that decide when a score becomes an event."""

    threshold: float = 0.5  # the smoothed score must rise to it from below
    smoothing: int = 1  # steps: the mean of that many last scores, as log-odds, is compared
    refractory: float = 1.0  # seconds after an event in which no other can follow

    def __post_init__(self) -> None:
        if not 0.0 < self.threshold <= 1.0:
            raise BundleError(f"A threshold must be above 0 and at most 1; got {self.threshold}.")
        if type(self.smoothing) is not int or self.smoothing < 1 or not 0.0 <= self.refractory < math.inf:
            raise BundleError(
                f"Smoothing must be a whole number of steps, at least 1, "
                f"and the refractory time not negative; got {self.smoothing} and {self.refractory}."
            )

    def to_json(self) -> dict[str, Any]:
        """The settings, as JSON stores them."""
        return asdict(self)


class Trigger:
    """Decide step by step; `step_seconds` is the time between two scores."""

    def __init__(self, settings: TriggerSettings, step_seconds: float) -> None:
        self.settings = settings
        self._refractory = refractory_steps(settings, step_seconds)
        self.reset()

    def reset(self) -> None:
        """Begin a new stream."""
        self._last = deque([log_odds_of(0.0)] * self.settings.smoothing, maxlen=self.settings.smoothing)
        self._before = 0.0
        self._since = self._refractory

    @property
    def smoothed(self) -> float:
        """The score that was last compared with the threshold."""
        return self._before

    def feed(self, score: float) -> float | None:
        """Take the next score; return the smoothed one where it makes an event."""
        smoothed = float(np.float32(score if self.settings.smoothing == 1 else self._mean(score)))
        rising = self._before < self.settings.threshold <= smoothed
        self._before = smoothed
        if rising and self._since >= self._refractory:
            self._since = 1
            return smoothed
        self._since += 1
        return None

    def _mean(self, score: float) -> float:
        self._last.append(log_odds_of(score))
        return 1.0 / (1.0 + math.exp(-sum(self._last) / len(self._last)))


def refractory_steps(settings: TriggerSettings, step_seconds: float) -> int:
    """The refractory time in steps, at least one."""
    return max(round(settings.refractory / step_seconds), 1)


def smooth(scores: Floats, steps: int) -> npt.NDArray[np.float64]:
    """Mean of the last `steps` scores at every step, as `Trigger` computes it."""
    if steps == 1:
        return scores.astype(np.float64)
    padded = log_odds(np.concatenate([np.zeros(steps - 1), scores]))
    total = np.zeros(len(scores))
    for shift in range(steps):
        total += padded[shift : shift + len(scores)]
    # Single precision hides the order of the two sums, so that both agree on whether a threshold was reached.
    return (1.0 / (1.0 + np.exp(-total / steps))).astype(np.float32).astype(np.float64)


def log_odds(scores: Array) -> npt.NDArray[np.float64]:
    """Log-odds of scores."""
    bounded = np.clip(scores.astype(np.float64), SURE, 1.0 - SURE)
    return np.asarray(np.log(bounded) - np.log1p(-bounded))


def log_odds_of(score: float) -> float:
    """Log-odds of a single score, in a tenth of the time."""
    bounded = min(max(score, SURE), 1.0 - SURE)
    return math.log(bounded) - math.log1p(-bounded)


def find_events(smoothed: npt.NDArray[np.float64], threshold: float, refractory: int) -> list[int]:
    """Steps at which `Trigger` makes events, for a whole stream of smoothed scores."""
    above = smoothed >= threshold
    rising = np.flatnonzero(above & ~np.concatenate([[False], above[:-1]]))
    events: list[int] = []
    for index in rising:
        if not events or index - events[-1] >= refractory:
            events.append(int(index))
    return events
