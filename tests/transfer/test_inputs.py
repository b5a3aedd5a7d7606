import pytest
import torch
from torch import nn

from speechtl.errors import InputMismatchError
from speechtl.transfer import Encoder, EncoderInfo, InputSpec, check_inputs

AUDIO = {"kind": "log_mel", "sample_rate": 16_000, "bands": 32}


def encoder(name: str, spec: InputSpec) -> Encoder:
    return Encoder({"only": nn.Linear(2, 2)}, EncoderInfo(name, spec, embedding_size=2))


def test_the_same_input_type_passes():
    check_inputs(encoder("ear", InputSpec("audio", AUDIO)), InputSpec("audio", dict(AUDIO)))


def test_audio_does_not_go_into_an_image_network():
    with pytest.raises(InputMismatchError) as caught:
        check_inputs(encoder("eye", InputSpec("image", {"size": 224})), InputSpec("audio", AUDIO))
    for part in ("'eye'", "image (size 224)", "audio (kind log_mel, sample_rate 16000, bands 32)", "pretrained on audio"):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [("sample_rate", 8000, "sample_rate is 16000 there and 8000 here"), ("bands", 40, "bands is 32 there and 40 here")],
)
def test_another_form_of_audio_is_refused_with_both_sides(key, value, says):
    with pytest.raises(InputMismatchError, match=says):
        check_inputs(encoder("ear", InputSpec("audio", AUDIO)), InputSpec("audio", AUDIO | {key: value}))


def test_a_property_on_one_side_alone_is_a_mismatch():
    with pytest.raises(InputMismatchError, match="window is None there and 400 here"):
        check_inputs(encoder("ear", InputSpec("audio", AUDIO)), InputSpec("audio", AUDIO | {"window": 400}))


def test_the_encoders_of_the_project_take_its_features():
    from speechtl.audio.encoders import ENCODERS, audio_input, build_encoder
    from speechtl.runtime.features import LogMelSettings

    torch.manual_seed(0)
    for name in ENCODERS:
        check_inputs(build_encoder(name), audio_input(LogMelSettings()))
        with pytest.raises(InputMismatchError, match="sample_rate is 16000 there and 8000 here"):
            check_inputs(build_encoder(name), InputSpec("audio", LogMelSettings().to_json() | {"sample_rate": 8000}))
