import pytest
import torch

from speechtl.audio.network.heads import HEADS, Dropout, make_head
from speechtl.errors import RecipeError


@pytest.mark.parametrize("kind", HEADS)
@pytest.mark.parametrize("words", [1, 3])
def test_a_head_gives_one_score_a_word_and_step(kind, words):
    head = make_head(kind, 10, words).eval()
    assert head(torch.randn(2, 10, 12, 1)).shape == (2, words, 12 - head.receptive_field + 1, 1)


@pytest.mark.parametrize("kind", HEADS)
def test_a_score_depends_on_as_many_steps_as_announced(kind):
    torch.manual_seed(0)
    head = make_head(kind, 10).eval()
    embeddings = torch.randn(1, 10, 20, 1, requires_grad=True)
    head(embeddings)[0, 0, 0, 0].backward()
    used = embeddings.grad[0].abs().sum(dim=(0, 2)) > 0
    assert used.nonzero().flatten().tolist() == list(range(head.receptive_field))


def test_a_linear_head_is_one_linear_layer_however_many_members_it_is_the_mean_of():
    head = make_head("linear", 96).eval()
    weights, bias = head[1].weight[:, :, 0, 0].mean(dim=0), head[1].bias.mean()
    embeddings = torch.randn(1, 96, 7, 1)
    expected = torch.einsum("c,ct->t", weights, embeddings[0, :, :, 0]) + bias
    torch.testing.assert_close(head(embeddings)[0, 0, :, 0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", HEADS)
def test_a_head_of_some_members_gives_their_mean(kind):
    head, embeddings = make_head(kind, 10), torch.randn(2, 10, 12, 1)
    for layer in head:
        if isinstance(layer, torch.nn.Dropout):
            layer.p = 0.0
    members = head.train()(embeddings)
    torch.testing.assert_close(head.only([0, 3]).eval()(embeddings), members[:, [0, 3]].mean(dim=1, keepdim=True))


@pytest.mark.parametrize("kind", HEADS)
def test_a_shift_lowers_every_logit_by_the_amount(kind):
    head, embeddings = make_head(kind, 10).eval(), torch.randn(2, 10, 12, 1)
    before = head(embeddings)
    head.shift(1.25)
    torch.testing.assert_close(head(embeddings), before - 1.25)


def test_the_members_of_the_conv_head_learn_each_for_itself_and_give_their_mean():
    torch.manual_seed(0)
    head, embeddings = make_head("conv", 10), torch.randn(2, 10, 12, 1)
    for layer in head:
        if isinstance(layer, torch.nn.Dropout):
            layer.p = 0.0
    members = head.train()(embeddings)
    assert members.shape[1] > 1
    torch.testing.assert_close(head.eval()(embeddings), members.mean(dim=1, keepdim=True))
    members[:, 0].sum().backward()
    last = [layer for layer in head if isinstance(layer, torch.nn.Conv2d)][-1]
    assert last.weight.grad[0].abs().sum() > 0
    assert last.weight.grad[1:].abs().sum() == 0


def test_embeddings_are_standardized_as_measured():
    standardize = make_head("linear", 3).standardize
    embeddings = torch.randn(50, 3, 20, 1) * torch.tensor([1.0, 5.0, 0.2])[None, :, None, None] + 7
    standardize.measure(embeddings)
    standard = standardize(embeddings)
    torch.testing.assert_close(standard.mean(dim=(0, 2, 3)), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(standard.std(dim=(0, 2, 3)), torch.ones(3), atol=1e-4, rtol=0)


def test_a_number_that_never_changes_stays_finite():
    standardize = make_head("linear", 2).standardize
    standardize.measure(torch.ones(5, 2, 4, 1))
    assert torch.isfinite(standardize(torch.randn(5, 2, 4, 1))).all()


def test_an_unknown_head_is_an_error_that_lists_the_known():
    with pytest.raises(RecipeError, match="linear, conv, gru, attention"):
        make_head("transformer", 96)


def test_dropout_keeps_four_of_five_at_random_and_the_sum_as_it_is():
    torch.manual_seed(0)
    layer = Dropout(0.2)
    for inputs in (torch.ones(8, 50, 40, 1), torch.ones(8, 50, 40, 1).contiguous(memory_format=torch.channels_last)):
        first, second = layer.train()(inputs), layer(inputs)
        assert first.stride() == inputs.stride()
        assert float((first == 0).float().mean()) == pytest.approx(0.2, abs=0.02)
        assert float(first.mean()) == pytest.approx(1.0, abs=0.02)
        assert not torch.equal(first, second)
        torch.manual_seed(1)
        again = layer(inputs)
        torch.manual_seed(1)
        assert torch.equal(layer(inputs), again)
        assert torch.equal(layer.eval()(inputs), inputs)
