"""A step graph in LiteRT or in its predecessor, tflite-runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from speechtl.runtime.bundle.wake_word import State
from speechtl.runtime.engine.session import INPUT, OUTPUT, Tensor
from speechtl.runtime.samples import Array, Floats
from speechtl.runtime.silence import silent_library


class TfliteSession:
    """A graph and the states between its steps, of whatever type and scale each tensor is.

    A quantised graph may give a new state in another scale than the one it takes; then it is quantised again on the way.
    """

    def __init__(self, module: Any, content: bytes) -> None:
        with silent_library():  # it prints a greeting to standard error
            self._interpreter = module.Interpreter(model_content=content, num_threads=1)
            self._interpreter.allocate_tensors()
        self._content = content  # the interpreter reads from it for as long as it lives
        inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        self.inputs = {value["name"]: _tensor(value) for value in inputs}
        self.outputs = {value["name"]: _tensor(value) for value in outputs}
        self._index = {value["name"]: value["index"] for value in (*inputs, *outputs)}

    def bind(self, states: Sequence[State]) -> None:
        """Carry these states from step to step."""
        self._carried = [
            (self._index[state.name], self._index[state.output], self.outputs[state.output], self.inputs[state.name]) for state in states
        ]
        self._frames, self._score = self._index[INPUT], self._index[OUTPUT]
        self._frames_tensor, self._score_tensor = self.inputs[INPUT], self.outputs[OUTPUT]
        self._states: list[Array] = []

    def load(self, states: Sequence[Array]) -> None:
        """Set the states."""
        self._states = [values.astype(target.dtype) for (_, _, _, target), values in zip(self._carried, states, strict=True)]

    def save(self) -> list[Array]:
        """A copy of the states."""
        return [values.copy() for values in self._states]

    def step(self, frames: Floats) -> Floats:
        """Scores `(words,)` after the next frames."""
        interpreter = self._interpreter
        interpreter.set_tensor(self._frames, _quantise(frames.reshape(self._frames_tensor.shape), self._frames_tensor))
        for (index, _, _, _), values in zip(self._carried, self._states, strict=True):
            interpreter.set_tensor(index, values)
        interpreter.invoke()
        self._states = [_requantise(interpreter.get_tensor(index), source, target) for _, index, source, target in self._carried]
        score: Floats = _dequantise(interpreter.get_tensor(self._score), self._score_tensor)[0]
        return score


def _tensor(value: Mapping[str, Any]) -> Tensor:
    scale, zero_point = value["quantization"]
    return Tensor(tuple(int(size) for size in value["shape"]), np.dtype(value["dtype"]), float(scale), int(zero_point))


def _requantise(values: Array, source: Tensor, target: Tensor) -> Array:
    if (source.dtype, source.scale, source.zero_point) == (target.dtype, target.scale, target.zero_point):
        return values
    return _quantise(_dequantise(values, source), target)


def _dequantise(values: Array, tensor: Tensor) -> Array:
    if tensor.scale == 0.0:
        return values
    return (values.astype(np.float32) - np.float32(tensor.zero_point)) * np.float32(tensor.scale)


def _quantise(values: Array, tensor: Tensor) -> Array:
    if tensor.scale == 0.0:
        return values.astype(tensor.dtype, copy=False)
    limits = np.iinfo(tensor.dtype)
    return np.clip(np.round(values / tensor.scale) + tensor.zero_point, limits.min, limits.max).astype(tensor.dtype)
