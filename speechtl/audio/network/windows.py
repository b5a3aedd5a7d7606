"""Layers of a head that look back over a window of embeddings: by recurrence, and by attention.

A recurrence whose state goes on for ever would depend on everything since a stream began, which no training example can show it,
and rounding would add up over months. Here every score starts from nothing and sees the same number of embeddings, in training,
offline and streaming.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from speechtl.audio.encoders.streaming import TIME, TimeConv


class WindowGRU(nn.Module):
    """Gated recurrent units (Cho et al. 2014) over `window` steps from a zero state; the last state is the output.

    Each of `members` networks, with concatenated channels, has its own. Channels are those of `(batch, channels, time, 1)`.
    """

    def __init__(self, inputs: int, size: int, members: int, window: int) -> None:
        super().__init__()
        self.time_context = window - 1
        self.given = nn.ModuleList(TimeConv(inputs * members, size * members, groups=members) for _ in range(3))
        self.kept = nn.ModuleList(TimeConv(size * members, size * members, groups=members, bias=gate == 2) for gate in range(3))

    def forward(self, inputs: Tensor) -> Tensor:
        """The states after every whole window; windows that begin at each step run in parallel."""
        given = [gate(inputs) for gate in self.given]
        count = inputs.shape[TIME] - self.time_context
        state = torch.zeros_like(given[0][:, :, :count])
        for first in range(self.time_context + 1):
            state = self._next([gate[:, :, first : first + count] for gate in given], state)
        return state

    def step(self, inputs: Tensor, running: Tensor | None) -> tuple[Tensor, Tensor]:
        """Take the next steps in all windows that are under way; return the states of those that are complete, and the others.

        So a window costs one step in place of `window` of them. Unfinished windows are kept in one tensor, the oldest first; None is zero.
        """
        complete = []
        for first in range(inputs.shape[TIME]):
            given = [gate(inputs[:, :, first : first + 1]) for gate in self.given]
            fresh = torch.zeros_like(given[0])
            running = fresh.expand(-1, -1, self.time_context, -1) if running is None else running
            states = self._next(given, torch.cat([running, fresh], dim=TIME))
            complete.append(states[:, :, :1])
            running = states[:, :, 1:]
        assert running is not None
        return torch.cat(complete, dim=TIME) if len(complete) > 1 else complete[0], running

    def _next(self, given: Sequence[Tensor], state: Tensor) -> Tensor:
        """The new state (as in PyTorch's GRU, the reset gate comes after the candidate's recurrent weights)."""
        reset = torch.sigmoid(given[0] + self.kept[0](state))
        update = torch.sigmoid(given[1] + self.kept[1](state))
        candidate = torch.tanh(given[2] + reset * self.kept[2](state))
        return candidate + update * (state - candidate)


class WindowAttention(nn.Module):
    """The mean over a window's steps, weighted for every channel by a learned query and by where in the window a step stands.

    Attentive pooling that depends on the channel (Desplanques et al. 2020, ECAPA-TDNN, section 3.1). Each of `members` networks,
    with `size` of the concatenated channels, has its own; channels are those of `(batch, channels, time, 1)`.
    """

    def __init__(self, size: int, members: int, window: int) -> None:
        super().__init__()
        self.time_context = window - 1
        self.query = TimeConv(size * members, size * members, groups=members, bias=False)
        # Each channel begins with a stretch of the window of its own: what comes early in a word, or late.
        centres = torch.linspace(0.0, window - 1.0, size)[:, None]
        near = -((torch.arange(window) - centres) * 2.0 / window).square()
        self.place = nn.Parameter(near.repeat(members, 1)[:, None])  # (members * size, 1, window)

    def forward(self, inputs: Tensor) -> Tensor:
        """The means for every whole window."""
        window = self.time_context + 1
        steps, fits = (values[..., 0].unfold(TIME, window, 1) for values in (inputs, self.query(inputs)))
        weights = torch.softmax(fits + self.place, dim=-1)  # (batch, channels, steps, window)
        return (steps * weights).sum(dim=-1, keepdim=True)
