"""The search for hard negatives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from speechtl.audio.data.manifest import Clip
from speechtl.audio.network.heads import make_head
from speechtl.audio.network.model import scorer_of
from speechtl.audio.training import mining
from speechtl.audio.training.hours.search import Mined, Tally
from speechtl.audio.training.mining import Hard, Moment, hard_moments, listeners, load_hard, save_hard
from speechtl.errors import RunError


def test_the_moments_that_sound_most_like_the_word_are_found(tiny, recording_of, bursts):
    """The tiny network takes loud bursts for its word."""
    quiet, loud, twice = (recording_of(bursts(starts, 6.0)) for starts in ((), (3.0,), (1.0, 4.0)))
    found = hard_moments({0: tiny()}, [quiet, loud, twice])
    assert sorted((moment.recording, round(moment.seconds)) for moment in found[:3]) == [(1, 3), (2, 1), (2, 4)]


def test_a_fold_is_heard_by_its_own_network_and_one_recording_gives_few_moments(tiny, recording_of, bursts, monkeypatch):
    heard = []
    monkeypatch.setattr(mining, "scorer_of", lambda network: heard.append(network) or scorer_of(network))
    networks = {0: tiny(), 1: tiny()}
    recordings = [recording_of(bursts(np.arange(1.0, 9.0, 1.5), 10.0), None, fold) for fold in (1, 0)]
    found = hard_moments(networks, recordings)
    assert heard == list(networks.values())
    assert [sum(moment.recording == index for moment in found) for index in (0, 1)] == [mining.EACH] * 2


def test_synthesised_negatives_leave_room_for_recordings(tiny, recording_of, bursts, monkeypatch):
    monkeypatch.setattr(mining, "MOMENTS", 4)
    monkeypatch.setattr(mining, "SYNTHESISED_MOMENTS", 2)
    loud, quieter = (recording_of(factor * bursts(np.arange(1.0, 9.0, 1.5), 10.0)) for factor in (1.0, 0.5))
    spoken = [replace(loud, clip=replace(loud.clip, source="synthesised", audio_filepath=f"{index}")) for index in range(3)]
    found = hard_moments({0: tiny()}, [*spoken, quieter, replace(quieter, clip=replace(quieter.clip, audio_filepath="b"))])
    assert [moment.recording < 3 for moment in found] == [False] * 4 + [True] * 2


def test_each_fold_has_the_members_held_out_from_it_and_without_any_all_of_them(tiny, recording_of):
    network = tiny()
    network.head = make_head("linear", network.head.input_size, members=4)
    recordings = [recording_of(np.zeros(16_000, np.float32), None, fold) for fold in (0, 1, 2)]
    members = {fold: one.head.ensemble.members for fold, one in listeners(network, [0, 0, 1, -1], recordings).items()}
    assert members == {0: 2, 1: 1, 2: 4}


def test_listeners_do_not_change_while_the_network_learns(tiny, recording_of):
    network = tiny()
    (listening,) = listeners(network, [-1] * 4, [recording_of(np.zeros(16_000, np.float32))]).values()
    before = [weights.clone() for weights in listening.parameters()]
    for weights in network.parameters():
        weights.data += 1.0
    assert all((one == other).all() for one, other in zip(before, listening.parameters(), strict=True))


@pytest.mark.parametrize("mined", [None, Mined([(Clip("a.wav", 1.0, path=Path("a.wav")), 4)], {"talk": Tally(1, 2.0, 3, 0.5)})])
def test_hard_negatives_are_kept_for_a_training_that_is_resumed(tmp_path, mined):
    hard = Hard([Moment(3, 1.25), Moment(0, 0.5)], mined)
    save_hard(tmp_path / "hard.json", hard)
    assert load_hard(tmp_path / "hard.json") == hard


@pytest.mark.parametrize("text", [None, "{}", "[]", '{"moments": [1]}', '{"moments": [{"recording": 1}]}', '{"moments": [], "mined": [1]}'])
def test_damaged_hard_negatives_are_an_error(tmp_path, text):
    if text is not None:
        (tmp_path / "hard.json").write_text(text)
    with pytest.raises(RunError, match=r"hard\.json"):
        load_hard(tmp_path / "hard.json")
