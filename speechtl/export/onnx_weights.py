"""The convolutions of an ONNX graph whose weights become int8."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from speechtl.export.rounding import Layer, patches

Floats = npt.NDArray[np.float32]

LAST = (0, 2, 3, 1)  # channels, of inputs and weights


class OnnxLayer:
    """A convolution whose weights stand in the graph, as one of its initializers."""

    def __init__(self, node: Any, initializer: Any, levels: int) -> None:
        from onnx import helper, numpy_helper

        told = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        self._input, self._initializer = node.input[0], initializer
        self._shape = tuple(numpy_helper.to_array(initializer).transpose(LAST).shape)
        self._groups = told.get("group", 1)
        self._stride, self._dilation = (tuple(told.get(name, (1, 1))) for name in ("strides", "dilations"))
        top, left, bottom, right = told.get("pads", (0, 0, 0, 0))
        self._padding = (top, bottom), (left, right)
        weights = numpy_helper.to_array(initializer).transpose(LAST)
        self._layer = Layer(weights.reshape(self._groups, self._shape[0] // self._groups, -1), levels)

    @property
    def name(self) -> str:
        """The name of the weights."""
        return str(self._initializer.name)

    def watch(self, tensors: Mapping[str, Floats]) -> None:
        """Take in what goes into the layer at a step."""
        given = tensors[self._input].transpose(LAST)
        kernel = (self._shape[1], self._shape[2])
        self._layer.watch(patches(given, kernel, self._stride, self._dilation, self._groups, self._padding))

    def round(self) -> list[dict[str, Any]]:
        """Bring the weights to what int8 can hold; return the scales of all channels as ONNX Runtime's quantizer takes them."""
        from onnx import numpy_helper

        made = self._layer.rounded().reshape(self._shape).transpose(0, 3, 1, 2)
        self._initializer.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(made), self.name))
        return [{"axis": 0, "scale": np.float32(scale), "zero_point": 0} for scale in self._layer.scales.reshape(-1)]


def layers(model: Any, left_out: Collection[str], levels: int) -> list[OnnxLayer]:
    """Return the convolutions whose weights become int8; `left_out` are the names of nodes that stay float."""
    initializers = {tensor.name: tensor for tensor in model.graph.initializer}
    return [
        OnnxLayer(node, initializers[node.input[1]], levels)
        for node in model.graph.node
        if node.op_type == "Conv" and node.input[1] in initializers and node.name not in left_out
    ]
