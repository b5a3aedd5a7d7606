import pytest
import torch
from torch import nn

from speechtl.audio.data.licences import judge
from speechtl.audio.encoders import build_encoder, conv_ctc, load_encoder, silence
from speechtl.audio.encoders.streaming import step
from speechtl.audio.network.heads import make_head
from speechtl.audio.network.model import WakeWordNetwork
from speechtl.errors import RunError
from speechtl.export.step import ExportStep
from speechtl.files import sha256_of
from speechtl.transfer.checkpoint import save_tensors


def measured(name):
    """Return an encoder whose normalisation layers have seen something."""
    torch.manual_seed(0)
    encoder = conv_ctc.build(name)
    for layer in encoder.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_(std=0.3)
            layer.running_var.uniform_(0.5, 2.0)
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.bias, std=0.3)
    return encoder.eval()


@pytest.mark.parametrize(("name", "weights", "millions"), [("conv-ctc", 1_000_000, 20.0), ("conv-ctc-tiny", 60_000, 2.0)])
def test_it_is_small(name, weights, millions):
    encoder = conv_ctc.build(name)
    assert sum(values.numel() for values in encoder.parameters()) <= weights
    assert 0.1 * millions < conv_ctc.multiply_adds(encoder) / 1e6 <= millions


def test_multiply_adds_are_counted_as_streamed():
    encoder = conv_ctc.build("conv-ctc-tiny")
    widen = encoder.groups["widen"][0]
    alone = widen.weight.numel() / encoder.step_seconds
    rest = conv_ctc.multiply_adds(encoder)
    encoder.groups["widen"][0] = nn.Sequential(widen, nn.Conv2d(widen.out_channels, widen.out_channels, 1))
    assert conv_ctc.multiply_adds(encoder) - rest == pytest.approx(widen.out_channels**2 / encoder.step_seconds)
    assert alone < rest


@torch.no_grad()
@pytest.mark.parametrize("name", list(conv_ctc.SIZES))
@pytest.mark.parametrize("chunks", [[8] * 40, [320], [80, 8, 136, 96]])
def test_it_streams_exactly(name, chunks):
    encoder = measured(name)
    frames = torch.randn(1, 1, 320, 32) + 4.0
    before = silence(encoder.features, 1, -(-encoder.receptive_field // 8) * 8)
    states, outputs = None, []
    for part in [before, *frames.split(chunks, dim=2)]:
        new_states: list[torch.Tensor] = []
        given = None if states is None else iter(states)
        for group in encoder.groups.values():
            part = step(group, part, given, new_states)
        states = new_states
        outputs.append(part)
    offline = encoder(torch.cat([before[:, :, : encoder.receptive_field - 8], frames], dim=2))
    assert offline.shape == (1, encoder.info.embedding_size, 40, 1)
    torch.testing.assert_close(torch.cat(outputs[1:], dim=2), offline, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_it_is_exported_with_its_normalisation_folded():
    network = WakeWordNetwork(measured("conv-ctc-tiny"), make_head("conv", conv_ctc.SIZES["conv-ctc-tiny"].wide)).eval()
    exported = ExportStep([network])
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in exported.modules())
    frames = torch.randn(1, 1, 160, 32) + 4.0
    quiet = silence(network.encoder.features, 1, network.silent_steps * 8)
    states, scores = exported.inputs()[1:], []
    for part in torch.cat([quiet, frames], dim=2).split(8, dim=2):
        score, *states = exported(part, *states)
        scores.append(score[0, 0])
    lead = network.context_frames - 8
    offline = network.score(torch.cat([quiet[:, :, :lead], frames], dim=2)[0, 0].numpy())
    torch.testing.assert_close(torch.stack(scores[-20:]), torch.from_numpy(offline), rtol=1e-4, atol=1e-5)


def test_the_receptive_field_is_the_number_of_frames_that_make_one_output():
    encoder = measured("conv-ctc")
    assert encoder(torch.zeros(1, 1, encoder.receptive_field, 32)).shape[2] == 1
    with pytest.raises(RuntimeError):
        encoder(torch.zeros(1, 1, encoder.receptive_field - 8, 32))


@pytest.mark.parametrize(("name", "hours"), [("conv-ctc", 12.8 + 11.0), ("conv-ctc-tiny", 26.04)])
def test_its_weights_come_with_speechtl(name, hours):
    encoder = conv_ctc.load(name)
    assert all(torch.isfinite(values).all() for values in encoder.state_dict().values())
    assert not torch.equal(encoder.groups["widen"][0].weight, conv_ctc.build(name).groups["widen"][0].weight)
    assert encoder.info.source_hours == pytest.approx(hours, abs=0.02)  # as the card says
    assert judge(encoder.info.licence) == ("yes", "keep the licence text and the notices; name the authors")
    assert conv_ctc.WEIGHTS.joinpath(f"{name}.md").exists()


def test_the_weights_are_small_together():
    assert sum(path.stat().st_size for path in conv_ctc.WEIGHTS.glob("*.safetensors")) <= 4_000_000


def test_weights_of_another_size_are_refused(tmp_path):
    with pytest.raises(RunError, match="contains the weights of conv-ctc; write conv-ctc:FILE in place of conv-ctc-tiny"):
        conv_ctc.load("conv-ctc-tiny", conv_ctc.WEIGHTS / "conv-ctc.safetensors")
    with pytest.raises(RunError, match="does not exist"):
        conv_ctc.load("conv-ctc", tmp_path / "none.safetensors")


def test_a_file_of_ones_own_is_an_encoder_by_name(tmp_path):
    shipped = conv_ctc.load("conv-ctc-tiny")
    mine = {name: values + 1 if values.is_floating_point() else values for name, values in shipped.state_dict().items()}
    save_tensors(tmp_path / "mine.safetensors", mine, {"hours": 3.0, "licence": "CC0-1.0"})
    encoder = load_encoder(f"conv-ctc-tiny:{tmp_path}/mine.safetensors")
    assert all(torch.equal(values, mine[name]) for name, values in encoder.state_dict().items())
    assert (encoder.info.source_hours, encoder.info.licence) == (3.0, "CC0-1.0")
    assert encoder.info.source == f"mine.safetensors, sha256 {sha256_of(tmp_path / 'mine.safetensors')}"
    save_tensors(tmp_path / "mine.safetensors", mine, {})
    assert judge(load_encoder(f"conv-ctc-tiny:{tmp_path}/mine.safetensors").info.licence)[0] == "unclear"
    assert build_encoder("conv-ctc-tiny:gone.safetensors").info.name == "conv-ctc-tiny"  # a run holds weights of its own
