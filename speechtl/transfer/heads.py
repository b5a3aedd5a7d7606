"""New layers that serve every modality: one task or several at once behind a shared encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

FLOOR = 0.2  # of the typical deviation
FIRST_LOGITS = 0.05  # their deviation


@dataclass(frozen=True)
class Task:
    """Something to tell about an input: which one of several classes, or, without classes, yes or no."""

    name: str
    classes: tuple[str, ...] = ()

    @property
    def outputs(self) -> int:
        """How many logits the task needs: one for yes or no (a sigmoid), one for each class otherwise (a softmax)."""
        return len(self.classes) or 1

    def to_json(self) -> dict[str, Any]:
        """Return the task as JSON stores it."""
        return {"name": self.name, "classes": list(self.classes)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Task:
        """Read a task back."""
        return cls(str(values["name"]), tuple(map(str, values["classes"])))


class Standardize(nn.Module):
    """Bring every embedding number to mean 0 and deviation 1, as measured once on the training examples.

    Embeddings are `(batch, size, ...)` with `axes` more axes behind the numbers. No deviation counts as smaller than `floor`
    times the typical one: few examples leave some numbers at zero, and a later example that does not must not drown all others.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, size: int, axes: int = 0, floor: float = 0.0) -> None:
        super().__init__()
        self.floor = floor
        self.register_buffer("mean", torch.zeros(1, size, *[1] * axes))
        self.register_buffer("scale", torch.ones(1, size, *[1] * axes))

    def measure(self, embeddings: Tensor) -> None:
        """Take mean and deviation from embeddings."""
        over = [axis for axis in range(embeddings.dim()) if axis != 1]
        deviation = embeddings.std(dim=over, keepdim=True)
        self.mean.copy_(embeddings.mean(dim=over, keepdim=True))
        typical = float(deviation.square().mean().sqrt())
        self.scale.copy_(1.0 / deviation.clamp(min=max(1e-5, self.floor * typical)))

    def forward(self, embeddings: Tensor) -> Tensor:
        """Standardize embeddings."""
        return (embeddings - self.mean) * self.scale


def start_output(layer: nn.Linear | nn.Conv1d) -> None:
    """Let the first logits of standardized embeddings be small: with few examples, most of what chance put there would stay."""
    nn.init.normal_(layer.weight, std=FIRST_LOGITS / layer.weight[0].numel() ** 0.5)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


class TaskHead(nn.Module):
    """Answers several tasks from one embedding: pooled, standardized, and one new output layer for all of them.

    Embeddings are `(batch, input_size)` or `(batch, input_size, ...)` with places (pixels, moments) behind, which are
    averaged; with `grid` above 1 the places of a picture are averaged in that many rows and columns, so that the head
    still knows where something is. Logits are `(batch, outputs)`, the tasks' side by side. `hidden` puts one more layer
    between.
    """

    def __init__(self, input_size: int, tasks: Sequence[Task], *, grid: int = 1, hidden: int = 0, dropout: float = 0.2) -> None:
        super().__init__()
        self.input_size = input_size
        self.tasks = tuple(tasks)
        self.grid = grid
        self.hidden = hidden
        size = input_size * grid * grid
        self.standardize = Standardize(size, floor=FLOOR)
        outputs = sum(task.outputs for task in self.tasks)
        if hidden:
            self.layers = nn.Sequential(nn.Dropout(dropout), nn.Linear(size, hidden), nn.ReLU(), nn.Linear(hidden, outputs))
        else:
            output = nn.Linear(size, outputs)
            start_output(output)
            self.layers = nn.Sequential(nn.Dropout(dropout), output)

    def forward(self, embeddings: Tensor) -> Tensor:
        """Return the logits `(batch, outputs)`."""
        logits: Tensor = self.layers(self.standardize(self.pool(embeddings)))
        return logits

    def pool(self, embeddings: Tensor) -> Tensor:
        """Return `(batch, numbers)` from embeddings with places."""
        if self.grid > 1:
            embeddings = nn.functional.adaptive_avg_pool2d(embeddings, self.grid)
            return embeddings.flatten(1)
        return embeddings.flatten(2).mean(dim=2) if embeddings.dim() > 2 else embeddings

    def measure(self, embeddings: Tensor) -> None:
        """Measure mean and deviation of the embeddings, before training."""
        self.standardize.measure(self.pool(embeddings))

    def split(self, outputs: Tensor) -> list[Tensor]:
        """Return the part `(batch, task.outputs)` of each task."""
        return list(torch.split(outputs, [task.outputs for task in self.tasks], dim=1))

    def scores(self, logits: Tensor) -> list[Tensor]:
        """Return for each task its probabilities `(batch, task.outputs)`: of yes, or of every class."""
        parts = zip(self.tasks, self.split(logits), strict=True)
        return [torch.softmax(part, dim=1) if task.classes else torch.sigmoid(part) for task, part in parts]


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
