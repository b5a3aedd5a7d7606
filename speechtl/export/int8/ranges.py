"""Ranges of the tensors of a float graph on real recordings, which int8 has to cover."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from speechtl.errors import SpeechtlError
from speechtl.runtime.bundle.wake_word import State
from speechtl.runtime.samples import Floats


@dataclass
class TensorRange:
    """The lowest and highest value of a tensor."""

    low: float
    high: float

    def widen(self, other: TensorRange) -> None:
        """Include another range."""
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)


Ranges = dict[str, TensorRange]


class InstrumentedGraph(Protocol):
    """A float graph that returns all its tensors."""

    def start(self) -> Mapping[str, Floats]:
        """Zero states by name."""

    def step(self, frames: Floats, states: Mapping[str, Floats]) -> Mapping[str, Floats]:
        """All float tensors by name after a step."""


def measure_ranges(graph: InstrumentedGraph, states: Sequence[State], streams: Iterable[Floats], frames: int, silent_steps: int) -> Ranges:
    """The range of every tensor over log-mel frames `(frames, bands)` of recordings, with `frames` per step.

    Each recording starts from zero states; its first `silent_steps` steps, which still depend on them, are not counted.
    """
    ranges: Ranges = {}
    for stream in streams:
        current = graph.start()
        for index, part in enumerate(_steps(stream, frames)):
            tensors = graph.step(part, current)
            for name, values in tensors.items() if index >= silent_steps else ():
                if values.size:
                    found = TensorRange(float(values.min()), float(values.max()))
                    ranges.setdefault(name, found).widen(found)
            current = {state.name: tensors[state.output] for state in states}
    if not ranges:
        raise SpeechtlError("The recordings to calibrate int8 on are all shorter than what one score needs; give longer ones.")
    return ranges


def share_ranges(ranges: Ranges, groups: Sequence[Sequence[str]]) -> None:
    """Give all tensors of a group one common range; groups that overlap are merged."""
    leader: dict[str, str] = {}

    def find(name: str) -> str:
        while leader.setdefault(name, name) != name:
            name = leader[name]
        return name

    for group in groups:
        known = [name for name in group if name in ranges]
        for name in known[1:]:
            leader[find(name)] = find(known[0])
    for name in list(leader):
        ranges[find(name)].widen(ranges[name])
    for name in leader:
        whole = ranges[find(name)]
        ranges[name].low, ranges[name].high = whole.low, whole.high


def _steps(stream: Floats, frames: int) -> Iterator[Floats]:
    return (stream[first : first + frames] for first in range(0, len(stream) - frames + 1, frames))
