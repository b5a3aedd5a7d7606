"""Raw samples of a pipe: decoding them, and checking that they look like the given format."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from speechtl.errors import AudioError, did_you_mean
from speechtl.runtime.samples import LOUDEST, Samples

FORMATS = {"s16": "<i2", "s32": "<i4", "f32": "<f4"}  # little-endian, as `arecord -f S16_LE`, S32_LE and FLOAT_LE
FULL_SCALE = {"s16": 2.0**15, "s32": 2.0**31, "f32": 1.0}
ENOUGH = 4000  # bytes that are not zero, needed to judge the format
LOOKS = 50  # attempts at most: 6 s of sound at 16 kHz
DIFFERENT = 100  # distinct values, at least
QUIET, LOUD = 1e-7, 4.0  # nearly all float samples of a recording are in this range; few values of another format are, read as floats


class RawFormat:
    """Samples of one format, in frames of interleaved channels; bytes may be cut anywhere.

    `log` receives one sentence where the samples look like another format.
    """

    def __init__(self, name: str, channels: int, log: Callable[[str], None]) -> None:
        if name not in FORMATS:
            raise AudioError(
                f"The format {name!r} of raw samples is not known{did_you_mean(name, FORMATS)}; take one of: {', '.join(FORMATS)}."
            )
        self.name = name
        self.channels = channels
        self.frame = np.dtype(FORMATS[name]).itemsize * channels
        self.held = b""  # of a frame that is not complete
        self._log = log
        self._seen = b""
        self._looks = LOOKS

    def mono(self, content: bytes) -> Samples:
        """The next whole frames as mono samples `(frames,)`, channels averaged; raises `AudioError` for values that are not numbers."""
        content = self.held + content
        whole = len(content) // self.frame * self.frame
        content, self.held = content[:whole], content[whole:]
        self._judge(content)
        numbers = np.frombuffer(content, FORMATS[self.name]).reshape(-1, self.channels)
        if self.name == "f32" and not np.abs(numbers).max(initial=0.0) <= LOUDEST:
            guess = guess_format(self._seen or content, self.name, self.channels)
            raise AudioError(
                f"The raw samples are not f32: they contain values that are not numbers, or are far beyond 1. {_advice(guess)}"
            )
        mean: Samples = numbers.mean(axis=1, dtype=np.float32 if self.name != "s32" else np.float64).astype(np.float32)
        return mean / np.float32(FULL_SCALE[self.name])

    def _judge(self, content: bytes) -> None:
        """Examine the sound that is not silence, until it suggests a format."""
        if self._looks == 0:
            return
        self._seen = (self._seen + content)[-4 * ENOUGH * self.frame :]
        if len(self._seen) - self._seen.count(0) < ENOUGH:
            return
        guess = guess_format(self._seen, self.name, self.channels)
        self._seen = b""
        self._looks = 0 if guess else self._looks - 1
        if guess not in (None, self.name):
            self._log(
                f"The raw samples look like {guess}, not {self.name}; with a wrong format words are missed or falsely detected. "
                f"{_advice(guess)}"
            )


def guess_format(content: bytes, form: str, channels: int = 1) -> str | None:
    """The format that raw samples, given as `form`, seem to have; None where that is not clear."""
    content = content[: len(content) // 4 * 4]
    words, halves = np.frombuffer(content, "<u4"), np.frombuffer(content, "<i2").astype(np.float64).reshape(-1, 2)
    halves, words = halves[words != 0], words[words != 0]
    if len(set(words.tolist())) < DIFFERENT:  # a test tone may look like any format
        return None
    floats = words.view("<f4")
    if _are_as_large_as_sound(floats) and (form == "f32" or 0.02 < (floats < 0.0).mean() < 0.98):
        return "f32"
    low, high = halves.T
    if _is_noise_of_full_scale(low) and high.std() < 0.5 * low.std():  # the lower halves of 32 bits are random, or all zero
        return "s32"
    if channels == 1 and not low.any() and high.any():
        return "s32"
    if abs(_correlation(low, high)) > 0.3:
        return "s16"
    return None


def _are_as_large_as_sound(floats: Samples) -> bool:
    magnitudes = np.abs(floats)
    return bool(((magnitudes > QUIET) & (magnitudes < LOUD)).mean() > 0.95)


def _is_noise_of_full_scale(values: npt.NDArray[np.float64]) -> bool:
    """True for 16-bit numbers that are spread evenly over their whole range."""
    counts, _ = np.histogram(values, 8, (-32768, 32768))
    return bool(counts.min() > 0.7 * counts.mean())


def _correlation(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float:
    spread = float(one.std() * other.std())
    return 0.0 if spread == 0.0 else float(((one - one.mean()) * (other - other.mean())).mean() / spread)


def _advice(guess: str | None) -> str:
    return f"Give --format {guess}." if guess else "Give their format with --format."
