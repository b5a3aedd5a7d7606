"""From a microphone's blocks to events: one channel, 16 kHz, and any number of bundles over one stream."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from speechtl.progress import say
from speechtl.runtime.bundle.choice import Choice
from speechtl.runtime.bundle.open_bundles import LOOK_SECONDS, OpenBundles
from speechtl.runtime.bundle.wake_word import open_bundle
from speechtl.runtime.detector import Detector, Event
from speechtl.runtime.microphone.stream import Block
from speechtl.runtime.microphone.voice_gate import Gate
from speechtl.runtime.samples import SAMPLE_RATE, Samples
from speechtl.runtime.sound.files import HELD_BACK, resampler

if TYPE_CHECKING:
    import soxr

FILL_SECONDS = 2.0  # shorter gaps are filled with silence, so that times and the refractory time stay right


@dataclass(frozen=True)
class Heard:
    """A processed block: mono sound at 16 kHz up to sample number `end` since the start, and the events in it."""

    samples: Samples
    end: int
    events: list[Event]


class Hearing:
    """Feed blocks to the detectors of several bundles; times are seconds since the start, gaps and reloads included.

    `bundles` are files, and folders whose contents may change; `log` receives a sentence for each change.
    """

    def __init__(
        self,
        bundles: Sequence[Path],
        *,
        choice: Choice | None = None,
        channel: int = 1,
        gate: Gate | None = None,
        on_score: Callable[[Event, float], None] | None = None,
        log: Callable[[str], None] = say,
    ) -> None:
        self._choice = choice or Choice()
        self._log = log
        self._channel = channel - 1
        self._gate = gate
        self._on_score = on_score
        self._convert: soxr.ResampleStream | None = None
        self._rate = 0
        self._lead_seconds = (0.0, 0.0)  # of a block, and held back in the resampler
        self._end = 0  # samples since the start
        self._highest = 0.0  # hertz; the highest frequency that any detector uses
        self._origins: dict[Detector, float] = {}  # the start of each detector's own time, seconds
        self._next_look = 0.0
        self.bundles = OpenBundles(bundles, self._open, log)
        self.bundles.expect(self._choice)
        self._renew()

    @property
    def detectors(self) -> list[Detector]:
        """The detectors in use."""
        return self.bundles.opened

    @property
    def names(self) -> list[str]:
        """The words to listen for."""
        return self.bundles.names

    def reload(self) -> None:
        """Open the bundles again; raise `SpeechtlError` and keep the old ones when that fails."""
        self.bundles.reload()
        self._renew()

    def look(self) -> bool:
        """Open and close bundles as the folders change, once every `LOOK_SECONDS`; true where anything changed."""
        now = time.monotonic()
        if now < self._next_look:
            return False
        self._next_look = now + LOOK_SECONDS
        changed = self.bundles.look()
        if changed:
            self._renew()
        return changed

    def feed(self, block: Block) -> Heard:
        """Take the next block."""
        parts = [self._to_mono(block)]
        if block.gap_seconds > FILL_SECONDS:
            self._end += round(block.gap_seconds * SAMPLE_RATE)
            self._begin(self._end, self.detectors)
        elif block.gap_seconds > 0.0:
            parts.insert(0, np.zeros(round(block.gap_seconds * SAMPLE_RATE), np.float32))
        samples = np.concatenate(parts)
        self._end += len(samples)
        return Heard(samples, self._end, self._detect(samples))

    def _detect(self, samples: Samples) -> list[Event]:
        if self._gate is not None:
            samples, anew = self._gate.feed(samples)
            if anew:
                self._begin(self._end - len(samples), self.detectors)
        if not len(samples):
            return []
        return [self._placed(event, detector) for detector in self.detectors for event in detector.feed(samples)]

    def _placed(self, event: Event, detector: Detector) -> Event:
        return event.later(self._origins[detector])

    def _renew(self) -> None:
        """Start new detectors at this point of the stream; the others continue."""
        self._origins = {detector: self._origins[detector] for detector in self.detectors if detector in self._origins}
        self._begin(self._end, [detector for detector in self.detectors if detector not in self._origins])
        highest = max((detector.scorer.features.highest for detector in self.detectors), default=0.0)
        if highest > self._highest:
            self._highest, self._rate = highest, 0  # the next block gets a resampler with a wider pass band

    def _begin(self, at: int, detectors: Sequence[Detector]) -> None:
        for detector in detectors:
            self._origins[detector] = at / SAMPLE_RATE
            detector.reset(detector.scorer.lead(*self._lead_seconds) if self._rate else 0)

    def _to_mono(self, block: Block) -> Samples:
        if block.rate != self._rate:
            self._rate, self._convert = block.rate, resampler(block.rate, highest=self._highest)
            self._lead_seconds = (len(block.samples) / block.rate, HELD_BACK if self._convert else 0.0)
            if not self._end:
                self._begin(0, self.detectors)
        mono = np.ascontiguousarray(block.samples[:, self._channel])
        converted: Samples = mono if self._convert is None else self._convert.resample_chunk(mono)
        return converted

    def _open(self, path: Path) -> Detector:
        bundle = open_bundle(path)
        detector = Detector.of(bundle, self._choice)
        for sentence in self._choice.explain(bundle):
            self._log(sentence)
        report = self._on_score
        if report is not None:
            detector.on_score = lambda scored, threshold: report(self._placed(scored, detector), threshold)
        return detector
