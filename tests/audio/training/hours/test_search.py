"""The hardest minutes of what there is to mine."""

from __future__ import annotations

import json
from dataclasses import replace
from threading import Event

import numpy as np
import pytest

from speechtl.audio.data.manifest import Clip
from speechtl.audio.training.hours import search as module
from speechtl.audio.training.hours.embeddings import Embeddings
from speechtl.audio.training.hours.search import Ear, Hardest, Mined, Tally, search
from speechtl.errors import RunError, StoppedError


@pytest.fixture
def ear(tiny):
    """The tiny network takes loud bursts for its word."""
    return Ear(Embeddings(tiny().encoder), tiny().head)


def found(mine, ear, notes=None, held_out: int = -1) -> Mined:
    return search(mine, ear, held_out, [].append if notes is None else notes.append, Event())


def test_the_hardest_stretches_are_found_and_told(clips, mine_of, ear, bursts, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MINUTES", 8.0 / 60.0)
    clips(bursts((), 20.0), bursts((6.0, 15.0), 20.0))
    notes: list[str] = []
    mined = found(mine_of(tmp_path / "mine.jsonl"), ear, notes)
    assert sorted(round(clip.offset + module.BEFORE) for clip in mined.clips) == [6, 15]
    assert {clip.audio_filepath for clip in mined.clips} == {"mine1.wav"}
    assert [fold for _, fold in mined.stretches] == [4, 4]
    assert mined.about() == {
        "recordings": 2,
        "hours": 0.011,
        "unreadable": 0,
        "mined_minutes": 0.133,
        "manifests": {"mine": {"recordings": 2, "hours": 0.011, "unreadable": 0, "mined_minutes": 0.133}},
    }
    assert notes == ["Heard 0.01 hours in 2 recordings to mine; the hardest 0.1 minutes join the negatives: 0.1 of mine."]


def test_one_recording_gives_few_stretches_that_do_not_overlap_and_a_long_one_as_many_of_each_part(
    clips, mine_of, ear, bursts, tmp_path, monkeypatch
):
    clips(bursts(np.arange(1.0, 38.0, 1.5), 40.0))
    times = sorted(clip.offset for clip in found(mine_of(tmp_path / "mine.jsonl"), ear).clips)
    assert len(times) == module.EACH
    assert min(np.diff(times)) >= module.BEFORE + module.AFTER
    monkeypatch.setattr(module, "PART_SECONDS", 20.0)
    assert len(found(mine_of(tmp_path / "mine.jsonl"), ear).clips) == 2 * module.EACH


def test_recordings_that_vanish_or_are_damaged_are_counted_and_told(clips, mine_of, ear, bursts, tmp_path):
    gone, damaged, _ = clips(*[bursts((0.5,), 1.0)] * 3)
    mine = mine_of(tmp_path / "mine.jsonl")
    gone.path.unlink()
    damaged.path.write_bytes(b"no sound")
    notes: list[str] = []
    mined = found(mine, ear, notes)
    assert mined.heard["mine"].unreadable == 2
    assert mined.heard["mine"].recordings == 1
    assert notes[0].startswith("2 recordings to mine could not be read; the first: ")
    assert "mine0.wav does not exist" in notes[0]


def test_if_none_can_be_read_the_training_can_be_resumed_later(clips, mine_of, ear, bursts, tmp_path):
    mine = mine_of(clips(bursts((0.5,), 1.0))[0].manifest)
    (tmp_path / "mine0.wav").unlink()
    with pytest.raises(RunError, match=r"The only recording to mine cannot be used; the first: .*continue with --resume"):
        found(mine, ear)


def test_no_one_is_mined_of_the_fold_that_the_head_does_not_learn_from(clips, mine_of, ear, bursts, tmp_path):
    clips(bursts((0.5,), 1.0))
    assert found(mine_of(tmp_path / "mine.jsonl", fold=0), ear, held_out=0).stretches == []


def test_a_search_ends_early_when_the_training_does(clips, mine_of, ear, bursts, tmp_path):
    clips(bursts((0.5,), 1.0))
    stopping = Event()
    stopping.set()
    with pytest.raises(StoppedError):
        search(mine_of(tmp_path / "mine.jsonl"), ear, -1, print, stopping)


def test_memory_holds_no_more_than_the_hardest_that_fit():
    hardest = Hardest(10.0)
    scores = np.random.default_rng(0).permutation(100)
    for score in scores:
        hardest.add(float(score), Clip(f"{score}.wav", 3.0))
        assert hardest.seconds <= 10.0
    assert [clip.audio_filepath for clip in hardest] == ["99.wav", "98.wav", "97.wav"]


def test_what_was_mined_is_read_back_with_its_folds(clips, bursts):
    (clip,) = clips(bursts((0.5,), 3.0), room="hall")
    mined = Mined([(replace(clip, offset=1.0, duration=1.5), 2), (replace(clip, duration=0.5), 4)], {"mine": Tally(1, 0.1, 2, 0.05)})
    again = Mined.from_json(json.loads(json.dumps(mined.to_json())))
    assert again == mined
    assert again.clips[0].extra == {"room": "hall"}
    recordings = again.recordings(print)
    assert [(recording.fold, recording.seconds) for recording in recordings] == [(2, 1.5), (4, 0.5)]


def test_a_mined_recording_that_is_gone_when_a_training_is_resumed_is_told(clips, bursts):
    one, other = clips(bursts((0.5,), 3.0), bursts((0.5,), 3.0))
    one.path.unlink()
    notes: list[str] = []
    assert len(Mined([(one, 4), (other, 4)], {}).recordings(notes.append)) == 1
    assert notes[0].startswith("Skipped of what was mined: ")
