"""Recordings on disk as clips of a manifest, and what there is to mine of it."""

import json

import pytest
import soundfile

from speechtl.audio.data.manifest import read_manifest
from speechtl.audio.training.hours.listing import Listing, Mine


@pytest.fixture(autouse=True)
def _own_places(tmp_path, monkeypatch):
    monkeypatch.setenv("SPEECHTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SPEECHTL_DATA", raising=False)


@pytest.fixture
def clips(tmp_path):
    """Return a function that writes recordings and their manifest, and returns its clips."""

    def write(*recordings, name: str = "mine", **line):
        for index, samples in enumerate(recordings):
            soundfile.write(tmp_path / f"{name}{index}.wav", samples, 16_000)
        lines = [
            {"audio_filepath": f"{name}{index}.wav", "duration": len(samples) / 16_000, "sha256": f"{index:064x}", **line}
            for index, samples in enumerate(recordings)
        ]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
        return read_manifest(tmp_path / f"{name}.jsonl")

    return write


@pytest.fixture
def mine_of():
    """Return a function that makes what there is to mine of manifests."""

    def make(*paths, fold: int = 4) -> Mine:
        return Mine.of(Listing(paths, lambda text: None), lambda clip: fold, {}, lambda text: None)

    return make
