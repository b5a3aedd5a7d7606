"""Choose the detector's threshold on validation recordings, for a rate of false accepts.

The target is one false accept in hours, and the validation recordings are minutes, so the rate is extrapolated: the highest
scores of a network follow an exponential tail (peaks over threshold; Coles 2001, section 4.2).

Kinds of negatives differ more than chance explains: a network that is rarely wrong about readers is wrong more often about
dialogue. What a detector will hear is a kind of its own, so the tail is that of a kind nobody has recorded: the rates of the
kinds at hand tell how much kinds differ (a random-effects model of Poisson rates; Gelman et al. 2013, chapter 5).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats
from scipy.special import logsumexp

from speechtl.audio.evaluation.scoring import ScoredStream, count
from speechtl.errors import SpeechtlError
from speechtl.limits import CONFIDENCE, rate_high, recall_limits
from speechtl.runtime.bundle.sensitivity import HIGHEST_LOGIT, Recall, Sensitivity, Tail, sigmoid
from speechtl.runtime.samples import Doubles
from speechtl.runtime.trigger import TriggerSettings, log_odds, smooth

RATES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)  # false accepts per hour with a threshold in the bundle
PEAK_SECONDS = 1.0  # window of a stream in which only the highest score counts
PER_HOUR = 12.0  # peaks from which the tail is estimated; more would reach below the tail (training/studies/README.md)
FEWEST, MOST = 10, 40  # of these peaks: the more hours there are, the rarer the scores from which the rate is extrapolated
KEPT = 0.9  # probability that an unseen kind of negatives stays below the aimed rate
SPREAD = 1.0  # half-normal prior of the deviation of the logarithm of rates between kinds: one kind alone does not tell it
RECALLS = 48  # thresholds at which a bundle tells the recall


@dataclass(frozen=True)
class Copies:
    """Number of conditions in which each recording is played, on average; only one of these copies counts as independent."""

    words: float = 1
    others: float = 1


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
    by_kind: dict[str, list[float]] = field(default_factory=dict)  # false accepts and hours of each kind of negatives

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON."""
        return asdict(self)


Kinds = Mapping[str, Sequence[ScoredStream]]


def fit_tail(kinds: Kinds, smoothing: int, kept: float = KEPT) -> Tail:
    """The tail of the smoothed scores of negatives of an unseen kind, which has a lower one with probability `kept`.

    Its level and slope come from the highest peaks of all kinds together.
    """
    return _fit(kinds, smoothing).tail(kept)


@dataclass(frozen=True)
class _Peaks:
    """The highest peaks of negatives: where they begin, their mean height above it, and how many each kind has, in how many hours."""

    start: float
    scale: float
    counts: npt.NDArray[np.intp]
    hours: Doubles

    def tail(self, kept: float) -> Tail:
        """The tail of an unseen kind, which has a lower one with probability `kept`."""
        return Tail(self.start, self.scale, unseen_rate(self.counts, self.hours, kept))

    def high(self, copies: float) -> Tail:
        """The upper limit of that tail: of its rate among kinds, and of its scale, which as many exponential heights as recordings tell."""
        number = 2.0 * float(self.counts.sum()) / copies
        tail = self.tail(CONFIDENCE)
        return Tail(tail.start, tail.scale * number / float(stats.chi2.ppf(1.0 - CONFIDENCE, number)), tail.rate)


def _fit(kinds: Kinds, smoothing: int) -> _Peaks:
    peaks = [np.concatenate([_peaks(stream, smoothing) for stream in streams]) for streams in kinds.values()]
    hours = np.array([sum(stream.hours for stream in streams) for streams in kinds.values()])
    everything, kind = np.concatenate(peaks), np.repeat(np.arange(len(peaks)), list(map(len, peaks)))
    number = min(int(np.clip(round(PER_HOUR * hours.sum()), FEWEST, MOST)), len(everything) - 1)
    if number < 3:
        raise SpeechtlError(
            f"There are {hours.sum() * 60:.1f} minutes of validation negatives, and calibration needs a few. "
            "Add negatives of other speakers."
        )
    highest = np.argsort(-everything, kind="stable")[: number + 1]
    start = float(everything[highest[-1]])
    counts = np.bincount(kind[highest[:-1]], minlength=len(peaks))
    scale = max(float(np.mean(everything[highest[:-1]] - start)), 0.05)
    return _Peaks(start, scale, counts, hours)


def unseen_rate(counts: npt.NDArray[np.intp], hours: Doubles, kept: float) -> float:
    """The rate per hour that a kind of negatives without recordings does not exceed with probability `kept`.

    Counts of the kinds are Poisson, and the logarithms of their rates normal, with a mean and a deviation that are integrated over.
    """
    logs = np.log(counts.sum() / hours.sum()) + np.arange(-8.0, 8.0, 0.05)
    of_kinds = stats.poisson.logpmf(counts[:, None], hours[:, None] * np.exp(logs))
    means, spreads = (grid.ravel() for grid in np.meshgrid(logs[80:-80:2], np.geomspace(0.05, 4.0, 40)))
    between = stats.norm.logpdf(logs, means[:, None], spreads[:, None])  # (means and spreads, logarithms of rates)
    prior = stats.norm.logpdf(spreads, scale=SPREAD) + np.log(spreads)  # the grid of spreads is logarithmic
    posterior = prior + sum(logsumexp(between + one, axis=1) for one in of_kinds)
    weights = np.exp(posterior - logsumexp(posterior))
    below = weights @ stats.norm.cdf(logs, means[:, None], spreads[:, None])
    return float(np.exp(np.interp(kept, below, logs)))


def fit_sensitivity(positives: Sequence[ScoredStream], kinds: Kinds, trigger: TriggerSettings, copies: Copies = Copies()) -> Sensitivity:
    """What these recordings tell about every threshold, for bundles: the tail with its limit, and recall from its start on."""
    found = _fit(kinds, trigger.smoothing)
    logits = np.linspace(found.start, max(_highest(positives, trigger.smoothing), found.start) + 0.01, RECALLS)
    recalls = [_recall_at(positives, float(logit), trigger, copies) for logit in logits]
    return Sensitivity(found.tail(KEPT), found.high(copies.others), float(found.hours.sum()) / copies.others, tuple(recalls))


def median_delay(positives: Sequence[ScoredStream], trigger: TriggerSettings) -> float:
    """The median of the delays from the ends of words to their events, in seconds; 0 where no word is detected."""
    delays = [delay for stream in positives for delay in count(stream, trigger).detected if delay is not None]
    return float(np.median(delays)) if delays else 0.0


def _highest(positives: Sequence[ScoredStream], smoothing: int) -> float:
    return max((float(log_odds(smooth(stream.scores, smoothing)).max()) for stream in positives if len(stream.scores)), default=0.0)


def _recall_at(positives: Sequence[ScoredStream], logit: float, trigger: TriggerSettings, copies: Copies) -> Recall:
    settings = TriggerSettings(sigmoid(logit), trigger.smoothing, trigger.refractory)
    delays = [delay for stream in positives for delay in count(stream, settings).detected]
    detected = sum(delay is not None for delay in delays)
    return Recall(logit, detected / max(len(delays), 1), *recall_limits(detected / copies.words, len(delays) / copies.words))


def calibrate(
    positives: Sequence[ScoredStream],
    kinds: Kinds,
    trigger: TriggerSettings,
    rates: Sequence[float] = RATES,
    copies: Copies = Copies(),
) -> list[OperatingPoint]:
    """Operating points for several rates of false accepts per hour of an unseen kind of negatives, the lowest first."""
    tail = fit_tail(kinds, trigger.smoothing)
    return [
        _measure(positives, kinds, rate, TriggerSettings(_threshold(tail, rate), trigger.smoothing, trigger.refractory), copies)
        for rate in rates
    ]


def _threshold(tail: Tail, per_hour: float) -> float:
    return sigmoid(min(tail.logit_for(per_hour), HIGHEST_LOGIT))


def _measure(positives: Sequence[ScoredStream], kinds: Kinds, rate: float, trigger: TriggerSettings, copies: Copies) -> OperatingPoint:
    delays = [delay for stream in positives for delay in count(stream, trigger).detected]
    detected = sum(delay is not None for delay in delays)
    by_kind = {name: _false_accepts(streams, trigger) for name, streams in kinds.items()}
    events, hours = (sum(values) for values in zip(*by_kind.values(), strict=True))
    low, high = recall_limits(detected / copies.words, len(delays) / copies.words)
    recall = detected / len(delays) if delays else 0.0
    most = rate_high(events / copies.others, hours / copies.others)
    shown = {name: [number, round(length, 3)] for name, (number, length) in by_kind.items()}
    return OperatingPoint(rate, trigger.threshold, len(delays), detected, recall, low, high, hours, events, events / hours, most, shown)


def _false_accepts(streams: Sequence[ScoredStream], trigger: TriggerSettings) -> tuple[int, float]:
    """The number of false accepts, and the hours."""
    return sum(len(count(stream, trigger).false_accepts) for stream in streams), sum(stream.hours for stream in streams)


def _peaks(stream: ScoredStream, smoothing: int) -> Doubles:
    smoothed = smooth(stream.scores, smoothing)
    window = max(round(PEAK_SECONDS / stream.step_seconds), 1)
    whole = smoothed[: len(smoothed) // window * window].reshape(-1, window)
    return log_odds(whole.max(axis=1)) if len(whole) else np.zeros(0)
