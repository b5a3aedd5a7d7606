"""The cutoff of a student, for the rate of false accepts that its recipe wants, on people whom it has not heard."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from speechtl.audio.evaluation.scoring import ScoredStream, score_stream
from speechtl.audio.training.calibrate import OperatingPoint, calibrate
from speechtl.audio.training.selection import HELD_OUT, Data
from speechtl.audio.training.validation import Scenes, Validation
from speechtl.export.microwakeword.listener import HALF, LEVELS
from speechtl.progress import Tally, progress
from speechtl.runtime.detector import Scorer
from speechtl.runtime.trigger import TriggerSettings

WINDOWS = (1, 3, 5, 10)  # probabilities that are averaged: 30 to 300 ms
HIGHEST = 252  # of 255: little can be above a higher cutoff
ESPHOME_LEVELS = 255  # ESPHome compares whole numbers, with the cutoff times 255 rounded down


@dataclass(frozen=True)
class Cutoff:
    """The settings of a listener, and what they give on held-out people."""

    level: int  # of 255 that the mean probability must exceed
    window: int
    point: OperatingPoint

    @property
    def probability(self) -> float:
        """The cutoff as manifests have it: ESPHome makes `level` of it."""
        return math.ceil(self.level / ESPHOME_LEVELS * 1e4) / 1e4

    @property
    def score(self) -> float:
        """The score of `ListenerEngine` that a mean above the cutoff reaches."""
        return self.probability + HALF


def listen(scorer: Scorer, data: Data, seed: int) -> Validation:
    """The scores of held-out recordings in several conditions; the scorer averages none."""
    scenes = Scenes(data, [HELD_OUT], seed)
    others: dict[str, list[ScoredStream]] = {}
    with progress("choosing a cutoff, recording") as advance:
        tally = Tally(advance, scenes.passages)
        words = [score_stream(scorer, tally(passages)) for passages in scenes.words(HELD_OUT)]
        for name, passages in scenes.others(HELD_OUT):
            others.setdefault(name, []).append(score_stream(scorer, tally(passages)))
    return Validation(words, others, scenes.copies)


def choose(heard: Validation, wanted: float, refractory: float) -> Cutoff:
    """The window and cutoff that find most words where an unseen kind of negatives gives the wanted rate of false accepts."""
    return max((_at(heard, window, wanted, refractory) for window in WINDOWS), key=lambda one: (one.point.recall, one.window))


def _at(heard: Validation, window: int, wanted: float, refractory: float) -> Cutoff:
    words, others = averaged(heard.words, window), {name: averaged(streams, window) for name, streams in heard.others.items()}
    (point,) = calibrate(words, others, TriggerSettings(0.5, 1, refractory), [wanted], heard.copies)
    level = min(max(round((point.threshold - HALF) * LEVELS), 1), HIGHEST)
    return Cutoff(level, window, point)


def averaged(streams: Sequence[ScoredStream], window: int) -> list[ScoredStream]:
    """Streams with the mean of the last scores at every step, as a listener computes it."""
    weights = np.full(window, 1.0 / window)
    return [replace(one, scores=np.convolve(one.scores, weights)[: len(one.scores)].astype(np.float32)) for one in streams]
