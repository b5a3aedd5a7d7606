"""Sound samples and array types: 16 kHz, mono, int16 or float32."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from speechtl.errors import AudioError

SAMPLE_RATE = 16_000  # hertz, everywhere inside speechtl
INT16_SCALE = 32768.0  # int16 samples divided by it are in [-1, 1)
INT16_PEAK = 32767.0

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Samples = Floats
Int16 = npt.NDArray[np.int16]
Json = dict[str, Any]

LOUDEST = 100.0  # full scale is 1; larger floats are integer samples that were only cast to float


def to_float(samples: npt.ArrayLike) -> Samples:
    """One-dimensional int16 or float samples as float32 in [-1, 1]; raises `AudioError` for anything else.

    Its messages show the conversion that is needed, where x is the argument.
    """
    array = _to_array(samples)
    if array.ndim != 1:
        raise AudioError(f"Samples must be one-dimensional (mono); got an array of shape {array.shape}. {_to_mono(array)}")
    if array.dtype == np.int16:
        return from_int16(array)
    if array.dtype not in (np.float32, np.float64):
        raise AudioError(f"Samples must be int16 or float32; got {array.dtype}. {_to_known_type(samples, array)}")
    with np.errstate(over="ignore"):
        values = array.astype(np.float32, copy=False)
    peak = float(np.abs(values).max(initial=0.0))
    if not peak <= LOUDEST:  # NaN, too
        if not np.isfinite(values).all():
            raise AudioError("The samples contain values that are not numbers (NaN or infinity).")
        raise AudioError(f"Float samples must be in [-1, 1]; these reach {peak:.0f}. For 16-bit integers: {_as_int16(samples)}")
    return values


def from_int16(samples: Array) -> Samples:
    """Samples of 16 bits as float32 in [-1, 1)."""
    return samples.astype(np.float32) / np.float32(INT16_SCALE)


def to_int16(samples: Array) -> Int16:
    """Float samples rounded to 16 bits: the inverse of `from_int16`; samples beyond full scale are clipped."""
    rounded: Int16 = np.clip(np.round(samples * INT16_SCALE), -INT16_SCALE, INT16_PEAK).astype(np.int16)
    return rounded


def to_symmetric_int16(samples: Array) -> Int16:
    """Synthetic samples in [-1, 1] as 16 bits from -32767 to 32767, so that a full-scale wave is clipped on neither side."""
    rounded: Int16 = np.round(np.clip(samples, -1.0, 1.0) * INT16_PEAK).astype(np.int16)
    return rounded


def _to_array(samples: npt.ArrayLike) -> Array:
    if isinstance(samples, bytes | bytearray) or (isinstance(samples, memoryview) and samples.format == "B"):
        raise AudioError("Samples must be numbers; got bytes. Raw samples of 16 bits: np.frombuffer(x, np.int16)")
    try:
        return np.asarray(samples)
    except (ValueError, TypeError, OverflowError) as error:
        raise AudioError(f"Samples must be an array of numbers; this cannot be converted: {error}") from error


def _to_mono(array: Array) -> str:
    """Advice on how to get one dimension; a recording has more samples than channels."""
    if array.ndim == 2 and array.shape[0] >= array.shape[1]:
        return "One channel: x[:, 0]"
    if array.ndim == 2:
        return "One channel: x[0]"
    return "A list or an array of samples is needed; np.ravel(x) has one dimension."


def _to_known_type(samples: npt.ArrayLike, array: Array) -> str:
    """Advice on how to get samples of an accepted type."""
    if array.dtype.kind == "f":
        return "Write x.astype(np.float32)"
    if array.dtype.kind not in "iu":
        return "Write np.asarray(x, np.int16) where they are whole numbers of 16 bits, else np.asarray(x, np.float32) in [-1, 1]"
    if len(array) and (array.min() < -32768 or array.max() > 32767):
        wider = "x.astype(np.float32) / 2**31" if array.dtype == np.int32 else "x.astype(np.float32), divided by their full scale"
        return f"They do not fit into 16 bits; write {wider}"
    return f"Write {_as_int16(samples)}"


def _as_int16(samples: npt.ArrayLike) -> str:
    return "np.array(x, np.int16)" if isinstance(samples, list | tuple) else "x.astype(np.int16)"
