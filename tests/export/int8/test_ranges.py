import numpy as np
import pytest

from speechtl.errors import SpeechtlError
from speechtl.export.int8.ranges import TensorRange, measure_ranges, share_ranges
from speechtl.runtime.bundle.wake_word import State

STATE = State("state", "new_state", (1,))


class Counter:
    """A graph whose state counts the steps and whose tensor is the frame's first number."""

    def start(self):
        return {"state": np.zeros(1, np.float32)}

    def step(self, frames, states):
        return {"value": frames[0], "new_state": states["state"] + 1, "empty": np.zeros(0, np.float32)}


def test_ranges_are_those_of_all_streams_after_the_zero_states_are_forgotten():
    streams = [np.arange(12, dtype=np.float32).reshape(12, 1), -np.arange(9, dtype=np.float32).reshape(9, 1)]
    ranges = measure_ranges(Counter(), [STATE], streams, frames=2, silent_steps=2)
    assert (ranges["value"].low, ranges["value"].high) == (-6.0, 10.0)
    assert (ranges["new_state"].low, ranges["new_state"].high) == (3.0, 6.0)
    assert "empty" not in ranges


def test_streams_too_short_to_measure_are_an_error():
    with pytest.raises(SpeechtlError, match="shorter than what one score needs"):
        measure_ranges(Counter(), [STATE], [np.zeros((3, 1), np.float32)], frames=2, silent_steps=2)


def test_what_shares_a_scale_gets_one_range_through_any_chain():
    ranges = {name: TensorRange(low, high) for name, low, high in (("a", 0, 1), ("b", -1, 0), ("c", 0, 5), ("d", 0, 9))}
    share_ranges(ranges, [["c", "b"], ["a", "b", "constant"], ["d"]])
    assert {name: (found.low, found.high) for name, found in ranges.items()} == {"a": (-1, 5), "b": (-1, 5), "c": (-1, 5), "d": (0, 9)}
