import dataclasses

import pytest

pytest.importorskip("torch", reason="torch is not installed")

from speechtl.adapt.layer import layer_of_network
from speechtl.adapt.memory import MEMORY, pack
from speechtl.adapt.remember import Amount, remember
from speechtl.errors import SpeechtlError
from speechtl.export.bundle import _memory


@pytest.fixture
def run(recorded_run, known_tiny):
    return recorded_run()


def test_a_run_remembers_each_word_in_four_conditions_and_the_highest_moments_of_anything_else(run):
    memory = remember(run, Amount(4, 1.0, 16))
    assert memory.of == [0, 1, 2, 3] * 4
    assert all(bag.shape == (1, 6) for bag in (*memory.words, *memory.others))
    assert len(memory.others) == 16
    layer = layer_of_network(run.network)
    assert min(layer.logits(bag)[0] for bag in memory.words) > max(layer.logits(one)[0] for one in memory.others)
    assert pack(memory) == pack(remember(run, Amount(4, 1.0, 16)))


def test_without_a_number_of_moments_everything_is_kept(run):
    memory = remember(run, Amount(2, 1.0))
    assert sum(len(bag) for bag in memory.words) > len(memory.words)
    assert memory.hours * 3600.0 == pytest.approx(sum(len(stream) for stream in memory.others) * 0.04, rel=0.1)


def test_nothing_is_remembered_of_recordings_that_the_run_was_not_trained_on(recorded_run):
    with pytest.raises(SpeechtlError, match="are not on this machine"):
        remember(recorded_run(data={"recordings": ""}), Amount(2, 1.0))


def test_an_export_leaves_the_memory_out_where_it_cannot_be_made_and_says_so(run, recorded_run, capsys):
    assert list(_memory([run])) == [MEMORY]
    assert _memory([recorded_run(data={"recordings": ""})]) == {}
    assert "only its run can be adapted later" in capsys.readouterr().err
    other = dataclasses.replace(run, about={**run.about, "name": "other"})
    assert list(_memory([run, other])) == ["memory.burst.npz", "memory.other.npz"]


def test_a_bundle_of_more_words_than_it_has_room_for_files_has_no_memory_and_the_export_says_so(run, capsys):
    assert _memory([run] * 28) == {}
    assert "A bundle of more than 27 words has no memory" in capsys.readouterr().err
