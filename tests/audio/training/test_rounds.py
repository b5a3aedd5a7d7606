"""Negatives after the frozen layers are kept for the next word."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from speechtl.audio.training import rounds
from speechtl.audio.training.rounds import Kept

BATCH = (torch.ones(2, 3, 4, 1, dtype=torch.float16), torch.full((2, 2), torch.nan), torch.zeros(2, dtype=torch.int64))


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SPEECHTL_CACHE", str(tmp_path))


@pytest.fixture
def recordings(recording_of):
    return [recording_of(np.zeros(1600, np.float32), None, fold) for fold in (0, 1)]


def test_the_next_word_finds_the_negatives_of_the_one_before(tiny, recordings):
    made = []
    for _ in range(2):
        found = Kept(tiny(), 2, [recordings], [0]).batch(3, lambda: made.append(1) or BATCH)
        assert torch.equal(found[0], BATCH[0])
        assert torch.equal(found[2], BATCH[2])
    assert made == [1]


def test_other_recordings_folds_settings_or_weights_are_other_negatives(tiny, recordings):
    moved = [recordings[0], replace(recordings[1], fold=0)]
    folders = {
        kept.folder
        for kept in (
            Kept(tiny(), 2, [recordings], [0]),
            Kept(tiny(), 1, [recordings], [0]),
            Kept(tiny(), 2, [moved], [0]),
            Kept(tiny(), 2, [recordings[:1]], [0]),
            Kept(tiny(), 2, [recordings], [1]),
            Kept(tiny(seed=1), 2, [recordings], [0]),
        )
    }
    assert len(folders) == 6
    assert Kept(tiny(), 2, [recordings], [0]).folder in folders


def test_only_the_first_rounds_and_the_latest_sets_are_kept(tiny, recordings, monkeypatch, tmp_path):
    monkeypatch.setattr(rounds, "KEPT_SETS", 1)
    for setting in range(3):
        kept = Kept(tiny(), 2, [recordings], [setting])
        kept.batch(0, lambda: BATCH)
        kept.batch(rounds.KEPT_ROUNDS, lambda: BATCH)
    assert len(list((tmp_path / "negatives").rglob("*.safetensors"))) == 2


def test_a_damaged_or_unwritable_cache_does_not_stop_a_training(tiny, recordings, tmp_path, monkeypatch):
    kept = Kept(tiny(), 2, [recordings], [0])
    kept.batch(0, lambda: BATCH)
    (kept.folder / "round-000.safetensors").write_bytes(b"half")
    assert torch.equal(kept.batch(0, lambda: BATCH)[0], BATCH[0])
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SPEECHTL_CACHE", str(tmp_path / "file"))
    assert torch.equal(Kept(tiny(), 2, [recordings], [0]).batch(0, lambda: BATCH)[0], BATCH[0])
