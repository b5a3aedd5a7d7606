"""Samples as everything here takes them: 16 kHz, mono, int16 or float32."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from speechtl.errors import AudioError

SAMPLE_RATE = 16_000  # hertz, everywhere inside speechtl

Samples = npt.NDArray[np.float32]


def to_float(samples: npt.ArrayLike) -> Samples:
    """Return one-dimensional int16 or float samples as float32 in [-1, 1]; refuse anything else."""
    array = np.asarray(samples)
    if array.ndim != 1:
        raise AudioError(f"Samples must be one-dimensional (mono); got an array of shape {array.shape}.")
    if array.dtype == np.int16:
        return array.astype(np.float32) / np.float32(32768.0)
    if array.dtype not in (np.float32, np.float64):
        raise AudioError(f"Samples must be int16 or float32; got {array.dtype}.")
    values = array.astype(np.float32, copy=False)
    if not np.isfinite(values).all():
        raise AudioError("The samples hold values that are not numbers (NaN or infinity).")
    return values
