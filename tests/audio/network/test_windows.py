import pytest
import torch
from torch import nn

from speechtl.audio.encoders.streaming import step
from speechtl.audio.network.windows import WindowAttention, WindowGRU

WINDOW, SIZE, MEMBERS = 5, 6, 2


def torch_gru(layer: WindowGRU, member: int) -> nn.GRU:
    """Return PyTorch's own GRU with the weights of one member."""
    gru, own = nn.GRU(SIZE, SIZE, batch_first=True), slice(member * SIZE, (member + 1) * SIZE)
    with torch.no_grad():
        gru.weight_ih_l0.copy_(torch.cat([gate.weight[own, :, 0, 0] for gate in layer.given]))
        gru.weight_hh_l0.copy_(torch.cat([gate.weight[own, :, 0, 0] for gate in layer.kept]))
        gru.bias_ih_l0.copy_(torch.cat([gate.bias[own] for gate in layer.given]))
        gru.bias_hh_l0.zero_()[2 * SIZE :] = layer.kept[2].bias[own]
    return gru


@torch.no_grad()
@pytest.mark.parametrize("member", range(MEMBERS))
def test_every_member_is_the_gru_of_pytorch_over_each_window_from_a_zero_state(member):
    torch.manual_seed(0)
    layer, inputs = WindowGRU(SIZE, SIZE, MEMBERS, WINDOW), torch.randn(3, SIZE * MEMBERS, 9, 1)
    own = slice(member * SIZE, (member + 1) * SIZE)
    outputs = layer(inputs)[:, own, :, 0]
    assert outputs.shape == (3, SIZE, 9 - WINDOW + 1)
    for first in range(9 - WINDOW + 1):
        _, last = torch_gru(layer, member)(inputs[:, own, first : first + WINDOW, 0].transpose(1, 2))
        torch.testing.assert_close(outputs[:, :, first], last[0])


@torch.no_grad()
def test_attention_is_the_weighted_mean_of_each_window():
    torch.manual_seed(0)
    layer, inputs = WindowAttention(SIZE, MEMBERS, WINDOW), torch.randn(3, SIZE * MEMBERS, 8, 1)
    outputs = layer(inputs)
    assert outputs.shape == (3, SIZE * MEMBERS, 4, 1)
    for first in range(4):
        window = inputs[:, :, first : first + WINDOW, 0]
        weights = torch.softmax(layer.query(window[..., None])[..., 0] + layer.place[:, 0], dim=2)
        torch.testing.assert_close(weights.sum(dim=2), torch.ones(3, SIZE * MEMBERS))
        torch.testing.assert_close(outputs[:, :, first, 0], (window * weights).sum(dim=2))


def test_attention_starts_with_another_stretch_of_the_window_for_every_channel():
    favourites = WindowAttention(SIZE, MEMBERS, WINDOW).place[:SIZE, 0].argmax(dim=1)
    assert (favourites.diff() >= 0).all()
    assert favourites[0] == 0
    assert favourites[-1] == WINDOW - 1


@torch.no_grad()
@pytest.mark.parametrize("kind", ["gru", "attention"])
@pytest.mark.parametrize("chunks", [[1] * 20, [20], [3, 5, 12]])
def test_pieces_of_a_stream_give_what_all_of_it_at_once_gives(kind, chunks):
    torch.manual_seed(0)
    size = (SIZE, SIZE, MEMBERS) if kind == "gru" else (SIZE, MEMBERS)
    layer = (WindowGRU if kind == "gru" else WindowAttention)(*size, WINDOW)
    inputs = torch.randn(2, SIZE * MEMBERS, 20, 1)
    states, outputs = None, []
    for part in inputs.split(chunks, dim=2):
        new_states: list[torch.Tensor] = []
        outputs.append(step(layer, part, None if states is None else iter(states), new_states))
        states = new_states
    streamed = torch.cat(outputs, dim=2)
    assert streamed.shape[2] == 20
    torch.testing.assert_close(streamed[:, :, WINDOW - 1 :], layer(inputs), rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_a_recurrence_forgets_what_lies_before_its_window_entirely():
    torch.manual_seed(0)
    layer, recent = WindowGRU(SIZE, SIZE, MEMBERS, WINDOW), torch.randn(1, SIZE * MEMBERS, WINDOW, 1)
    other = [torch.cat([torch.randn(1, SIZE * MEMBERS, 50, 1) * loud, recent], dim=2) for loud in (1.0, 100.0)]
    last = [stream_to_the_end(layer, inputs) for inputs in other]
    assert torch.equal(*last)


def stream_to_the_end(layer: WindowGRU, inputs: torch.Tensor) -> torch.Tensor:
    running = None
    for part in inputs.split(1, dim=2):
        output, running = layer.step(part, running)
    return output
