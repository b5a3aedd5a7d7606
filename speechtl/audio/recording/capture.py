"""Sound of a microphone, or of a file in its place, as mono at 16 kHz: until the word was said, or for a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from speechtl.audio.data.align import find_word
from speechtl.audio.data.folder_check import FULL_SCALE
from speechtl.audio.data.takes import has_word
from speechtl.runtime.listen.loop import READ_SECONDS, Source
from speechtl.runtime.microphone.stream import Block
from speechtl.runtime.microphone.watch import InputWatch
from speechtl.runtime.samples import SAMPLE_RATE, Samples
from speechtl.runtime.sound.files import resampler

BEFORE = 0.3  # seconds that are kept from before the signal, for speakers who begin a little early
AFTER = 0.6  # seconds of quiet after the word that end a take
LOOK = 0.2  # seconds between two looks for the word
OLD = 0.1  # seconds; blocks that waited longer are from before

Meter = Callable[[float, bool], None]  # called with the level (dBFS) and whether the block is clipped


@dataclass(frozen=True)
class Captured:
    """Mono samples at 16 kHz, the device's rate (hertz), the clipped time (seconds before conversion), and whether sound was lost."""

    samples: Samples
    rate: int
    clipped_seconds: float
    lost: bool


class Capture:
    """Collects one channel of blocks, converted to 16 kHz as in `speechtl listen`."""

    def __init__(self, channel: int = 1) -> None:
        self._channel = channel - 1
        self._parts: list[Samples] = []
        self._clipped = 0.0
        self.rate = 0
        self.lost = False
        self.seconds = 0.0
        self.level_db = -np.inf
        self.is_clipped = False

    def feed(self, block: Block) -> None:
        """Take the next block."""
        if self.rate == 0:
            self.rate = block.rate
            self._convert = resampler(block.rate)
        elif block.rate != self.rate or block.gap_seconds > 0.0:
            self.lost = True
            return
        mono = np.ascontiguousarray(block.samples[:, self._channel])
        clipped = int(np.count_nonzero(np.abs(mono) >= FULL_SCALE))
        self.is_clipped = clipped > 0
        self._clipped += clipped / block.rate
        power = float(np.mean(np.square(mono, dtype=np.float64))) if len(mono) else 0.0
        self.level_db = 10.0 * np.log10(power) if power > 0.0 else -np.inf
        self.seconds += len(mono) / block.rate
        self._parts.append(mono if self._convert is None else self._convert.resample_chunk(mono))

    def samples(self) -> Samples:
        """What was collected so far; the resampler may hold back some milliseconds."""
        return np.concatenate(self._parts) if self._parts else np.zeros(0, np.float32)

    def finish(self) -> Captured:
        """All that was collected."""
        if self._parts and self._convert is not None:
            self._parts.append(self._convert.resample_chunk(np.zeros(0, np.float32), last=True))
        return Captured(self.samples(), self.rate, self._clipped, self.lost)


def drain(source: Source) -> None:
    """Discard the blocks of a microphone that waited while nobody read them; a file waits by itself."""
    begun = time.monotonic()
    # A microphone that nobody read for a while delivers old blocks first, then none until the next one is captured.
    while not source.ended and (block := source.read(READ_SECONDS)) is not None and block.arrived < begun - OLD:
        pass


def record(
    source: Source, *, channel: int, stop: Callable[[Capture], bool], meter: Meter, log: Callable[[str], None], since: float = 0.0
) -> Captured:
    """Record from the moment `since` (monotonic) until `stop` or the end of the source; a gap ends it, as `lost`."""
    capture, watch = Capture(channel), InputWatch(log, channel)
    while not (source.ended or capture.lost or stop(capture)):
        block = source.read(READ_SECONDS)
        if block is None:
            capture.lost = capture.lost or (source.lost and capture.rate > 0)
        elif block.arrived >= since:
            watch.feed(block)
            capture.feed(block)
            meter(capture.level_db, capture.is_clipped)
    return capture.finish()


class WordSaid:
    """Whether the word was said and quiet followed, or the time (seconds) is over."""

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._next = LOOK

    def __call__(self, capture: Capture) -> bool:
        """Look at what was captured, a few times a second."""
        if capture.seconds >= self._longest:
            return True
        if capture.seconds < self._next:
            return False
        self._next = capture.seconds + LOOK
        samples = capture.samples()
        word = find_word(samples) if has_word(samples) else None
        return word is not None and len(samples) / SAMPLE_RATE - word[1] >= AFTER
