"""The features of microWakeWord's listeners: 40 bands every 10 ms as int8, from the front end that also runs on the device."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from speechtl.errors import MissingExtraError
from speechtl.runtime.features import WaveformSettings
from speechtl.runtime.samples import SAMPLE_RATE, to_float, to_int16

Int8 = npt.NDArray[np.int8]

BANDS = 40
HOP, WINDOW = 160, 480  # samples: 10 and 30 ms
BYTES = 2  # of a sample
STEPS = 25.6  # of the front end's integers in its value 1
SCALE, ZERO = 26.0 / 255.0, -128  # value of one step of int8, and the int8 number of silence
DIVISOR = 666  # 25.6 * 26: ESPHome divides its integers times 256 by it, rounding to the nearest
AUDIO = WaveformSettings(hop=HOP)  # what a scorer feeds


class MicroFeatures:
    """Features of a stream, in which the noise estimate of the front end goes on; any chunk length gives the same features.

    Raises `MissingExtraError` if the front end is not installed.
    """

    def __init__(self) -> None:
        try:
            from pymicro_features import MicroFrontend
        except ImportError as error:
            raise MissingExtraError("The front end of microWakeWord", "microwakeword") from error
        self._front_end = MicroFrontend()
        self._held = b""

    def feed(self, samples: npt.ArrayLike) -> Int8:
        """Take the next samples (16 kHz, int16 or float32 in [-1, 1]) and return the frames `(frames, 40)` they complete."""
        self._held += to_int16(to_float(samples)).astype("<i2").tobytes()
        frames: list[list[float]] = []
        start, chunk = 0, HOP * BYTES
        while start + chunk <= len(self._held):
            taken = self._front_end.process_samples(self._held[start : start + chunk])
            start += taken.samples_read * BYTES
            if taken.features:
                frames.append(taken.features)
        self._held = self._held[start:]
        return as_int8(np.array(frames, np.float64).reshape(-1, BANDS))


def compute(samples: npt.ArrayLike) -> Int8:
    """All frames `(frames, 40)` of a recording."""
    return MicroFeatures().feed(samples)


def as_int8(values: npt.NDArray[np.float64]) -> Int8:
    """The front end's values as ESPHome gives them to a model."""
    whole = np.rint(values * STEPS).astype(np.int64)
    return np.clip((whole * 256 + DIVISOR // 2) // DIVISOR + ZERO, -128, 127).astype(np.int8)


def seconds(frames: int) -> float:
    """The time at which that many frames are complete, from the start of a stream."""
    return ((frames - 1) * HOP + WINDOW) / SAMPLE_RATE
