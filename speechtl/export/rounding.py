"""Round a layer's weights one after the other, each taking up what rounding the ones before did to the layer's output.

Nearest rounding treats every weight alone. What the output is off by, on what really goes in, becomes less if the weights that are still
free make up for those that are rounded, as the second moments of the inputs tell: Hassibi and Stork (1993), in the order of work of
Frantar et al. (GPTQ, 2022).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Pair = tuple[int, int]  # of height and width

DAMPING = 0.01  # of the mean second moment, added to each: inputs that always move together share errors no further


class Moments:
    """Second moments of what a layer takes in, `(groups, inputs, inputs)`, gathered row by row."""

    ROWS = 512  # that are multiplied at once

    def __init__(self) -> None:
        self._sum: Doubles | None = None
        self._rows: list[Floats] = []
        self._waiting = 0

    def add(self, rows: Floats) -> None:
        """Take in rows `(rows, groups, inputs)`."""
        self._rows.append(rows)
        self._waiting += len(rows)
        if self._waiting >= self.ROWS:
            self._gather()

    def sum(self) -> Doubles:
        """Return what has been gathered."""
        if self._rows:
            self._gather()
        assert self._sum is not None
        return self._sum

    def _gather(self) -> None:
        rows = np.concatenate(self._rows).transpose(1, 0, 2)  # groups first
        moments = (rows.transpose(0, 2, 1) @ rows).astype(np.float64)
        self._sum = moments if self._sum is None else self._sum + moments
        self._rows, self._waiting = [], 0


def patches(inputs: Floats, kernel: Pair, stride: Pair, dilation: Pair, groups: int, *, padded: bool) -> Floats:
    """Return what a convolution sees of `(1, height, width, channels)` at each place: `(places, groups, inputs)`.

    The inputs of a group are in the order of weights `(height, width, channels of the group)`. With `padded`, zeros stand around, as many
    as TensorFlow's SAME has.
    """
    reach = [(taps - 1) * apart + 1 for taps, apart in zip(kernel, dilation, strict=True)]
    given = inputs[0]
    if padded:
        missing = [max(-(-size // by) * by - by + far - size, 0) for size, far, by in zip(given.shape[:2], reach, stride, strict=True)]
        given = np.pad(given, [*((count // 2, count - count // 2) for count in missing), (0, 0)])
    seen = np.lib.stride_tricks.sliding_window_view(given, reach, axis=(0, 1))[:: stride[0], :: stride[1]]
    seen = seen[..., :: dilation[0], :: dilation[1]]  # (down, across, channels, kernel height, kernel width)
    down, across, channels = seen.shape[:3]
    grouped = seen.reshape(down * across, groups, channels // groups, *seen.shape[3:])
    return grouped.transpose(0, 1, 3, 4, 2).reshape(down * across, groups, -1)


def rounded(weights: Doubles, scales: Doubles, moments: Doubles, levels: int) -> Doubles:
    """Return weights `(rows, inputs)` as whole multiples, at most `levels`, of their row's scale `(rows,)`.

    `moments` are `(inputs, inputs)`. Inputs that move most are rounded first, while most others are still free.
    """
    order = np.argsort(-np.diag(moments), kind="stable")
    damped = moments[np.ix_(order, order)]
    damped = damped + np.eye(len(damped)) * (DAMPING * np.diag(damped).mean() or 1.0)
    following = np.linalg.cholesky(np.linalg.inv(damped)).T  # row i: how the weights from i on answer to a change of weight i
    left = weights[:, order].astype(np.float64)
    made = np.empty_like(left)
    for column in range(left.shape[1]):
        steps = np.clip(np.rint(left[:, column] / scales), -levels, levels)
        made[:, column] = steps * scales
        error = (left[:, column] - made[:, column]) / following[column, column]
        left[:, column + 1 :] -= error[:, None] * following[column, column + 1 :]
    result = np.empty_like(made)
    result[:, order] = made
    return result
