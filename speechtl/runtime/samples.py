"""Samples as everything here takes them: 16 kHz, mono, int16 or float32."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from speechtl.errors import AudioError

SAMPLE_RATE = 16_000  # hertz, everywhere inside speechtl

Samples = npt.NDArray[np.float32]


LOUDEST = 100.0  # full scale is 1; floats far beyond it are whole numbers that were only made floats


def to_float(samples: npt.ArrayLike) -> Samples:
    """One-dimensional int16 or float samples as float32 in [-1, 1]; raises `AudioError`, with what to write, for anything else.

    In its messages x is what was given.
    """
    array = _to_array(samples)
    if array.ndim != 1:
        raise AudioError(f"Samples must be one-dimensional (mono); got an array of shape {array.shape}. {_to_mono(array)}")
    if array.dtype == np.int16:
        return array.astype(np.float32) / np.float32(32768.0)
    if array.dtype not in (np.float32, np.float64):
        raise AudioError(f"Samples must be int16 or float32; got {array.dtype}. {_to_int16(samples, array)}")
    with np.errstate(over="ignore"):
        values = array.astype(np.float32, copy=False)
    peak = float(np.abs(values).max(initial=0.0))
    if not peak <= LOUDEST:  # NaN, too
        if not np.isfinite(values).all():
            raise AudioError("The samples hold values that are not numbers (NaN or infinity).")
        raise AudioError(f"Float samples must be in [-1, 1]; these reach {peak:.0f}. Whole numbers of 16 bits: {_as_int16(samples)}")
    return values


def _to_array(samples: npt.ArrayLike) -> npt.NDArray[Any]:
    if isinstance(samples, bytes | bytearray) or (isinstance(samples, memoryview) and samples.format == "B"):
        raise AudioError("Samples must be numbers; got bytes. Raw samples of 16 bits: np.frombuffer(x, np.int16)")
    try:
        return np.asarray(samples)
    except (ValueError, TypeError, OverflowError) as error:
        raise AudioError(f"Samples must be an array of numbers; this cannot be one: {error}") from error


def _to_mono(array: npt.NDArray[Any]) -> str:
    """What to write to have one dimension; a recording is longer than it has channels."""
    if array.ndim == 2 and array.shape[0] >= array.shape[1]:
        return "One channel: x[:, 0]"
    if array.ndim == 2:
        return "One channel: x[0]"
    return "A list or an array of samples is needed; np.ravel(x) has one dimension."


def _to_int16(samples: npt.ArrayLike, array: npt.NDArray[Any]) -> str:
    """What to write to have samples of a type that is taken."""
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
