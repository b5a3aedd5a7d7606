"""A TFLite flatbuffer as Python objects: reading, editing, pruning, writing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from speechtl.runtime.samples import Floats


def read_model(content: bytes) -> Any:
    """Decode a flatbuffer into a tree of Python objects."""
    from ai_edge_litert.tools import flatbuffer_utils

    return flatbuffer_utils.read_model_from_bytearray(bytearray(content))


def write_model(model: Any) -> bytes:
    """Encode a tree of Python objects as a flatbuffer."""
    from ai_edge_litert.tools import flatbuffer_utils

    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


class TfliteGraph:
    """The single graph of a model, with the producer and the consumers of each tensor."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.graph = model.subgraphs[0]
        self.tensors: list[Any] = self.graph.tensors
        self.index()

    def index(self) -> None:
        """Update producers and consumers after operators have changed."""
        self.producer: dict[int, Any] = {int(tensor): made for made in self.operators for tensor in made.outputs}
        self.consumers: dict[int, list[Any]] = {}
        for operator in self.operators:
            for tensor in operator.inputs:
                self.consumers.setdefault(int(tensor), []).append(operator)

    @property
    def operators(self) -> list[Any]:
        """The operators in order of execution."""
        return list(self.graph.operators)

    def kind(self, operator: Any) -> str:
        """Name of an operator in capitals; an empty string for None."""
        from ai_edge_litert.tools import flatbuffer_utils

        if operator is None:
            return ""
        code = self.model.operatorCodes[operator.opcodeIndex]
        return str(flatbuffer_utils.opcode_to_name(self.model, operator.opcodeIndex) or code.builtinCode)

    def name(self, tensor: int) -> str:
        """Name of a tensor."""
        return str(self.tensors[tensor].name.decode())

    def tensor(self, name: str) -> int:
        """Index of a tensor."""
        return next(index for index, tensor in enumerate(self.tensors) if tensor.name.decode() == name)

    def values(self, tensor: int) -> Floats:
        """Values of a float32 constant."""
        held = self.tensors[tensor]
        return np.frombuffer(bytes(self.model.buffers[held.buffer].data), np.float32).reshape(held.shape)

    def scope(self, operator: Any) -> str:
        """The quantizer's name of an operator: the names of its outputs."""
        return "".join(f"{self.name(int(tensor))};" for tensor in operator.outputs)

    def constant(self, tensor: int) -> float | None:
        """Value of a constant of one float32, or None for other tensors."""
        data = self.model.buffers[self.tensors[tensor].buffer].data
        return float(np.frombuffer(bytes(data), np.float32)[0]) if data is not None and len(data) == 4 else None

    def is_constant(self, tensor: int) -> bool:
        """Whether a tensor's values are stored in the model."""
        data = self.model.buffers[self.tensors[tensor].buffer].data
        return data is not None and len(data) > 0

    def replace(self, old: int, new: int) -> None:
        """Use tensor `new` instead of `old` as input of operators and as output of the graph."""
        for operator in self.operators:
            operator.inputs = [new if tensor == old else tensor for tensor in operator.inputs]
        self.graph.outputs = [new if tensor == old else tensor for tensor in self.graph.outputs]
        for entry in self.model.signatureDefs[0].outputs:
            entry.tensorIndex = new if entry.tensorIndex == old else entry.tensorIndex

    def replace_input(self, old: int, new: int) -> None:
        """Use tensor `new` instead of `old` as input of the graph."""
        self.graph.inputs = [new if tensor == old else tensor for tensor in self.graph.inputs]
        for entry in self.model.signatureDefs[0].inputs:
            entry.tensorIndex = new if entry.tensorIndex == old else entry.tensorIndex

    def remove(self, operators: Iterable[Any]) -> None:
        """Remove operators."""
        gone = {id(operator) for operator in operators}
        self.graph.operators = [operator for operator in self.operators if id(operator) not in gone]
        self.index()

    def prune(self) -> None:
        """Remove operators whose outputs are not used, then unused tensors and constants."""
        while dead := [
            operator
            for operator in self.operators
            if not any(tensor in self.consumers or tensor in self.graph.outputs for tensor in map(int, operator.outputs))
        ]:
            self.remove(dead)
        used = {int(tensor) for operator in self.operators for tensor in (*operator.inputs, *operator.outputs) if tensor >= 0}
        used |= {int(tensor) for tensor in (*self.graph.inputs, *self.graph.outputs)}
        order = sorted(used)
        place = {old: new for new, old in enumerate(order)} | {-1: -1}
        self.graph.tensors = self.tensors = [self.tensors[old] for old in order]
        for operator in self.operators:
            operator.inputs = [place[int(tensor)] for tensor in operator.inputs]
            operator.outputs = [place[int(tensor)] for tensor in operator.outputs]
        self.graph.inputs = [place[int(tensor)] for tensor in self.graph.inputs]
        self.graph.outputs = [place[int(tensor)] for tensor in self.graph.outputs]
        signature = self.model.signatureDefs[0]
        for entry in (*signature.inputs, *signature.outputs):
            entry.tensorIndex = place[int(entry.tensorIndex)]
        self._prune_buffers()
        self.index()

    def _prune_buffers(self) -> None:
        kept = {0} | {tensor.buffer for tensor in self.tensors} | {entry.buffer for entry in self.model.metadata or ()}
        order = sorted(kept)
        place = {old: new for new, old in enumerate(order)}
        self.model.buffers = [self.model.buffers[old] for old in order]
        for holder in (*self.tensors, *(self.model.metadata or ())):
            holder.buffer = place[holder.buffer]
