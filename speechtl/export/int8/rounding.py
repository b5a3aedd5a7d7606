"""Weights in int8: a scale for each channel, few levels, and what rounding costs made up for as well as the layer can.

Nearest rounding treats every weight alone. What the output is off by, on what really goes in, becomes less if the weights of a channel are
rounded one after the other and those that are still free make up for the ones before, as the second moments of the inputs tell: Hassibi
and Stork (1993), in the order of work of Frantar et al. (GPTQ, 2022).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Pair = tuple[int, int]  # of height and width

ALL_LEVELS = 127  # of a weight, above and below zero
FEW_LEVELS = 72  # with all of them conv-ctc's logits differ by a fourteenth less, and its bundle is 40 kB larger
FAINT = 1e-4  # of a layer's largest weight: a channel that has less says nothing in int8, and its bias would not fit beside such a scale
DAMPING = 0.01  # of the mean second moment, added to each: inputs that always move together share errors no further


class Layer:
    """The weights `(groups, channels, inputs)` of a convolution or dense layer, and what goes into it."""

    ROWS = 512  # of inputs that are multiplied at once

    def __init__(self, weights: Floats, levels: int) -> None:
        self._weights = weights.astype(np.float64)
        self._levels = levels
        self.scales = _scales(self._weights, levels)
        self._moments = np.zeros((len(weights), weights.shape[2], weights.shape[2]))
        self._rows: list[Floats] = []
        self._waiting = 0

    def watch(self, rows: Floats) -> None:
        """Take in what the channels see: rows `(places, groups, inputs)`."""
        self._rows.append(rows)
        self._waiting += len(rows)
        if self._waiting >= self.ROWS:
            self._gather()

    def rounded(self) -> Floats:
        """Return the weights as whole multiples of their channels' scales `(groups, channels)`."""
        if self._rows:
            self._gather()
        groups = zip(self._weights, self.scales, self._moments, strict=True)
        return np.stack([rounded(weights, scales, moments, self._levels) for weights, scales, moments in groups]).astype(np.float32)

    def _gather(self) -> None:
        rows = np.concatenate(self._rows).transpose(1, 0, 2)
        self._moments += rows.transpose(0, 2, 1) @ rows
        self._rows, self._waiting = [], 0


def rounded(weights: Doubles, scales: Doubles, moments: Doubles, levels: int) -> Doubles:
    """Return weights `(channels, inputs)` as whole multiples, at most `levels`, of their channel's scale `(channels,)`.

    `moments` are `(inputs, inputs)`. Inputs that move most are rounded first, while most others are still free.
    """
    order = np.argsort(-np.diag(moments), kind="stable")
    damped = moments[np.ix_(order, order)] + np.eye(len(order)) * (DAMPING * np.diag(moments).mean() or 1.0)
    following = np.linalg.cholesky(np.linalg.inv(damped)).T  # row i: how the weights from i on answer to a change of weight i
    left = weights[:, order].astype(np.float64)
    made = np.empty_like(left)
    for column in range(left.shape[1]):
        made[:, column] = np.clip(np.rint(left[:, column] / scales), -levels, levels) * scales
        error = (left[:, column] - made[:, column]) / following[column, column]
        left[:, column + 1 :] -= error[:, None] * following[column, column + 1 :]
    result = np.empty_like(made)
    result[:, order] = made
    return result


def patches(
    inputs: Floats, kernel: Pair, stride: Pair, dilation: Pair, groups: int, padding: tuple[Pair, Pair] = ((0, 0), (0, 0))
) -> Floats:
    """Return what a convolution sees of `(1, height, width, channels)` at each place: `(places, groups, inputs)`.

    The inputs of a group are in the order of weights `(height, width, channels of the group)`. `padding` is zeros before and behind.
    """
    reach = [(taps - 1) * apart + 1 for taps, apart in zip(kernel, dilation, strict=True)]
    given = np.pad(inputs[0], (*padding, (0, 0))) if any(map(any, padding)) else inputs[0]
    seen = np.lib.stride_tricks.sliding_window_view(given, reach, axis=(0, 1))[:: stride[0], :: stride[1]]
    seen = seen[..., :: dilation[0], :: dilation[1]]  # (down, across, channels, kernel height, kernel width)
    down, across, channels = seen.shape[:3]
    grouped = seen.reshape(down * across, groups, channels // groups, *seen.shape[3:])
    return grouped.transpose(0, 1, 3, 4, 2).reshape(down * across, groups, -1)


def _scales(weights: Doubles, levels: int) -> Doubles:
    """Return how much a level of each channel is, `(groups, channels)`: its largest weight becomes `levels` steps or a little less.

    Scales are eighths of an octave apart: those that make use of all levels are different in every channel, and neither they nor biases,
    which are counted in them, would pack.
    """
    largest = np.abs(weights).max(axis=2)
    largest = np.maximum(largest, FAINT * (largest.max() or 1.0))
    scales: Doubles = 2.0 ** (np.ceil(8 * np.log2(largest / levels)) / 8)
    return scales
