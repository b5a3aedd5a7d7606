"""Where in a recording a network writes the phones that are known to be said in it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from speechtl.audio.phones import BLANK


@torch.no_grad()
def first_frames(log_probabilities: Tensor, phones: Tensor, counts: Tensor) -> Tensor:
    """Return the frame `(batch, phones)` at which each phone begins on the most probable way of writing them all (Viterbi 1967).

    `log_probabilities` is `(frames, batch, classes)`, `phones` `(batch, longest)`, and `counts` says how many of them are said.
    What CTC allows is allowed: blanks between phones, and phones over several frames (Graves et al. 2006). Where there are more
    phones than fit, and behind the last phone, frames are -1.
    """
    scores = log_probabilities.float().transpose(0, 1).cpu()
    said, many = phones.cpu().numpy().astype(np.int64), counts.cpu().numpy().astype(np.int64)
    batch, frames, _ = scores.shape
    states = np.full((batch, 2 * said.shape[1] + 1), BLANK)
    states[:, 1::2] = said
    of_states = scores.gather(2, torch.from_numpy(states)[:, None].expand(-1, frames, -1)).transpose(0, 1).contiguous().numpy()
    no_skip = np.full(states.shape, -np.inf, np.float32)  # from one phone to the next without a blank: not to the same
    no_skip[:, 3::2][states[:, 3::2] != states[:, 1:-2:2]] = 0.0
    best = np.full((batch, states.shape[1] + 2), -np.inf, np.float32)  # two unreachable states in front
    best[:, 2] = 0.0
    came = np.empty((frames, *states.shape), np.int8)
    for frame in range(frames):
        stay, next_state, skip = best[:, 2:], best[:, 1:-1], best[:, :-2] + no_skip
        better = np.maximum(stay, next_state)
        np.greater(next_state, stay, out=came[frame], casting="unsafe")
        came[frame][skip > better] = 2
        best[:, 2:] = np.maximum(better, skip) + of_states[frame]
    rows = np.arange(batch)
    last = 2 * many + 2
    state = np.where(best[rows, last] >= best[rows, last - 1], last, last - 1) - 2
    reached = np.isfinite(np.maximum(best[rows, last], best[rows, last - 1]))
    found = np.full(said.shape, -1, np.int64)
    for frame in range(frames - 1, -1, -1):
        at_phone = (state % 2 == 1) & reached
        found[rows[at_phone], state[at_phone] // 2] = frame
        state = np.maximum(state - came[frame, rows, state], 0)
    return torch.from_numpy(found).to(log_probabilities.device)
