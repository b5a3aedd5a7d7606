"""Sound as other programs deliver it, into a detector: bytes or arrays, of any rate and number of channels, in pieces of any length."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from speechtl.errors import AudioError
from speechtl.progress import say
from speechtl.runtime.detect_files import TAIL_SECONDS
from speechtl.runtime.detector import Detector, Event
from speechtl.runtime.samples import SAMPLE_RATE, Array, Samples, to_float
from speechtl.runtime.sound.files import resampler
from speechtl.runtime.sound.raw import RawFormat

if TYPE_CHECKING:
    import soxr

Sound: TypeAlias = "bytes | bytearray | memoryview | npt.ArrayLike"

RATES = (1_000, 384_000)  # hertz
MOST_CHANNELS = 64
PIECE = SAMPLE_RATE  # samples detected in at a time, so that one stream's long chunk does not delay the others


class Incoming:
    """A stream into a detector of its own; the times of its events are seconds since the first sample.

    Bytes are little-endian samples of the format `form`: `s16`, `s32` or `f32`. Arrays are int16, or float32 in [-1, 1]. Channels are
    averaged: they are interleaved, or the second dimension of an array. Rate and channels may change from one chunk to the next.
    """

    def __init__(self, detector: Detector, form: str = "s16", log: Callable[[str], None] = say) -> None:
        self._detector = detector.fork()
        self._form = form
        self._log = log
        self._rate = 0
        self._convert: soxr.ResampleStream | None = None
        self._raw = RawFormat(form, 1, log)

    def feed(self, content: Sound, rate: int = SAMPLE_RATE, channels: int = 1) -> list[Event]:
        """The events that a chunk completes; raises `AudioError` for one that is not sound."""
        return [event for piece in pieces(self.samples(content, rate, channels)) for event in self.detect(piece)]

    def end(self) -> list[Event]:
        """The events at the very end, which silence after the sound completes; the next chunk begins a new stream."""
        samples = np.concatenate([self._rest(), np.zeros(int(TAIL_SECONDS * SAMPLE_RATE), np.float32)])
        events = self.detect(samples)
        self.reset()
        return events

    def reset(self) -> None:
        """Begin a new stream, without what is still held back of the last one."""
        self._rate, self._convert, self._raw = 0, None, RawFormat(self._form, 1, self._log)
        self._detector.reset()

    def samples(self, content: Sound, rate: int, channels: int) -> Samples:
        """A chunk as mono samples at 16 kHz, except those that the resampler still holds back."""
        if (rate, channels) == (self._rate, self._raw.channels):
            return self._resampled(self._mono(content))
        _check(rate, channels)
        rest = self._rest() if self._rate else np.zeros(0, np.float32)
        self._rate, self._raw = rate, RawFormat(self._form, channels, self._log)
        self._convert = resampler(rate, highest=self._detector.scorer.features.highest)
        return np.concatenate([rest, self._resampled(self._mono(content))])

    def detect(self, samples: Samples) -> list[Event]:
        """The events in the next samples at 16 kHz."""
        return self._detector.feed(samples)

    def _mono(self, content: Sound) -> Samples:
        if isinstance(content, bytes | bytearray) or (isinstance(content, memoryview) and content.format == "B"):
            return self._raw.mono(bytes(content))
        array, channels = _array(content), self._raw.channels
        if channels == 1 and array.shape[1:] != (1,):
            return to_float(array)
        if array.ndim == 1:
            if len(array) % channels:
                raise AudioError(f"A chunk of {channels} interleaved channels ends within a frame: it has {len(array)} samples.")
            array = array.reshape(-1, channels)
        if array.ndim != 2 or array.shape[1] != channels:
            raise AudioError(f"An array of {channels} channels must have the shape (samples, {channels}); got {array.shape}.")
        mono: Samples = to_float(array.reshape(-1)).reshape(-1, channels).mean(axis=1, dtype=np.float32)
        return mono

    def _resampled(self, mono: Samples) -> Samples:
        return mono if self._convert is None else self._convert.resample_chunk(mono)

    def _rest(self) -> Samples:
        """What the resampler holds back; raises `AudioError` where the bytes end within a sample."""
        if self._raw.held:
            raise AudioError(
                f"The sound ends within a frame: {len(self._raw.held)} of its {self._raw.frame} bytes are there. "
                "Check its format and its number of channels."
            )
        rest = np.zeros(0, np.float32)
        return rest if self._convert is None else self._convert.resample_chunk(rest, last=True)


def pieces(samples: Samples) -> Iterator[Samples]:
    """Samples at 16 kHz, a second at a time."""
    for start in range(0, len(samples), PIECE):
        yield samples[start : start + PIECE]


def _array(content: Sound) -> Array:
    try:
        return np.asarray(content)
    except (ValueError, TypeError, OverflowError):
        return to_float(content)  # raises the sentence


def _check(rate: object, channels: object) -> None:
    if not _is_between(rate, *RATES):
        raise AudioError(f"The rate of sound must be a whole number from {RATES[0]} to {RATES[1]} Hz; got {rate!r}.")
    if not _is_between(channels, 1, MOST_CHANNELS):
        raise AudioError(f"The number of channels must be from 1 to {MOST_CHANNELS}; got {channels!r}.")


def _is_between(given: object, least: int, most: int) -> bool:
    return isinstance(given, int | np.integer) and not isinstance(given, bool) and bool(least <= given <= most)
