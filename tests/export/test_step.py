import pytest
import torch

from speechtl.audio.encoders import build_encoder, silence
from speechtl.audio.network.heads import HEADS, make_head
from speechtl.audio.network.model import StepNetwork, WakeWordNetwork
from speechtl.export.step import ExportStep, lean, share_encoder
from speechtl.transfer import attach


def measured_head(kind: str, size: int, members: int, seed: int):
    torch.manual_seed(seed)
    head = make_head(kind, size, members=members)
    head.standardize.mean.normal_()
    head.standardize.scale.uniform_(0.5, 2.0)
    return head


def scores(step, frames) -> torch.Tensor:
    """Play steps of frames from zero states on; return the scores `(steps, words)` once these are forgotten."""
    states, found = list(step.inputs()[1:]), []
    with torch.no_grad():
        for part in frames:
            score, *states = step(part, *states)
            found.append(score[0])
    return torch.stack(found[step.silent_steps :])


def expected(network, frames) -> torch.Tensor:
    step, states, found = StepNetwork(network), None, []
    with torch.no_grad():
        for part in frames:
            score, states = step(part, states)
            found.append(score[0])
    return torch.stack(found)


@pytest.mark.parametrize("kind", HEADS)
@pytest.mark.parametrize("members", [1, 3])
def test_the_rewritten_step_gives_the_networks_scores(tiny, kind, members):
    encoder = tiny().encoder
    network = attach(encoder, measured_head(kind, 6, members, 1), WakeWordNetwork)
    step = ExportStep([network])
    frames = [part[None, None] for part in torch.rand(30, 4, 32) * 6 + 3]
    torch.testing.assert_close(scores(step, frames), expected(network, frames)[step.silent_steps :], atol=1e-5, rtol=0)


@pytest.mark.parametrize("kinds", [(kind, kind) for kind in HEADS] + [("conv", "linear"), ("attention", "gru")])
def test_several_words_give_the_scores_of_each_alone(tiny, kinds):
    encoder = tiny().encoder
    networks = [
        attach(encoder, measured_head(kind, 6, members, seed), WakeWordNetwork)
        for seed, (kind, members) in enumerate(zip(kinds, (2, 3), strict=True))
    ]
    step = ExportStep(networks)
    frames = [part[None, None] for part in torch.rand(30, 4, 32) * 6 + 3]
    both = torch.cat([expected(network, frames) for network in networks], dim=1)[step.silent_steps :]
    torch.testing.assert_close(scores(step, frames), both, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", HEADS)
def test_heads_of_one_architecture_become_one(tiny, kind):
    encoder = tiny().encoder
    alone, joined = (ExportStep([attach(encoder, make_head(kind, 6), WakeWordNetwork)] * words) for words in (1, 3))
    assert len(joined.heads) == 1
    assert len(joined.states()) == len(alone.states())


def test_the_full_encoder_is_rewritten_without_changing_an_embedding():
    torch.manual_seed(0)
    encoder = build_encoder("scratch")
    frames = silence(encoder.features, 1, 84) + torch.rand(1, 1, 84, 32) * 6
    rewritten = torch.nn.Sequential(*(lean(group) for group in encoder.groups.values()))
    with torch.no_grad():
        torch.testing.assert_close(rewritten(frames), encoder(frames), atol=1e-6, rtol=1e-5)


def test_batch_normalisation_is_folded():
    torch.manual_seed(0)
    layers = torch.nn.Sequential(torch.nn.Conv2d(2, 5, 3), torch.nn.BatchNorm2d(5), torch.nn.ReLU()).eval()
    layers[1].running_mean.normal_()
    layers[1].running_var.uniform_(0.5, 2.0)
    folded, inputs = lean(layers), torch.randn(1, 2, 8, 8)
    assert not any(isinstance(layer, torch.nn.BatchNorm2d) for layer in folded.modules())
    torch.testing.assert_close(folded(inputs), layers(inputs))


def test_encoders_are_shared_only_when_every_weight_is_the_same(tiny):
    one, other = tiny(), tiny()
    assert share_encoder([one, other])
    with torch.no_grad():
        next(other.encoder.parameters())[0] += 1e-6
    assert not share_encoder([one, other])


def test_all_weights_lie_as_the_converter_expects(tiny_network):
    assert all(weights.is_contiguous() for weights in ExportStep([tiny_network]).state_dict().values())
