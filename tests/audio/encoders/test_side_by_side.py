import dataclasses

import pytest
import torch

from speechtl.audio.encoders import conv_ctc, load_encoder, parts_of, silence, step
from speechtl.audio.encoders.side_by_side import beside
from speechtl.audio.network.heads import divide, make_head
from speechtl.audio.network.model import WakeWordNetwork, scorer_of
from speechtl.errors import RecipeError
from speechtl.export.step import ExportStep
from speechtl.transfer import attach


@pytest.fixture(scope="module")
def two():
    torch.manual_seed(0)
    return [conv_ctc.build(name).eval() for name in ("conv-ctc", "conv-ctc-tiny")]


@torch.no_grad()
def test_two_encoders_give_what_each_gives_for_the_same_moment(two):
    both = beside(two).eval()
    frames = torch.randn(1, 1, both.receptive_field + 24, 32)
    together = both(frames)
    assert together.shape == (1, 256 + 80, 4, 1)
    for encoder, part in zip(two, together.split([256, 80], dim=1), strict=True):
        alone = encoder(frames[:, :, both.receptive_field - encoder.receptive_field :])
        torch.testing.assert_close(part, alone[:, :, :4])


@torch.no_grad()
def test_streaming_gives_the_same_as_offline(two):
    both = beside(two).eval()
    frames = torch.cat([silence(both.features, 1, 160), torch.randn(1, 1, 240, 32)], dim=2)
    states, steps = None, []
    for part in frames.split(8, dim=2):
        new_states: list[torch.Tensor] = []
        steps.append(step(both.groups["side_by_side"], part, None if states is None else iter(states), new_states))
        states = new_states
    offline = both(frames[:, :, frames.shape[2] % 8 + (8 - both.receptive_field % 8) % 8 :])
    torch.testing.assert_close(torch.cat(steps, dim=2)[:, :, -offline.shape[2] :], offline, rtol=1e-4, atol=1e-5)


def test_members_listen_to_one_encoder_each_and_keep_to_it_while_they_learn(two):
    both = beside(two)
    head = divide(make_head("conv", both.info.embedding_size, members=4), both.parts)
    first = head[1]
    optimizer = torch.optim.AdamW(head.parameters(), lr=1e-2, weight_decay=0.1)
    for _ in range(3):
        head(torch.randn(2, 336, 9, 1)).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    heard = first.weight.abs().amax(dim=(2, 3)).reshape(4, 24, 336) > 0
    assert heard[:2, :, :256].all()
    assert heard[2:, :, 256:].all()
    assert not heard[:2, :, 256:].any()
    assert not heard[2:, :, :256].any()


def test_what_both_remember_of_the_features_is_one_state(two):
    network = attach(beside(two), make_head("linear", 336), WakeWordNetwork)
    apart = [ExportStep([attach(encoder, make_head("linear", encoder.info.embedding_size), WakeWordNetwork)]) for encoder in two]
    assert len(ExportStep([network]).states()) == sum(len(step.states()) for step in apart) - 1


@pytest.mark.slow
@torch.no_grad()
def test_what_is_exported_gives_the_scores_of_the_network(two):
    both = beside(two)
    network = attach(both, divide(make_head("conv", both.info.embedding_size), both.parts), WakeWordNetwork).eval()
    network.head.standardize.measure(both(torch.randn(1, 1, 300, 32)))
    exported = ExportStep([network])
    frames = torch.randn(1, 1, 400, 32)
    states = None
    scores = []
    for part in torch.cat([silence(both.features, 1, exported.silent_steps * 8), frames], dim=2).split(8, dim=2):
        score, *states = exported.run(part, None if states is None else iter(states))
        scores.append(float(score))
    engine = scorer_of(network).engine
    torch.testing.assert_close(torch.tensor(scores[-50:]), torch.from_numpy(engine.run(frames[0, 0].numpy())[:, 0]), rtol=0, atol=1e-5)


def test_encoders_that_do_not_fit_are_refused(two):
    other = conv_ctc.build("conv-ctc-tiny")
    other.features = dataclasses.replace(other.features, bands=40)
    with pytest.raises(RecipeError, match="cannot be combined"):
        beside([two[0], other])
    with pytest.raises(RecipeError, match="'conv-ctx' is not known"):
        load_encoder("conv-ctc+conv-ctx")


def test_a_pipeline_with_its_option_is_one_encoder():
    assert parts_of("torchaudio:HUBERT_BASE+layers") == ["torchaudio:HUBERT_BASE+layers"]


@pytest.mark.parametrize("name", ["conv-ctc+", "+conv-ctc"])
def test_a_missing_name_is_said(name):
    with pytest.raises(RecipeError, match="a name is missing before or after"):
        load_encoder(name)
