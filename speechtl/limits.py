"""95 % confidence limits; exact for counts."""

from __future__ import annotations

from collections.abc import Sequence

from scipy import stats

CONFIDENCE = 0.95


def recall_limits(detected: float, clips: float) -> tuple[float, float]:
    """Limits of a proportion (Clopper and Pearson 1934); (0, 1) when there are no clips.

    Counts of recordings that were played several times are divided by the number of times, so they need not be integers.
    """
    if clips == 0:
        return 0.0, 1.0
    alpha = 1.0 - CONFIDENCE
    low = 0.0 if detected == 0 else float(stats.beta.ppf(alpha / 2, detected, clips - detected + 1))
    high = 1.0 if detected == clips else float(stats.beta.ppf(1 - alpha / 2, detected + 1, clips - detected))
    return low, high


def rate_high(events: float, hours: float) -> float:
    """Upper limit of a Poisson rate per hour, one-sided: no event in 6 hours gives 0.5."""
    return float(stats.chi2.ppf(CONFIDENCE, 2 * (events + 1)) / 2.0 / hours) if hours > 0 else float("inf")


def rate_low(events: float, hours: float) -> float:
    """Lower limit of a Poisson rate per hour, one-sided."""
    return float(stats.chi2.ppf(1.0 - CONFIDENCE, 2 * events) / 2.0 / hours) if events and hours > 0 else 0.0


def mean_limits(values: Sequence[float]) -> tuple[float, float]:
    """Limits of a mean over trainings (Student's t); NaN for fewer than two."""
    if len(values) < 2:
        return float("nan"), float("nan")
    half = float(stats.t.ppf((1.0 + CONFIDENCE) / 2.0, len(values) - 1) * stats.sem(values))
    mean = sum(values) / len(values)
    return mean - half, mean + half
