import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from speechtl.audio.encoders import ENCODERS, conv_ctc, parts_of, short_name, taken_apart
from speechtl.audio.encoders.side_by_side import beside
from speechtl.errors import ManifestError, SpeechtlError
from speechtl.study.look_audio import look


@pytest.fixture
def sounds(tmp_path):
    random = np.random.default_rng(0)
    (tmp_path / "sounds").mkdir()
    for index in range(4):
        samples = random.normal(0, 0.01, 48_000)
        samples[8000 * index : 8000 * index + 4000] += random.uniform(-0.4, 0.4, 4000)
        soundfile.write(tmp_path / "sounds" / f"{index}.wav", samples, 16_000)
    return tmp_path / "sounds"


def test_filters_and_moments_of_sound_are_drawn(sounds, tmp_path, known_tiny):
    files = look("tiny", [sounds], tmp_path / "looks", units=3, patches=4)
    assert [path.name for path in files] == ["filters.png", "second.png"]
    for path in files:
        low, high = Image.open(path).convert("L").getextrema()
        assert high - low > 100


def test_encoders_side_by_side_are_looked_at_one_by_one(sounds, tmp_path, known_tiny, monkeypatch):
    monkeypatch.setitem(ENCODERS, "other", ENCODERS["tiny"])
    files = look("tiny+other", [sounds], tmp_path / "looks", units=2, patches=2)
    drawn = [str(path.relative_to(tmp_path / "looks")) for path in files]
    assert drawn == ["tiny/filters.png", "tiny/second.png", "other/filters.png", "other/second.png"]


def test_a_run_on_frozen_encoders_side_by_side_is_drawn_from_its_own_weights(tmp_path):
    name = f"conv-ctc+conv-ctc-tiny:{tmp_path}/gone.safetensors"
    whole = beside([conv_ctc.load("conv-ctc"), conv_ctc.load("conv-ctc-tiny")])
    parts = taken_apart(whole, name)
    assert [short_name(part) for part in parts_of(name)] == ["conv-ctc", "conv-ctc-tiny"]
    for part in parts:
        expected = conv_ctc.load(part.info.name).state_dict()
        assert all(torch.equal(values, expected[key]) for key, values in part.state_dict().items())


def test_recordings_that_are_too_short_are_refused(tmp_path, known_tiny):
    (tmp_path / "sounds").mkdir()
    soundfile.write(tmp_path / "sounds" / "a.wav", np.zeros(4000), 16_000)
    with pytest.raises(ManifestError, match=r"shorter than 1\.5 s"):
        look("tiny", [tmp_path / "sounds"], tmp_path / "looks")


def test_an_encoder_of_samples_is_refused(tiny_pipeline, tmp_path):
    tiny_pipeline()
    with pytest.raises(SpeechtlError, match="torchaudio:TINY takes samples"):
        look("torchaudio:TINY", [tmp_path], tmp_path / "out")
