"""The detector: samples in, events out. The same on a workstation and on a device."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from speechtl.runtime.bundle import Bundle, open_bundle
from speechtl.runtime.engine import Floats, open_engine
from speechtl.runtime.features import LogMel, LogMelSettings
from speechtl.runtime.trigger import Trigger, TriggerSettings


@dataclass(frozen=True)
class Event:
    """A word was detected: its name, seconds from the start of the stream to the decision, and the smoothed score."""

    name: str
    time: float
    score: float


class Engine(Protocol):
    """What turns frames into scores, step by step."""

    def run(self, frames: Floats) -> list[float]:
        """Return one score a step for the next whole steps of frames `(frames, bands)`."""

    def reset(self) -> None:
        """Begin a new stream."""


class Scorer:
    """Scores of a stream: one every `frames_per_step` frames, the same for every chunk length."""

    def __init__(self, features: LogMelSettings, frames_per_step: int, engine: Engine) -> None:
        self.features = features
        self.frames_per_step = frames_per_step
        self.engine = engine
        self._log_mel = LogMel(features)
        self.reset()

    @classmethod
    def of(cls, bundle: Bundle, graph: str | None = None) -> Scorer:
        """Return the scorer of a bundle's graph."""
        return cls(bundle.features, bundle.frames_per_step, open_engine(bundle, graph))

    @property
    def step_seconds(self) -> float:
        """The time between two scores."""
        return self.frames_per_step * self.features.hop / self.features.sample_rate

    def reset(self) -> None:
        """Begin a new stream, preceded by silence."""
        self.steps = 0
        self._log_mel.reset()
        self._frames = np.zeros((0, self.features.bands), np.float32)
        self.engine.reset()

    def feed(self, samples: npt.ArrayLike) -> list[float]:
        """Take the next samples (16 kHz mono, int16 or float32 in [-1, 1]); return the scores they complete."""
        self._frames = np.concatenate([self._frames, self._log_mel.feed(samples)])
        whole = len(self._frames) // self.frames_per_step * self.frames_per_step
        scores = self.engine.run(self._frames[:whole]) if whole else []
        self._frames = self._frames[whole:]
        self.steps += len(scores)
        return scores

    def time(self, step: int) -> float:
        """Return when score number `step` (from 0) can be known: seconds from the start of the stream."""
        return self.features.samples((step + 1) * self.frames_per_step) / self.features.sample_rate


class Detector:
    """Events of a stream of one wake word."""

    def __init__(self, name: str, scorer: Scorer, trigger: TriggerSettings) -> None:
        self.name = name
        self.scorer = scorer
        self._trigger = Trigger(trigger, scorer.step_seconds)

    @classmethod
    def open(cls, path: Path | str, *, threshold: float | None = None, graph: str | None = None) -> Detector:
        """Open a bundle; `threshold` replaces the calibrated one, `graph` names one of its graphs."""
        bundle = open_bundle(path)
        trigger = bundle.trigger if threshold is None else replace(bundle.trigger, threshold=threshold)
        return cls(bundle.name, Scorer.of(bundle, graph), trigger)

    def reset(self) -> None:
        """Begin a new stream, preceded by silence."""
        self.scorer.reset()
        self._trigger.reset()

    def feed(self, samples: npt.ArrayLike) -> list[Event]:
        """Take the next samples (16 kHz mono, int16 or float32 in [-1, 1], any number); return the events they complete."""
        events = []
        first = self.scorer.steps
        for index, score in enumerate(self.scorer.feed(samples)):
            smoothed = self._trigger.feed(score)
            if smoothed is not None:
                events.append(Event(self.name, self.scorer.time(first + index), smoothed))
        return events
