"""The layers of a TFLite graph whose weights become int8."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from speechtl.export.int8.rounding import ALL_LEVELS, Layer, Pair, patches
from speechtl.export.int8.tflite_model import Graph

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

CHANNELS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0}  # the axis of their weights that counts them
SAME = 0  # padding
WEIGHTS = 1  # which input of an operator they are


class TfliteLayer:
    """Convolutions or dense layers that share their weights, which stand in the graph; mostly it is one."""

    def __init__(self, graph: Graph, operators: Sequence[Any], levels: int) -> None:
        self._graph, self._operators = graph, operators
        self._kind, self._weights = graph.kind(operators[0]), int(operators[0].inputs[WEIGHTS])
        weights = graph.values(self._weights)
        self._shape = weights.shape
        channels = graph.tensors[int(operators[0].inputs[0])].shape[-1]
        self._groups = {"CONV_2D": channels // self._shape[-1], "DEPTHWISE_CONV_2D": channels, "FULLY_CONNECTED": 1}[self._kind]
        if self._kind == "DEPTHWISE_CONV_2D":  # the channels that a channel becomes come last
            weights = weights.reshape(-1, self._groups, self._shape[3] // self._groups).transpose(1, 2, 0)
        self._layer = Layer(weights.reshape(self._groups, self._shape[CHANNELS[self._kind]] // self._groups, -1), levels)

    def watch(self, tensors: Mapping[str, Floats]) -> None:
        """Take in what goes into the layer at a step, from tensors `(1, height, width, channels)` or `(..., channels)` by name."""
        for operator in self._operators:
            self._layer.watch(self._seen(tensors[self._graph.name(int(operator.inputs[0]))], operator.builtinOptions))

    def round(self) -> dict[str, tuple[Doubles, Doubles]]:
        """Bring the weights to what int8 can hold; return the lowest and highest number that it has to cover, channel by channel.

        They stand under the names of the weights, in a shape that goes with theirs.
        """
        made = self._layer.rounded()
        if self._kind == "DEPTHWISE_CONV_2D":
            made = made.transpose(2, 0, 1)
        self._graph.set_values(self._weights, made.reshape(self._shape))
        shape = [1] * len(self._shape)
        shape[CHANNELS[self._kind]] = -1
        highest = ALL_LEVELS * self._layer.scales.reshape(shape)
        return {self._graph.name(int(operator.inputs[WEIGHTS])): (-highest, highest) for operator in self._operators}

    def _seen(self, given: Floats, told: Any) -> Floats:
        if self._kind == "FULLY_CONNECTED":
            return given.reshape(-1, 1, self._shape[-1])
        kernel, stride = (self._shape[1], self._shape[2]), (told.strideH, told.strideW)
        dilation = (told.dilationHFactor, told.dilationWFactor)
        padding = same_padding(given.shape[1:3], kernel, stride, dilation) if told.padding == SAME else ((0, 0), (0, 0))
        return patches(given, kernel, stride, dilation, self._groups, padding)


def layers(graph: Graph, left_out: Collection[str], levels: int) -> list[TfliteLayer]:
    """Return the layers whose weights become int8; `left_out` are the scopes of operators that stay float, as do weights that they use."""
    users: dict[int, list[Any]] = {}
    kept: set[int] = set()
    for operator in graph.operators:
        for place, tensor in enumerate(map(int, operator.inputs)):
            if tensor < 0 or not graph.is_constant(tensor):
                continue
            buffer = graph.tensors[tensor].buffer
            if place == WEIGHTS and graph.kind(operator) in CHANNELS and graph.scope(operator) not in left_out:
                users.setdefault(buffer, []).append(operator)
            else:
                kept.add(buffer)
    return [TfliteLayer(graph, operators, levels) for buffer, operators in users.items() if buffer not in kept]


def same_padding(size: Pair, kernel: Pair, stride: Pair, dilation: Pair) -> tuple[Pair, Pair]:
    """Return the zeros before and behind that TensorFlow's padding SAME has, of height and width."""
    padding = []
    for long, taps, by, apart in zip(size, kernel, stride, dilation, strict=True):
        missing = max((-(-long // by) - 1) * by + (taps - 1) * apart + 1 - long, 0)
        padding.append((missing // 2, missing - missing // 2))
    return padding[0], padding[1]
