"""The interface of a runtime: one step of a graph, with its states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from speechtl.runtime.bundle.description import State
from speechtl.runtime.samples import Array, Floats

INPUT = "log_mel"  # frames of any kind, in spite of the name
OUTPUT = "score"
MAX_REASON = 300  # characters of a runtime's message


@dataclass(frozen=True)
class Tensor:
    """An input or output of a graph; `value = scale * (number - zero_point)` where it is quantised, else the scale is 0."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    scale: float = 0.0
    zero_point: int = 0


class Session(Protocol):
    """A loaded graph in some runtime, on one thread, with its states."""

    @property
    def inputs(self) -> Mapping[str, Tensor]:
        """Inputs of the graph by name."""

    @property
    def outputs(self) -> Mapping[str, Tensor]:
        """Outputs of the graph by name."""

    def bind(self, states: Sequence[State]) -> None:
        """Carry these states from step to step; called once, after names and shapes were checked."""

    def load(self, states: Sequence[Array]) -> None:
        """Set the states, as `save` returned them."""

    def save(self) -> list[Array]:
        """A copy of the states."""

    def step(self, frames: Floats) -> Floats:
        """Scores `(words,)` after the next frames `(frames, bands)`; the new states replace the old ones."""
