import pytest
import torch
from torch import nn

from speechtl.errors import InputMismatchError, RunError, SpeechtlError
from speechtl.transfer import (
    Encoder,
    EncoderInfo,
    InputSpec,
    attach,
    check_inputs,
    cut,
    load_tensors,
    load_weights,
    save_tensors,
    take_apart,
)


def test_cut_removes_the_output_layer_and_its_weights_from_what_is_saved(source, tmp_path):
    whole = sum(weights.numel() for weights in source.parameters())
    encoder = cut(source)
    save_tensors(tmp_path / "e", encoder.state_dict(), {})
    tensors, _ = load_tensors(tmp_path / "e")
    assert not [name for name in tensors if "output" in name]
    assert sum(weights.numel() for weights in encoder.parameters()) == whole - (5 * 10 + 10)
    assert not any(module is source.output for module in encoder.modules())
    assert b"output" not in (tmp_path / "e").read_bytes()


def test_cut_keeps_all_other_layers_as_they_were(source):
    inputs = torch.randn(3, 6)
    expected = source(inputs)
    torch.testing.assert_close(source.output(cut(source)(inputs)), expected, rtol=0, atol=0)


def test_several_new_layers_may_take_the_place_of_the_output_layer(source):
    network = attach(cut(source), nn.Sequential(nn.Linear(5, 9), nn.ReLU(), nn.Linear(9, 2)))
    assert network(torch.randn(3, 6)).shape == (3, 2)
    assert [name for name, _ in network.groups()] == ["one", "two", "three", "four", "head"]


def test_the_head_of_an_earlier_transfer_is_cut_off_as_well(network):
    encoder = cut(network)
    again = attach(encoder, nn.Linear(5, 4))
    assert again(torch.randn(2, 6)).shape == (2, 4)
    assert again.encoder is encoder


class Sized(nn.Linear):
    input_size = 12


def test_a_head_for_another_size_is_refused_with_both_sizes(source):
    with pytest.raises(SpeechtlError, match="takes embeddings of 12 features and the encoder 'toy' has 5"):
        attach(cut(source), Sized(12, 1))


@pytest.mark.parametrize("end", range(6))
def test_front_and_rest_together_are_the_whole_network(network, end):
    network.eval()
    inputs = torch.randn(4, 6)
    torch.testing.assert_close(network(network.run_first(inputs, end), start=end), network(inputs), rtol=0, atol=0)


def test_tensors_and_their_description_survive_a_file(tmp_path):
    tensors = {"a": torch.randn(3, 4).t(), "b": torch.arange(5), "c": torch.tensor(True)}
    save_tensors(tmp_path / "f", tensors, {"name": "ä", "numbers": [1, 2.5]})
    read, about = load_tensors(tmp_path / "f")
    assert about == {"name": "ä", "numbers": [1, 2.5]}
    assert read.keys() == tensors.keys()
    assert all(torch.equal(read[name], tensors[name]) and read[name].dtype == tensors[name].dtype for name in tensors)


def test_weights_of_another_architecture_are_refused_by_name(network, source, tmp_path):
    tensors = network.state_dict()
    tensors.pop("head.1.weight")
    with pytest.raises(RunError, match=r"1 tensors differ: 'head\.1\.weight' \(missing there\)"):
        load_weights(network, tensors, tmp_path / "f")


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(RunError, match="does not exist"):
        load_tensors(tmp_path / "none")


class Plain(nn.Module):
    """A module that knows nothing of groups."""

    def __init__(self) -> None:
        super().__init__()
        self.front = nn.Linear(6, 4)
        self.middle = nn.Sequential(nn.ReLU(), nn.Linear(4, 3))
        self.output = nn.Linear(3, 10)

    def forward(self, inputs):
        return self.output(self.middle(self.front(inputs)))


INFO = EncoderInfo("plain", InputSpec("toy"), embedding_size=3, group_sizes={"a": 4, "b": 3})


def test_any_module_can_be_taken_apart_and_gives_what_it_gave():
    plain = Plain()
    source = take_apart(plain, {"a": ["front"], "b": ["middle.0", "middle.1"]}, ["output"], INFO)
    inputs = torch.randn(3, 6)
    torch.testing.assert_close(source(inputs), plain(inputs), rtol=0, atol=0)
    assert list(cut(source).groups) == ["a", "b"]


@pytest.mark.parametrize(
    ("groups", "sentence"),
    [
        ({"a": ["frotn"], "b": ["middle"]}, r"no module 'frotn' \(did you mean 'front'\?\)"),
        ({"a": ["front"]}, r"2 weights of the network are in none of the groups, the first is 'middle\.1\.weight'"),
    ],
)
def test_names_that_do_not_cover_the_module_are_refused(groups, sentence):
    with pytest.raises(SpeechtlError, match=sentence):
        take_apart(Plain(), groups, ["output"], INFO)


def test_a_deeper_cut_removes_the_last_groups_too():
    source = take_apart(Plain(), {"a": ["front"], "b": ["middle"]}, ["output"], INFO)
    encoder = cut(source, keep="a")
    assert list(encoder.groups) == ["a"]
    assert encoder.info.embedding_size == 4
    assert attach(encoder, nn.Linear(4, 2))(torch.randn(5, 6)).shape == (5, 2)
    assert list(cut(source, keep="b").groups) == ["a", "b"]
    with pytest.raises(SpeechtlError, match="cannot be cut after 'c'; it can be cut after: a, b"):
        cut(source, keep="c")


def test_what_an_encoder_says_of_itself_survives_json():
    import json

    assert EncoderInfo.from_json(json.loads(json.dumps(INFO.to_json()))) == INFO


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
