"""The loss of several tasks at once, in which missing labels do not count."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from speechtl.transfer.heads import Task


class TaskLoss:
    """The mean cross-entropy over all known labels; a label is NaN where nobody gave one.

    A missing label has no gradient: its example teaches only the tasks whose labels it has, and the layers that they share.
    `weights` says how much a label of each task counts (one each by default); `balance` gives those with which a task of few
    labels counts as much as the others.
    """

    def __init__(self, tasks: Sequence[Task], weights: Sequence[float] | None = None) -> None:
        self.tasks = tuple(tasks)
        self.weights = tuple(weights) if weights is not None else (1.0,) * len(self.tasks)

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Loss of logits `(batch, outputs)` for labels `(batch, tasks)`: 0 or 1, or the index of a class, or NaN."""
        parts = torch.split(logits, [task.outputs for task in self.tasks], dim=1)
        known = ~torch.isnan(labels)
        total = logits.sum() * 0.0
        for index, (task, part, weight) in enumerate(zip(self.tasks, parts, self.weights, strict=True)):
            part, targets = part[known[:, index]], labels[known[:, index], index]
            if task.classes:
                total = total + weight * cross_entropy(part, targets.long(), reduction="sum")
            else:
                total = total + weight * binary_cross_entropy_with_logits(part[:, 0], targets, reduction="sum")
        counted = (known * logits.new_tensor(self.weights)).sum()
        return total / torch.where(counted > 0, counted, 1.0)


def balance(labels: Tensor) -> list[float]:
    """Weights of the tasks' labels `(examples, tasks)` with which every task counts the same, however few labels it has; 0 without any."""
    known = (~torch.isnan(labels)).sum(dim=0).double()
    mean = known.sum() / max(int((known > 0).sum()), 1)
    weights: list[float] = torch.where(known > 0, mean / known.clamp(min=1), 0.0).tolist()
    return weights
