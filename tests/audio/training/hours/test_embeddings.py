"""Embeddings of recordings, on disk."""

from __future__ import annotations

import numpy as np
import pytest

from speechtl.audio.network.model import scorer_of
from speechtl.audio.training.hours import embeddings as module
from speechtl.audio.training.hours.embeddings import Embeddings
from speechtl.audio.training.hours.search import Ear
from speechtl.errors import AudioError


@pytest.mark.parametrize("head", ["linear", "conv"])
def test_scores_are_those_of_the_whole_network_on_a_stream(tiny, clips, bursts, head, monkeypatch):
    monkeypatch.setattr(module, "BLOCK_STEPS", 7)
    sound = bursts((0.5, 2.2), 3.0)
    (clip,) = clips(sound)
    network = tiny(head)
    expected = scorer_of(network).feed(sound)[:, 0]
    scores = Ear(Embeddings(network.encoder), network.head).scores(clip)
    np.testing.assert_allclose(1.0 / (1.0 + np.exp(-scores)), expected, atol=2e-3)  # half precision


def test_a_recording_is_encoded_once_for_all_searches_and_words(tiny, clips, bursts, monkeypatch):
    (clip,) = clips(bursts((0.5,), 1.0))
    first = Embeddings(tiny().encoder).of(clip)
    monkeypatch.setattr(module, "read_audio", lambda *_: pytest.fail("it was read again"))
    np.testing.assert_array_equal(Embeddings(tiny("conv").encoder).of(clip), first)


def test_damaged_files_and_other_encoders_or_parts_are_encoded(tiny, clips, bursts):
    (clip,) = clips(bursts((0.5,), 1.0))
    kept = Embeddings(tiny().encoder)
    first = kept.of(clip)
    (path,) = kept.folder.rglob("*.npy")
    path.write_bytes(path.read_bytes()[:100])
    np.testing.assert_array_equal(kept.of(clip), first)
    assert Embeddings(tiny(seed=1).encoder).folder != kept.folder


@pytest.mark.parametrize("why", ["learns", "no room", "no cache"])
def test_nothing_is_kept_where_it_would_not_help_or_cannot_be(tiny, clips, bursts, tmp_path, monkeypatch, why):
    (clip,) = clips(bursts((0.5,), 1.0))
    if why == "no room":
        monkeypatch.setattr(module, "FREE_BYTES", 1 << 60)
    if why == "no cache":
        (tmp_path / "cache").write_text("")
    assert len(Embeddings(tiny().encoder, frozen=why != "learns").of(clip)) > 0
    assert not list(tmp_path.rglob("*.npy"))


def test_a_recording_that_is_gone_or_cut_short_is_an_error_also_where_it_is_in_the_cache(tiny, clips, bursts):
    gone, short = clips(bursts((0.5,), 1.0), bursts((0.5,), 1.0))
    kept = Embeddings(tiny().encoder)
    kept.of(gone)
    gone.path.unlink()
    short.path.write_bytes(short.path.read_bytes()[:9000])
    for clip in (gone, short):
        with pytest.raises(AudioError):
            kept.of(clip)
