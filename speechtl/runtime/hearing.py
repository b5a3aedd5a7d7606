"""From a microphone's blocks to events: one channel, 16 kHz, and any number of bundles over one stream."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from speechtl.errors import BundleError
from speechtl.runtime.audio import HELD_BACK, resampler
from speechtl.runtime.detector import Detector, Event
from speechtl.runtime.gate import Gate
from speechtl.runtime.microphone import Block
from speechtl.runtime.samples import SAMPLE_RATE, Samples

if TYPE_CHECKING:
    import soxr

FILL_SECONDS = 2.0  # a gap up to that long is heard as silence, so that times and the refractory time stay right


@dataclass(frozen=True)
class Heard:
    """What came of a block: mono sound at 16 kHz up to sample number `end` since the start, and the events in it."""

    samples: Samples
    end: int
    events: list[Event]


class Hearing:
    """Play blocks to the detectors of several bundles; times are seconds since the start, gaps and reloads included."""

    def __init__(
        self,
        bundles: Sequence[Path],
        *,
        threshold: float | None = None,
        graph: str | None = None,
        engine: str | None = None,
        channel: int = 1,
        gate: Gate | None = None,
        on_score: Callable[[Event, float], None] | None = None,
    ) -> None:
        self._bundles = list(bundles)
        self._threshold = threshold
        self._graph = graph
        self._engine = engine
        self._channel = channel - 1
        self._gate = gate
        self._on_score = on_score
        self._convert: soxr.ResampleStream | None = None
        self._rate = 0
        self._lead_seconds = (0.0, 0.0)  # of a block, and held back in the resampler
        self._end = 0  # samples since the start
        self._origin = 0.0  # where the detectors' own time began, seconds
        self.detectors = self._open()

    @property
    def names(self) -> list[str]:
        """The words that are listened for."""
        return [word.name for detector in self.detectors for word in detector.words]

    def reload(self) -> None:
        """Open the bundles again; raise `SpeechtlError` and keep the old ones when that fails."""
        self.detectors = self._open()
        self._begin(self._end)

    def feed(self, block: Block) -> Heard:
        """Take the next block."""
        parts = [self._to_mono(block)]
        if block.gap_seconds > FILL_SECONDS:
            self._end += round(block.gap_seconds * SAMPLE_RATE)
            self._begin(self._end)
        elif block.gap_seconds > 0.0:
            parts.insert(0, np.zeros(round(block.gap_seconds * SAMPLE_RATE), np.float32))
        samples = np.concatenate(parts)
        self._end += len(samples)
        return Heard(samples, self._end, self._detect(samples))

    def _detect(self, samples: Samples) -> list[Event]:
        if self._gate is not None:
            samples, anew = self._gate.feed(samples)
            if anew:
                self._begin(self._end - len(samples))
        events = [event for detector in self.detectors for event in detector.feed(samples)] if len(samples) else []
        return [self._placed(event) for event in events]

    def _placed(self, event: Event) -> Event:
        return replace(event, time=event.time + self._origin)

    def _begin(self, at: int) -> None:
        self._origin = at / SAMPLE_RATE
        for detector in self.detectors:
            detector.reset(detector.scorer.lead(*self._lead_seconds) if self._rate else 0)

    def _to_mono(self, block: Block) -> Samples:
        if block.rate != self._rate:
            highest = max(detector.scorer.features.highest for detector in self.detectors)
            self._rate, self._convert = block.rate, resampler(block.rate, highest=highest)
            self._lead_seconds = (len(block.samples) / block.rate, HELD_BACK if self._convert else 0.0)
            if not self._end:
                self._begin(0)
        mono = np.ascontiguousarray(block.samples[:, self._channel])
        converted: Samples = mono if self._convert is None else self._convert.resample_chunk(mono)
        return converted

    def _open(self) -> list[Detector]:
        detectors = [Detector.open(path, threshold=self._threshold, graph=self._graph, engine=self._engine) for path in self._bundles]
        _refuse_twins([word.name for detector in detectors for word in detector.words])
        if self._on_score is not None:
            for detector in detectors:
                detector.on_score = self._score
        return detectors

    def _score(self, scored: Event, threshold: float) -> None:
        if self._on_score is not None:
            self._on_score(self._placed(scored), threshold)


def _refuse_twins(names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise BundleError(f"Two of the bundles have a word {name!r}: its events could not be told apart. Leave one out.")
