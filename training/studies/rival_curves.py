"""Detection error trade-off: the miss rate of engines over their false accepts per hour, with limits, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from speechtl.audio.evaluation.evaluate import Played
from speechtl.audio.evaluation.scoring import count
from speechtl.files import writing
from speechtl.limits import rate_high, rate_low, recall_limits
from speechtl.runtime.trigger import TriggerSettings, smooth
from speechtl.text import picture_text

POINTS = 60  # of a curve
MOST_PER_HOUR = 100.0
INCHES = (11.0, 4.8)
DPI = 120
CLEAN, ELSEWHERE = "clean", "all other conditions"


@dataclass(frozen=True)
class Rates:
    """Events in the negatives, and the words that were found, in quiet and elsewhere, at one threshold."""

    events: int
    found: dict[str, float]  # in clips: of a clip that was played several times the mean


@dataclass(frozen=True)
class Curve:
    """The rates of an engine just above the scores of the negatives, from the highest down, and at the threshold that it comes with."""

    name: str
    hours: float
    clips: int
    points: Sequence[Rates]
    delivered: Rates | None


def curve_of(name: str, played: Played, trigger: TriggerSettings, *, delivered: bool) -> Curve:
    """The curve of what an engine heard, down to a hundred false accepts per hour."""
    peaks = np.unique(smooth(played.others.scores, trigger.smoothing))[::-1]
    ranks = np.unique(np.geomspace(1, len(peaks), POINTS).astype(int)) - 1
    points: list[Rates] = []
    for peak in peaks[ranks].tolist():
        points.append(_rates(played, replace(trigger, threshold=min(float(np.nextafter(peak, 2.0)), 1.0))))  # just above it
        if points[-1].events > MOST_PER_HOUR * played.others.hours:
            break
    own = _rates(played, trigger) if delivered else None
    return Curve(name, played.others.hours, len(played.material.spoken), points, own)


def _rates(played: Played, trigger: TriggerSettings) -> Rates:
    found: dict[str, float] = {
        name: sum(delay is not None for delay in count(stream, trigger).detected) for name, stream in played.words.items()
    }
    clean = next(iter(found))
    others = [number for name, number in found.items() if name != clean]
    return Rates(len(count(played.others, trigger).false_accepts), {CLEAN: found[clean], ELSEWHERE: float(np.mean(others or [0.0]))})


def draw(path: Path, word: str, curves: Sequence[Curve]) -> None:
    """Draw all curves, in quiet and elsewhere; dots are the thresholds that engines come with, bars their limits."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=INCHES, dpi=DPI, layout="constrained")
    for axes, place in zip(figure.subplots(1, 2, sharey=True), (CLEAN, ELSEWHERE), strict=True):
        for number, curve in enumerate(curves):
            _draw_curve(axes, curve, place, f"C{number}")
        axes.set(xscale="log", xlim=(0.4 / curves[0].hours, MOST_PER_HOUR), ylim=(-0.02, 1.02), title=place)
        axes.set_xlabel(f"false accepts per hour, in {curves[0].hours:.1f} h")
        axes.grid(alpha=0.3, which="both")
    figure.axes[0].set_ylabel("miss rate")
    figure.suptitle(picture_text(f"{word}: {curves[0].clips} clips of people that no engine of ours was trained on"))
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside right center")
    with writing(path) as beside:
        figure.savefig(beside, format="png")


def _draw_curve(axes: Any, curve: Curve, place: str, colour: str) -> None:
    rates = [max(point.events, 0.5) / curve.hours for point in curve.points]  # none at all is drawn at half an event
    missed = [1.0 - point.found[place] / curve.clips for point in curve.points]
    low, high = np.array([recall_limits(point.found[place], curve.clips) for point in curve.points]).T
    axes.plot(rates, missed, color=colour, label=picture_text(curve.name))
    axes.fill_between(rates, 1.0 - high, 1.0 - low, color=colour, alpha=0.06, linewidth=0.0)
    if curve.delivered is not None:
        own = curve.delivered
        x, y = max(own.events, 0.5) / curve.hours, 1.0 - own.found[place] / curve.clips
        recall_low, recall_high = recall_limits(own.found[place], curve.clips)
        across = [[x - min(rate_low(own.events, curve.hours), x)], [rate_high(own.events, curve.hours) - x]]
        axes.errorbar([x], [y], [[y - (1.0 - recall_high)], [1.0 - recall_low - y]], across, "o", color=colour, capsize=3, alpha=0.8)
