import pytest

from speechtl.errors import SpeechtlError
from speechtl.places.gate import Gate


def test_a_gate_lets_its_seconds_of_sound_through_each_time_it_is_opened():
    gate = Gate(1.0)
    assert not gate.passes(0.25)
    gate.open()
    assert [gate.passes(0.25) for _ in range(5)] == [True] * 4 + [False]
    gate.open(0.6)
    assert sum(gate.passes(0.02) for _ in range(40)) == 30
    gate.open(0.5)
    assert [gate.passes(0.25) for _ in range(3)] == [True, True, False]
    gate.open()
    gate.open(0.0)
    assert not gate.is_open


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("inf"), float("nan")])
def test_a_time_that_cannot_be_is_one_sentence(seconds):
    with pytest.raises(SpeechtlError, match="awake_seconds must be a number above 0; got"):
        Gate(seconds)
