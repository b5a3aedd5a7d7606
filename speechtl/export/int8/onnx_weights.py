"""The convolutions of an ONNX graph whose weights become int8."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from speechtl.export.int8.rounding import Layer, Pair, patches

Floats = npt.NDArray[np.float32]

TO_CHANNELS_FIRST, TO_CHANNELS_LAST = (0, 3, 1, 2), (0, 2, 3, 1)
WEIGHTS = 1  # which input of a node they are


class OnnxLayer:
    """Two-dimensional convolutions that share their weights, one of the graph's initializers; mostly it is one."""

    def __init__(self, nodes: Sequence[Any], initializer: Any, levels: int) -> None:
        from onnx import numpy_helper

        self._initializer = initializer
        weights = numpy_helper.to_array(initializer).transpose(TO_CHANNELS_LAST)
        self._shape = weights.shape
        self._groups = _told(nodes[0]).get("group", 1)
        self._uses = [(node.input[0], *_places(_told(node))) for node in nodes]
        self._layer = Layer(weights.reshape(self._groups, self._shape[0] // self._groups, -1), levels)

    @property
    def name(self) -> str:
        """The name of the weights."""
        return str(self._initializer.name)

    def watch(self, tensors: Mapping[str, Floats]) -> None:
        """Take in what goes into the layer at a step, from tensors `(1, channels, height, width)` by name."""
        kernel = (self._shape[1], self._shape[2])
        for given, stride, dilation, padding in self._uses:
            self._layer.watch(patches(tensors[given].transpose(TO_CHANNELS_LAST), kernel, stride, dilation, self._groups, padding))

    def round(self) -> list[dict[str, Any]]:
        """Bring the weights to what int8 can hold; return each channel's scale as ONNX Runtime's quantizer takes it."""
        from onnx import numpy_helper

        made = self._layer.rounded().reshape(self._shape).transpose(TO_CHANNELS_FIRST)
        self._initializer.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(made), self.name))
        return [{"axis": 0, "scale": np.float32(scale), "zero_point": 0} for scale in self._layer.scales.reshape(-1)]


def layers(model: Any, left_out: Collection[str], levels: int) -> list[OnnxLayer]:
    """Return the convolutions whose weights become int8; `left_out` are the names of nodes that stay float, as do weights that they use."""
    initializers = {tensor.name: tensor for tensor in model.graph.initializer}
    users: dict[str, list[Any]] = {}
    kept: set[str] = set()
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            if name not in initializers:
                continue
            if place == WEIGHTS and node.op_type == "Conv" and node.name not in left_out and _is_plain(node, initializers[name]):
                users.setdefault(name, []).append(node)
            else:
                kept.add(name)
    return [OnnxLayer(nodes, initializers[name], levels) for name, nodes in users.items() if name not in kept]


def _is_plain(node: Any, initializer: Any) -> bool:
    """Say whether a convolution has height and width, and says itself how it is padded."""
    return len(initializer.dims) == 4 and _told(node).get("auto_pad", b"NOTSET") == b"NOTSET"


def _places(told: Mapping[str, Any]) -> tuple[Pair, Pair, tuple[Pair, Pair]]:
    """Return stride, dilation and zeros before and behind, of height and width."""
    (down, across), (apart, aside) = told.get("strides", (1, 1)), told.get("dilations", (1, 1))
    top, left, bottom, right = told.get("pads", (0, 0, 0, 0))
    return (down, across), (apart, aside), ((top, bottom), (left, right))


def _told(node: Any) -> dict[str, Any]:
    from onnx import helper

    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
