import numpy as np
import pytest

from speechtl.audio.pretraining.teachers import load_teacher
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
