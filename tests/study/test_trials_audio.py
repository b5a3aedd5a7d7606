from pathlib import Path

import pytest

from speechtl.audio.encoders import RANDOM_INIT, conv_ctc, load_encoder
from speechtl.audio.recipe import make_recipe
from speechtl.study.trials_audio import changed


@pytest.mark.parametrize(
    ("encoder", "random_init"),
    [
        ("speech-embedding", "scratch"),
        ("conv-ctc", "scratch:conv-ctc"),
        ("conv-ctc-tiny", "scratch:conv-ctc-tiny"),
        (f"conv-ctc-tiny:{conv_ctc.WEIGHTS}/conv-ctc-tiny.safetensors", "scratch:conv-ctc-tiny"),
        ("speech-embedding+conv-ctc", "scratch"),
    ],
)
def test_from_scratch_is_the_same_network_without_what_it_learned(tmp_path, encoder, random_init):
    data = {"positives": ["word.jsonl"], "negatives": ["other.jsonl"]}
    recipe = make_recipe({"name": "word", "data": data, "transfer": {"encoder": encoder}}, base=tmp_path, source="here")
    transfer = changed(recipe, "scratch", Path("other.jsonl"), 0).transfer
    assert (transfer.encoder, transfer.policy) == (random_init, "all")
    assert random_init in RANDOM_INIT
    if "+" not in encoder and encoder != "speech-embedding":
        assert load_encoder(random_init).info.embedding_size == load_encoder(encoder).info.embedding_size
