"""A student in int8: weights with a scale a channel, activations with the ranges that they have on features of the training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from speechtl.export.microwakeword.features import SCALE, ZERO, Int8
from speechtl.export.microwakeword.student import Layer, as_input
from speechtl.runtime.samples import Floats

LOGIT = 10.0  # beyond it the probability differs from 0 and 1 by less than a step of its own
LEVELS = 255  # steps of int8


@dataclass(frozen=True)
class Quantisation:
    """The value of one step of a tensor, and the number that stands for 0."""

    scale: float
    zero: int


@dataclass(frozen=True)
class Int8Layer:
    """A convolution of integers; weights `(outputs, inputs of a group, kernel)`."""

    weights: Int8
    scales: Floats  # of the weights of each output
    bias: npt.NDArray[np.int32]  # in steps of the input's scale times that of the weights
    stride: int
    depthwise: bool
    relu: bool
    before: Quantisation
    after: Quantisation

    @property
    def kernel(self) -> int:
        """Frames that an output is made from."""
        return int(self.weights.shape[2])

    @property
    def channels(self) -> int:
        """Channels of the input."""
        return len(self.weights) if self.depthwise else int(self.weights.shape[1])


@torch.no_grad()
def quantise(layers: Sequence[Layer], features: Int8) -> list[Int8Layer]:
    """The layers in int8; their ranges are measured on features `(examples, frames, 40)`."""
    flow, before = as_input(features), Quantisation(SCALE, ZERO)
    made = []
    for layer in layers:
        flow = layer(flow)
        last = layer is layers[-1]
        after = _between(-LOGIT, LOGIT) if last else _between(min(float(flow.min()), 0.0), float(flow.max()))
        made.append(_quantised(layer, before, after))
        before = after
    return made


def _between(low: float, high: float) -> Quantisation:
    scale = max(high - low, 1e-6) / LEVELS
    return Quantisation(scale, round(-128 - low / scale))


def _quantised(layer: Layer, before: Quantisation, after: Quantisation) -> Int8Layer:
    weights = layer.weights[..., 0].numpy().astype(np.float64)
    scales = (np.maximum(np.abs(weights).max(axis=(1, 2)), 1e-9) / 127.0).astype(np.float32)
    bias = layer.bias.numpy().astype(np.float64) / (before.scale * scales.astype(np.float64))
    return Int8Layer(
        np.rint(weights / scales[:, None, None]).astype(np.int8),
        scales,
        np.rint(np.clip(bias, -(2**31), 2**31 - 1)).astype(np.int32),
        layer.stride,
        layer.groups > 1,
        layer.relu,
        before,
        after,
    )
