"""The weights of a TFLite graph in int8: a scale for each channel, few levels, and each layer rounded by what really goes into it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from speechtl.export.rounding import Moments, patches, rounded
from speechtl.export.tflite_model import Graph

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

CHANNELS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0}  # the axis of their weights that counts them
ALL_LEVELS = 127  # of a weight, above and below zero
FEW_LEVELS = 72  # with all of them logits differ by a fourteenth less, and a bundle is 40 kB larger
TINY = 1e-12  # what the weights of a dead channel are taken for
SAME = 0  # padding


class Layer:
    """A convolution or dense layer whose weights stand in the graph."""

    def __init__(self, graph: Graph, operator: Any) -> None:
        self._graph, self._kind, self._options = graph, graph.kind(operator), operator.builtinOptions
        self._input, self._weights = graph.name(int(operator.inputs[0])), int(operator.inputs[1])
        self._moments = Moments()
        self.shape = graph.values(self._weights).shape
        channels = graph.tensors[int(operator.inputs[0])].shape[-1]
        self._groups = {"CONV_2D": channels // self.shape[-1], "DEPTHWISE_CONV_2D": channels, "FULLY_CONNECTED": 1}[self._kind]

    @property
    def name(self) -> str:
        """The name of the weights."""
        return self._graph.name(self._weights)

    @property
    def axis(self) -> int:
        """The axis of the weights that counts channels."""
        return CHANNELS[self._kind]

    def watch(self, tensors: Mapping[str, Floats]) -> None:
        """Take in what goes into the layer at a step."""
        given = tensors[self._input]
        if self._kind == "FULLY_CONNECTED":
            rows = given.reshape(-1, 1, self.shape[-1])
        else:
            told = self._options
            across, apart = (told.strideH, told.strideW), (told.dilationHFactor, told.dilationWFactor)
            rows = patches(given, (self.shape[1], self.shape[2]), across, apart, self._groups, padded=told.padding == SAME)
        self._moments.add(rows)

    def scales(self, levels: int) -> Doubles:
        """Return how much a level of each channel is.

        The largest weight of a channel becomes `levels` steps or a little less: a scale of its own for each channel makes use of all
        levels, and then weights hardly pack. Scales, of which biases have one a channel, too, are eighths of an octave apart, so they do.
        """
        weights = np.abs(self._graph.values(self._weights).astype(np.float64))
        largest = weights.max(axis=tuple(other for other in range(weights.ndim) if other != self.axis))
        scales: Doubles = 2.0 ** (np.ceil(8 * np.log2(np.maximum(largest, TINY) / levels)) / 8)
        return scales

    def limits(self, levels: int) -> tuple[Doubles, Doubles]:
        """Return the lowest and highest number that int8 has to cover, channel by channel."""
        shape = [1] * len(self.shape)
        shape[self.axis] = -1
        highest = ALL_LEVELS * self.scales(levels).reshape(shape)
        return -highest, highest

    def round(self, levels: int) -> None:
        """Bring the weights to what int8 can hold."""
        weights, scales, moments = self._by_groups(self._graph.values(self._weights)), self.scales(levels), self._moments.sum()
        made = np.stack(
            [
                rounded(several, some, seen, levels)
                for several, some, seen in zip(weights, scales.reshape(self._groups, -1), moments, strict=True)
            ]
        )
        self._graph.set_values(self._weights, self._by_channels(made).astype(np.float32))

    def _by_groups(self, weights: Floats) -> Doubles:
        """Return the weights as `(groups, channels of a group, inputs of a group)`."""
        if self._kind == "DEPTHWISE_CONV_2D":
            return weights.reshape(-1, self._groups, self.shape[3] // self._groups).transpose(1, 2, 0).astype(np.float64)
        return weights.reshape(self._groups, self.shape[0] // self._groups, -1).astype(np.float64)

    def _by_channels(self, grouped: Doubles) -> Doubles:
        if self._kind == "DEPTHWISE_CONV_2D":
            return grouped.transpose(2, 0, 1).reshape(self.shape)
        return grouped.reshape(self.shape)


def layers(graph: Graph, left_out: Collection[str]) -> list[Layer]:
    """Return the layers whose weights become int8; `left_out` are the scopes of operators that stay float."""
    return [
        Layer(graph, operator)
        for operator in graph.operators
        if graph.kind(operator) in CHANNELS and graph.is_constant(int(operator.inputs[1])) and graph.scope(operator) not in left_out
    ]
