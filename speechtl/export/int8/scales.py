"""Scales of int8 weights: one for each channel, of few different values, so that a bundle packs.

Weights are rounded to the nearest level. Rounding them one after the other, so that each makes up for the error of those before
(GPTQ), was measured and is not worth its code: see `export/README.md`.
"""

from __future__ import annotations

import numpy as np

from speechtl.runtime.samples import Floats

ALL_LEVELS = 127  # of a weight, above and below zero
FEW_LEVELS = 72  # with all of them, a bundle is larger and the scores are not measurably closer to float
FAINT = 1e-4  # of a layer's largest weight: a channel with less is zero in int8, and its bias would not fit beside such a scale


def weight_scales(weights: Floats, axis: int, levels: int) -> Floats:
    """Scales of the channels along `axis`, in a shape that divides the weights.

    The largest weight of a channel becomes `levels` steps or a little less. Scales are eighths of an octave apart: scales that
    make use of all levels are different in every channel, and neither they nor biases, which are counted in them, would pack.
    """
    others = tuple(other for other in range(weights.ndim) if other != axis)
    largest = np.abs(weights.astype(np.float64)).max(axis=others, keepdims=True)
    largest = np.maximum(largest, FAINT * (largest.max() or 1.0))
    return np.asarray(2.0 ** (np.ceil(8 * np.log2(largest / levels)) / 8), np.float32)
