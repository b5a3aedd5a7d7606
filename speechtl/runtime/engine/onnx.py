"""A step graph in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime

from speechtl.runtime.bundle.wake_word import State
from speechtl.runtime.engine.onnx_check import check_onnx
from speechtl.runtime.engine.session import INPUT, OUTPUT, Tensor
from speechtl.runtime.samples import Array, Floats

TYPES = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8, "tensor(int8)": np.int8}


class OnnxSession:
    """A graph whose inputs and outputs are bound to memory once: what one step writes as new state is what the next reads.

    Two sets of states take turns, so nothing is copied or allocated between steps.
    """

    def __init__(self, content: bytes) -> None:
        self._session = load_graph(content)
        self.inputs = {value.name: _tensor(value) for value in self._session.get_inputs()}
        self.outputs = {value.name: _tensor(value) for value in self._session.get_outputs()}

    def bind(self, states: Sequence[State]) -> None:
        """Carry these states from step to step."""
        for state in states:
            if self.inputs[state.name].dtype != self.outputs[state.output].dtype:
                raise ValueError(f"{state.name} and {state.output} are of different types")
        self._frames = np.empty(self.inputs[INPUT].shape, self.inputs[INPUT].dtype)
        self._score = np.empty(self.outputs[OUTPUT].shape, self.outputs[OUTPUT].dtype)
        self._states = [[np.zeros(self.inputs[state.name].shape, self.inputs[state.name].dtype) for state in states] for _ in range(2)]
        self._bindings = [self._binding(states, *turn) for turn in (self._states, self._states[::-1])]
        self._turn = 0

    def load(self, states: Sequence[Array]) -> None:
        """Set the states."""
        for memory, values in zip(self._states[self._turn], states, strict=True):
            memory[...] = values

    def save(self) -> list[Array]:
        """A copy of the states."""
        return [memory.copy() for memory in self._states[self._turn]]

    def step(self, frames: Floats) -> Floats:
        """Scores `(words,)` after the next frames."""
        self._frames.reshape(frames.shape)[...] = frames
        self._session.run_with_iobinding(self._bindings[self._turn])
        self._turn = 1 - self._turn
        score: Floats = self._score[0]
        return score

    def _binding(self, states: Sequence[State], before: Sequence[Array], after: Sequence[Array]) -> Any:
        binding = self._session.io_binding()
        inputs = {INPUT: self._frames, **{state.name: memory for state, memory in zip(states, before, strict=True)}}
        outputs = {OUTPUT: self._score, **{state.output: memory for state, memory in zip(states, after, strict=True)}}
        for name, memory in inputs.items():
            binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(memory))
        for name, memory in outputs.items():
            binding.bind_ortvalue_output(name, onnxruntime.OrtValue.ortvalue_from_numpy(memory))
        return binding


def load_graph(content: bytes) -> Any:
    """A session that runs a graph on one thread; raises ONNX Runtime's errors for one that it cannot run."""
    check_onnx(content)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4  # its errors are raised as well
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    session._model_bytes = None  # it keeps the file for a later change of providers
    return session


def _tensor(value: Any) -> Tensor:
    if value.type not in TYPES:
        raise ValueError(f"{value.name} is of the type {value.type}, where float, uint8 or int8 is known")
    return Tensor(tuple(value.shape), np.dtype(TYPES[value.type]))
