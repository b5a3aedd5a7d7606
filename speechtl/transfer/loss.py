"""The loss of several tasks at once, in which missing labels do not count."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from speechtl.transfer.heads import Task


class TaskLoss:
    """The mean cross-entropy over all labels that are known; a label is NaN where nobody gave one.

    A missing label has no gradient: its example teaches only the tasks whose labels it has, and the layers that they share.
    """

    def __init__(self, tasks: Sequence[Task]) -> None:
        self.tasks = tuple(tasks)

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of logits `(batch, outputs)` for labels `(batch, tasks)`: 0 or 1, or the index of a class, or NaN."""
        parts = torch.split(logits, [task.outputs for task in self.tasks], dim=1)
        known = ~torch.isnan(labels)
        total = logits.sum() * 0.0
        for index, (task, part) in enumerate(zip(self.tasks, parts, strict=True)):
            part, targets = part[known[:, index]], labels[known[:, index], index]
            if task.classes:
                total = total + cross_entropy(part, targets.long(), reduction="sum")
            else:
                total = total + binary_cross_entropy_with_logits(part[:, 0], targets, reduction="sum")
        return total / known.sum().clamp(min=1)
