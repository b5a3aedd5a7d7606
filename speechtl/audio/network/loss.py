"""The loss of a wake word: find the word by itself in its clip, stay silent on everything else."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import softplus

EARLY = 0.1  # seconds before the word's end from which on a detection counts
LATE = 0.22  # seconds after it until which it counts: a later limit finds more words, with a longer delay
HARDEST = 5  # steps of a negative example that are counted again
HARDEST_WEIGHT = 3.0
MODESTY = 0.01  # of the mean squared logit: keeps a network from being sure of what it saw only once


class WakeWordLoss:
    """Max-pooling over the steps near the word's end for positives (Sun et al. 2016), every step for negatives.

    `times` are those at which each step of an example is decided, in seconds from its start; `held_out` has for each
    member of the ensemble the fold of recordings that it must not learn from.
    """

    def __init__(self, times: Tensor, held_out: Sequence[int]) -> None:
        self.times = times
        self.held_out = torch.tensor(held_out)

    def __call__(self, logits: Tensor, words: Tensor, folds: Tensor) -> Tensor:
        """The loss of logits `(examples, members, steps, 1)` for word limits `(examples, 2)`, NaN for negatives.

        Every member of an ensemble has its own loss, without the examples of its held-out fold.
        """
        known = (folds[:, None] != self.held_out.to(folds.device)[None]).flatten()
        words = words.repeat_interleave(logits.shape[1], dim=0)[known]
        logits = logits[..., 0].flatten(0, 1)[known]
        start, end = words[:, :1], words[:, 1:]
        times = self.times.to(logits.device)[None]
        near = (times >= end - EARLY) & (times <= end + LATE)
        is_positive = ~torch.isnan(words[:, 0])
        silent = ~is_positive[:, None] | (times < start + 0.25 * (end - start))
        best = logits.masked_fill(~near, -torch.inf).amax(dim=1)[is_positive]
        hits = softplus(-best).mean() if len(best) else logits.sum() * 0.0
        costs = softplus(logits) * silent
        everywhere = costs.sum() / silent.sum().clamp(min=1)
        hardest = costs.topk(min(HARDEST, costs.shape[1]), dim=1).values.mean()
        return hits + everywhere + HARDEST_WEIGHT * hardest + MODESTY * logits.square().mean()
