"""The detector: samples in, events out. The same on a workstation and on a device."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from speechtl.runtime.bundle.choice import Choice, PerWord
from speechtl.runtime.bundle.wake_word import Bundle, Word, open_bundle
from speechtl.runtime.engine.select import open_engine
from speechtl.runtime.events import Event as Event
from speechtl.runtime.events import LevelMeter
from speechtl.runtime.features import Features, front_end
from speechtl.runtime.samples import SAMPLE_RATE, Floats, Samples, to_float
from speechtl.runtime.trigger import Trigger

PIECE = SAMPLE_RATE  # samples processed at a time: levels of words are kept for seconds only


class Engine(Protocol):
    """Computes scores from frames, step by step; a shallow copy that was reset serves another stream."""

    def run(self, frames: Floats) -> Floats:
        """Scores `(steps, words)` of the next whole steps of frames `(frames, bands)`."""

    def reset(self) -> None:
        """Begin a new stream."""


class Scorer:
    """Scores of a stream: one of each word every `frames_per_step` frames, the same for every chunk length."""

    def __init__(self, features: Features, frames_per_step: int, engine: Engine, words: int = 1) -> None:
        self.features = features
        self.frames_per_step = frames_per_step
        self.engine = engine
        self.words = words
        self._front_end = front_end(features)
        self.reset()

    @classmethod
    def of(cls, bundle: Bundle, graph: str | None = None, engine: str | None = None) -> Scorer:
        """Scorer of a bundle's graph: the given one, or the preferred one of those that run here."""
        return cls.on(open_engine(bundle, graph, engine), bundle)

    @classmethod
    def on(cls, engine: Engine, bundle: Bundle) -> Scorer:
        """Scorer of a bundle on an engine that runs one of its graphs already."""
        return cls(bundle.features, bundle.frames_per_step, engine, len(bundle.words))

    def fork(self) -> Scorer:
        """A scorer for another stream, which shares the graph in memory and no state."""
        return Scorer(self.features, self.frames_per_step, copy.copy(self.engine), self.words)

    @property
    def step_seconds(self) -> float:
        """The time between two scores."""
        return self.frames_per_step * self.features.hop / self.features.sample_rate

    def lead(self, block_seconds: float, held_back: float = 0.0) -> int:
        """Samples of silence before a live stream that move the ends of steps to the ends of blocks.

        A score that is complete in the middle of a block waits for the rest of it. `held_back` is the delay of the resampler, in seconds.
        """
        block = round(block_seconds * self.features.sample_rate)
        wanted = -round(held_back * self.features.sample_rate)
        return (self.features.samples(self.frames_per_step) - wanted) % min(block, self.frames_per_step * self.features.hop)

    def reset(self, lead: int = 0) -> None:
        """Begin a new stream, preceded by silence, of which `lead` samples count as fed already: all steps end that much earlier."""
        self.steps = 0
        self._lead = lead
        self._front_end.reset()
        self._frames = self._front_end.feed(np.zeros(lead, np.float32))
        self.engine.reset()

    def feed(self, samples: npt.ArrayLike) -> Floats:
        """Take the next samples (16 kHz mono, int16 or float32 in [-1, 1]); return the scores `(steps, words)` they complete."""
        self._frames = np.concatenate([self._frames, self._front_end.feed(samples)])
        whole = len(self._frames) // self.frames_per_step * self.frames_per_step
        scores = self.engine.run(self._frames[:whole]) if whole else np.zeros((0, self.words), np.float32)
        self._frames = self._frames[whole:]
        self.steps += len(scores)
        return scores

    def time(self, step: int) -> float:
        """Time at which score number `step` (from 0) is complete: seconds from the start of the stream."""
        return (self.features.samples((step + 1) * self.frames_per_step) - self._lead) / self.features.sample_rate


class Detector:
    """Events of a stream: of one wake word, or of several that share an encoder, each with its own threshold.

    `on_score`, where it is set, is called at every step with a word's smoothed score, written as an event, and its threshold.
    """

    def __init__(self, scorer: Scorer, words: Sequence[Word], fingerprint: str = "") -> None:
        self.scorer = scorer
        self.words = list(words)
        self.fingerprint = fingerprint  # of the bundle
        self._meter = LevelMeter()
        self._triggers = [Trigger(word.trigger, scorer.step_seconds) for word in words]
        self.on_score: Callable[[Event, float], None] | None = None

    @classmethod
    def open(
        cls,
        path: Path | str,
        *,
        threshold: float | None = None,
        false_accepts_per_day: float | None = None,
        graph: str | None = None,
        engine: str | None = None,
    ) -> Detector:
        """Open a bundle.

        `threshold` replaces the calibrated ones, or those for a number of false accepts per day do, which the bundle's words share.
        `graph` names one of the bundle's graphs, and `engine` what runs it: `onnxruntime`, `ai-edge-litert` or `tflite-runtime`; by
        default the graph that the bundle prefers of those that run here.
        """
        return cls.of(open_bundle(path), Choice(PerWord(threshold), graph=graph, engine=engine, per_day=PerWord(false_accepts_per_day)))

    @classmethod
    def of(cls, bundle: Bundle, choice: Choice) -> Detector:
        """The detector of an open bundle with these settings."""
        words = choice.words(bundle)
        return cls(Scorer.of(bundle, choice.graph, choice.engine), words, bundle.fingerprint)

    @property
    def names(self) -> list[str]:
        """The names of its words, as in its events."""
        return [word.name for word in self.words]

    def fork(self) -> Detector:
        """A detector for another stream, which shares the graph in memory and no state; feed them from one thread."""
        return Detector(self.scorer.fork(), self.words, self.fingerprint)

    def reset(self, lead: int = 0) -> None:
        """Begin a new stream, preceded by silence; `lead` as in `Scorer.reset`."""
        self.scorer.reset(lead)
        self._meter.reset()
        for trigger in self._triggers:
            trigger.reset()

    def feed(self, samples: npt.ArrayLike) -> list[Event]:
        """Take the next samples (16 kHz mono, int16 or float32 in [-1, 1], any number); return the events they complete."""
        heard = to_float(samples)
        return [event for start in range(0, max(len(heard), 1), PIECE) for event in self._feed(heard[start : start + PIECE])]

    def _feed(self, samples: Samples) -> list[Event]:
        events = []
        first = self.scorer.steps
        self._meter.feed(samples)
        for index, scores in enumerate(self.scorer.feed(samples).tolist()):
            for word, trigger, score in zip(self.words, self._triggers, scores, strict=True):
                smoothed = trigger.feed(score)
                if self.on_score is not None:
                    self.on_score(Event(word.name, self.scorer.time(first + index), trigger.smoothed), trigger.settings.threshold)
                if smoothed is not None:
                    events.append(self._meter.describe(_event(word, self.scorer.time(first + index), smoothed)))
        return events


def _event(word: Word, time: float, score: float) -> Event:
    """An event with the place of its word, which is estimated from the decision."""
    if word.timing is None:
        return Event(word.name, time, score)
    end = time - word.timing.delay
    return Event(word.name, time, score, start=max(end - word.timing.length, 0.0), end=max(end, 0.0))
