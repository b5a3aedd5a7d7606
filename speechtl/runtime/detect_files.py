"""Detection in recordings and in raw samples."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import numpy as np

from speechtl.errors import AudioError
from speechtl.progress import say
from speechtl.runtime.detector import Detector, Event
from speechtl.runtime.events import Peaks
from speechtl.runtime.samples import SAMPLE_RATE
from speechtl.runtime.sound.files import describe, read_blocks, resampler
from speechtl.runtime.sound.raw import RawFormat

TAIL_SECONDS = 0.5  # of silence after a recording, so that a word at its very end is detected
BLOCK_SECONDS = 0.64  # read at a time


def detect_file(detector: Detector, path: Path, log: Callable[[str], None]) -> Iterator[Event]:
    """Yield the events of a recording, with their peaks; raise `AudioError` when it cannot be read or is too short to score."""
    blocks = read_blocks(path, block_seconds=BLOCK_SECONDS)
    first = next(blocks, np.zeros(0, np.float32))
    _, channels, seconds = describe(path)
    if channels > 2:
        log(f"{path} has {channels} channels; they are averaged.")
    needed = detector.scorer.time(0)
    if seconds < needed:
        raise AudioError(f"{path} is {seconds * 1000:.1f} ms long; a score needs at least {needed * 1000:.0f} ms of audio.")
    detector.reset()
    peaks = Peaks()
    detector.on_score, before = peaks.feed, detector.on_score
    waiting: deque[Event] = deque()
    try:
        for block in chain((first,), blocks, (np.zeros(int(TAIL_SECONDS * SAMPLE_RATE), np.float32),)):
            waiting.extend(detector.feed(block))
            yield from peaks.settle(waiting)
        yield from peaks.settle(waiting, everything=True)
    finally:
        detector.on_score = before


def detect_raw(
    detector: Detector, stream: BinaryIO, rate: int, channels: int, form: str = "s16", log: Callable[[str], None] = say
) -> Iterator[Event]:
    """Yield the events of raw little-endian samples, each as soon as it is detected; `rate` in hertz, `form` a key of `FORMATS`.

    `log` receives a sentence where the samples look like another format. Raises `AudioError` for an unknown form,
    for values that are not numbers, and, after the last event, where the stream ends within a frame.
    """
    raw = RawFormat(form, channels, log)
    convert = resampler(rate)
    detector.reset()
    while chunk := _read_some(stream, max(rate * 80 // 1000, 1) * raw.frame):
        samples = raw.mono(chunk)
        yield from detector.feed(samples if convert is None else convert.resample_chunk(samples))
    if convert is not None:
        yield from detector.feed(convert.resample_chunk(np.zeros(0, np.float32), last=True))
    yield from detector.feed(np.zeros(int(TAIL_SECONDS * SAMPLE_RATE), np.float32))
    if raw.held:
        raise AudioError(
            f"The raw samples end within a frame: {len(raw.held)} of its {raw.frame} bytes are there. Check --format and --channels."
        )


def _read_some(stream: BinaryIO, size: int) -> bytes:
    """The bytes that have arrived, without waiting for more."""
    read1 = getattr(stream, "read1", None)
    return bytes(read1(size) if read1 is not None else stream.read(size))
