import numpy as np
import pytest

from speechtl.audio.pretraining import wakehubert
from speechtl.audio.pretraining.teachers import WAKEHUBERT_DELAY, load_teacher, load_teachers, teacher_names
from speechtl.errors import RecipeError

SAMPLES = (0.1 * np.random.default_rng(0).standard_normal(40_000)).astype(np.float32)
STEPS = ((40_000 - 512) // 160 + 1 - 76) // 8 + 1


def test_the_speech_embedding_teaches_on_its_own_grid(published_embedding):
    teach, info = load_teacher("speech-embedding")
    assert info.licence == "Apache-2.0"
    assert teach(SAMPLES).shape == (STEPS, 96)


@pytest.mark.slow
def test_a_network_of_torchaudio_teaches_a_little_later_what_it_heard(tiny_pipeline):
    tiny_pipeline()
    teach, info = load_teacher("torchaudio:TINY")
    heard = teach(SAMPLES)
    assert heard.shape == (STEPS, info.embedding_size)
    assert np.isfinite(heard).all()
    assert info.licence == "MIT"


def test_an_encoder_with_other_times_cannot_teach():
    with pytest.raises(RecipeError, match="cannot be a teacher"):
        load_teacher("scratch:conv-ctc")


def counting(monkeypatch):
    """Let WakeHuBERT give the number of each of its frames."""
    info = load_teacher("scratch")[1]

    def network(samples):
        return np.arange(len(samples) // wakehubert.HOP, dtype=np.float32)[:, None]

    network.info = info
    monkeypatch.setattr(wakehubert, "load", lambda name: network)


def test_wakehubert_teaches_the_mean_of_the_frames_within_a_step(monkeypatch):
    counting(monkeypatch)
    heard = load_teacher("wakehubert")[0](SAMPLES)
    assert heard.shape == (STEPS, 1)
    seconds = (heard[:, 0] + 0.5 + 2.0) * 0.02  # a mean of four frames, and two more to the end of the last
    ends = (512 + 160 * (75 + 8 * np.arange(STEPS))) / 16_000
    late = ends - seconds
    assert (late >= WAKEHUBERT_DELAY).all()
    assert (late < WAKEHUBERT_DELAY + 0.02).all()


def test_a_recording_shorter_than_the_first_step_has_no_steps(monkeypatch):
    counting(monkeypatch)
    assert load_teacher("wakehubert")[0](SAMPLES[:12_000]).shape == (0, 1)


def test_several_teachers_are_one_with_both_embeddings(monkeypatch):
    counting(monkeypatch)
    teach, info = load_teachers("scratch+wakehubert")
    heard = teach(SAMPLES)
    assert heard.shape == (STEPS, 97)
    assert np.array_equal(heard[:, 96:], load_teacher("wakehubert")[0](SAMPLES))
    assert info.embedding_size == 2 * 96
    assert info.source.count(";") == 1


@pytest.mark.parametrize(
    ("names", "parts"),
    [
        ("wakehubert", ["wakehubert"]),
        ("speech-embedding+wakehubert", ["speech-embedding", "wakehubert"]),
        ("torchaudio:HUBERT_BASE+layers+speech-embedding", ["torchaudio:HUBERT_BASE+layers", "speech-embedding"]),
        ("speech-embedding+wakehubert:a+b", ["speech-embedding", "wakehubert:a+b"]),
    ],
)
def test_a_combined_name_is_taken_apart(names, parts):
    assert teacher_names(names) == parts


@pytest.mark.parametrize("names", ["", "+wakehubert", "speech-embedding+", "speech-embedding++wakehubert:a"])
def test_a_name_that_is_missing_is_told(names):
    with pytest.raises(RecipeError, match="a name is missing"):
        teacher_names(names)


def test_an_unknown_teacher_is_refused_with_the_known_ones():
    with pytest.raises(RecipeError, match=r"did you mean 'wakehubert'\?\); take one of: speech-embedding, wakehubert, torchaudio"):
        load_teachers("speech-embedding+wakhubert")
