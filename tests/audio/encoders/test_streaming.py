import pytest
import torch
from torch import nn

from speechtl.audio.encoders.streaming import TimeConv, step


@torch.no_grad()
@pytest.mark.parametrize("chunks", [[1] * 20, [20], [3, 5, 12], [7, 13]])
def test_a_stack_of_convolutions_gives_the_same_in_pieces_and_at_once(chunks):
    torch.manual_seed(0)
    stack = nn.Sequential(TimeConv(1, 3, 3, 3), nn.ReLU(), nn.Sequential(TimeConv(3, 4, 1, 3), TimeConv(4, 2, 5)), nn.Tanh())
    inputs = torch.randn(2, 1, 20, 6)
    context = 2 + 4  # frames that the two layers over time need beside their own
    states, outputs = None, []
    for part in inputs.split(chunks, dim=2):
        new_states: list[torch.Tensor] = []
        outputs.append(step(stack, part, None if states is None else iter(states), new_states))
        states = new_states
    streamed = torch.cat(outputs, dim=2)
    assert streamed.shape == (2, 2, 20, 6)
    torch.testing.assert_close(streamed[:, :, context:], stack(inputs), rtol=1e-5, atol=1e-6)


def test_a_layer_keeps_as_many_frames_as_it_needs():
    states: list[torch.Tensor] = []
    step(nn.Sequential(TimeConv(2, 3, 4, 3), TimeConv(3, 1), TimeConv(1, 1, 2)), torch.zeros(1, 2, 1, 5), None, states)
    assert [tuple(state.shape) for state in states] == [(1, 2, 3, 5), (1, 1, 1, 5)]


def test_bands_are_padded_and_time_is_not():
    assert TimeConv(1, 1, 3, 3)(torch.zeros(1, 1, 10, 8)).shape == (1, 1, 8, 8)
