"""Choose the detector's threshold on validation recordings, for a rate of false accepts.

The target is one false accept in hours, and the validation recordings are minutes, so the rate is extrapolated: the highest
scores of a network follow an exponential tail (peaks over threshold; Coles 2001, section 4.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from speechtl.audio.evaluation.scoring import ScoredStream, count
from speechtl.errors import SpeechtlError
from speechtl.limits import rate_high, recall_limits
from speechtl.runtime.samples import Doubles
from speechtl.runtime.trigger import TriggerSettings, log_odds, smooth

RATES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)  # false accepts per hour with a threshold in the bundle
PEAK_SECONDS = 1.0  # window of a stream in which only the highest score counts
LEVEL = 10  # the score of this peak, from the highest down, is the level of the tail
SLOPE = 12.0  # peaks per hour from which the slope is estimated; more would reach below the tail (training/studies/README.md)
HIGHEST_LOGIT = 14.0  # scores beyond are 1 in single precision


@dataclass(frozen=True)
class Tail:
    """Rate at which a stream without the word reaches a logit x: `per_hour(x) = rate * exp(-(x - start) / scale)`."""

    start: float
    scale: float
    rate: float  # per hour, at `start`

    def logit_for(self, per_hour: float) -> float:
        """The logit that is reached `per_hour` times an hour."""
        return self.start + self.scale * float(np.log(self.rate / per_hour))


@dataclass(frozen=True)
class Copies:
    """Number of conditions in which each recording is played; only one of these copies counts as independent."""

    words: int = 1
    others: int = 1


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold and its results on the validation recordings; the 95 % limits count each recording once."""

    false_accepts_per_hour: float  # target
    threshold: float
    clips: int
    detected: int
    recall: float
    recall_low: float
    recall_high: float
    hours: float
    events: int
    per_hour: float
    per_hour_high: float

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON."""
        return asdict(self)


def fit_tail(streams: Sequence[ScoredStream], smoothing: int) -> Tail:
    """The tail of the smoothed scores of streams without the word."""
    peaks = np.sort(np.concatenate([_peaks(stream, smoothing) for stream in streams]))[::-1]
    hours = sum(stream.hours for stream in streams)
    level = min(LEVEL, len(peaks) - 1)
    if level < 3:
        raise SpeechtlError(
            f"There are {hours * 60:.1f} minutes of validation negatives, and calibration needs a few. Add negatives of other speakers."
        )
    slope = min(max(round(SLOPE * hours), level), len(peaks) - 1)
    return Tail(float(peaks[level]), max(float(np.mean(peaks[:slope] - peaks[slope])), 0.05), level / hours)


def calibrate(
    positives: Sequence[ScoredStream],
    negatives: Sequence[ScoredStream],
    trigger: TriggerSettings,
    rates: Sequence[float] = RATES,
    copies: Copies = Copies(),
) -> list[OperatingPoint]:
    """Operating points for several rates of false accepts per hour, the lowest first."""
    tail = fit_tail(negatives, trigger.smoothing)
    return [
        _measure(positives, negatives, rate, TriggerSettings(_threshold(tail, rate), trigger.smoothing, trigger.refractory), copies)
        for rate in rates
    ]


def _threshold(tail: Tail, per_hour: float) -> float:
    return float(_sigmoid(min(tail.logit_for(per_hour), HIGHEST_LOGIT)))


def _measure(
    positives: Sequence[ScoredStream], negatives: Sequence[ScoredStream], rate: float, trigger: TriggerSettings, copies: Copies
) -> OperatingPoint:
    delays = [delay for stream in positives for delay in count(stream, trigger).detected]
    detected = sum(delay is not None for delay in delays)
    events = sum(len(count(stream, trigger).false_accepts) for stream in negatives)
    hours = sum(stream.hours for stream in negatives)
    low, high = recall_limits(detected / copies.words, len(delays) / copies.words)
    recall = detected / len(delays) if delays else 0.0
    most = rate_high(events / copies.others, hours / copies.others)
    return OperatingPoint(rate, trigger.threshold, len(delays), detected, recall, low, high, hours, events, events / hours, most)


def _peaks(stream: ScoredStream, smoothing: int) -> Doubles:
    smoothed = smooth(stream.scores, smoothing)
    window = max(round(PEAK_SECONDS / stream.step_seconds), 1)
    whole = smoothed[: len(smoothed) // window * window].reshape(-1, window)
    return log_odds(whole.max(axis=1)) if len(whole) else np.zeros(0)


def _sigmoid(logit: float) -> float:
    return 1.0 / (1.0 + float(np.exp(-logit)))
