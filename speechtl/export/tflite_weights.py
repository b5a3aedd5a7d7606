"""The layers of a TFLite graph whose weights become int8."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from speechtl.export.rounding import ALL_LEVELS, Layer, Pair, patches
from speechtl.export.tflite_model import Graph

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

CHANNELS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0}  # the axis of their weights that counts them
SAME = 0  # padding


class TfliteLayer:
    """A convolution or dense layer whose weights stand in the graph."""

    def __init__(self, graph: Graph, operator: Any, levels: int) -> None:
        self._graph, self._kind, self._options = graph, graph.kind(operator), operator.builtinOptions
        self._input, self._weights = graph.name(int(operator.inputs[0])), int(operator.inputs[1])
        weights = graph.values(self._weights)
        self._shape = weights.shape
        channels = graph.tensors[int(operator.inputs[0])].shape[-1]
        self._groups = {"CONV_2D": channels // self._shape[-1], "DEPTHWISE_CONV_2D": channels, "FULLY_CONNECTED": 1}[self._kind]
        if self._kind == "DEPTHWISE_CONV_2D":  # the channels that a channel becomes come last
            weights = weights.reshape(-1, self._groups, self._shape[3] // self._groups).transpose(1, 2, 0)
        self._layer = Layer(weights.reshape(self._groups, self._shape[CHANNELS[self._kind]] // self._groups, -1), levels)

    @property
    def name(self) -> str:
        """The name of the weights."""
        return self._graph.name(self._weights)

    def watch(self, tensors: Mapping[str, Floats]) -> None:
        """Take in what goes into the layer at a step."""
        given = tensors[self._input]
        if self._kind == "FULLY_CONNECTED":
            self._layer.watch(given.reshape(-1, 1, self._shape[-1]))
            return
        told = self._options
        kernel, stride = (self._shape[1], self._shape[2]), (told.strideH, told.strideW)
        dilation = (told.dilationHFactor, told.dilationWFactor)
        padding = _same(given.shape[1:3], kernel, stride, dilation) if told.padding == SAME else ((0, 0), (0, 0))
        self._layer.watch(patches(given, kernel, stride, dilation, self._groups, padding))

    def round(self) -> tuple[Doubles, Doubles]:
        """Bring the weights to what int8 can hold; return the lowest and highest number that it has to cover, channel by channel."""
        made = self._layer.rounded()
        if self._kind == "DEPTHWISE_CONV_2D":
            made = made.transpose(2, 0, 1)
        self._graph.set_values(self._weights, made.reshape(self._shape))
        shape = [1] * len(self._shape)
        shape[CHANNELS[self._kind]] = -1
        highest = ALL_LEVELS * self._layer.scales.reshape(shape)
        return -highest, highest


def layers(graph: Graph, left_out: Collection[str], levels: int) -> list[TfliteLayer]:
    """Return the layers whose weights become int8; `left_out` are the scopes of operators that stay float."""
    return [
        TfliteLayer(graph, operator, levels)
        for operator in graph.operators
        if graph.kind(operator) in CHANNELS and graph.is_constant(int(operator.inputs[1])) and graph.scope(operator) not in left_out
    ]


def _same(size: Pair, kernel: Pair, stride: Pair, dilation: Pair) -> tuple[Pair, Pair]:
    """Return the zeros before and behind that TensorFlow's padding SAME has, of height and width."""
    padding = []
    for long, taps, by, apart in zip(size, kernel, stride, dilation, strict=True):
        missing = max((-(-long // by) - 1) * by + (taps - 1) * apart + 1 - long, 0)
        padding.append((missing // 2, missing - missing // 2))
    return padding[0], padding[1]
