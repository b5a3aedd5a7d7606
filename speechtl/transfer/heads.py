"""Heads for every modality: one or several tasks on a shared encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

FLOOR = 0.2  # of the typical deviation
FIRST_LOGITS = 0.05  # standard deviation


@dataclass(frozen=True)
class Task:
    """A classification task: one of several classes, or, without classes, yes or no."""

    name: str
    classes: tuple[str, ...] = ()

    @property
    def outputs(self) -> int:
        """The number of logits: one for yes or no (sigmoid), otherwise one for each class (softmax)."""
        return len(self.classes) or 1

    def to_json(self) -> dict[str, Any]:
        """The task as JSON."""
        return {"name": self.name, "classes": list(self.classes)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Task:
        """The task from its JSON."""
        return cls(str(values["name"]), tuple(map(str, values["classes"])))


class Standardize(nn.Module):
    """Standardizes embeddings to mean 0 and deviation 1, as measured once on the training examples.

    Embeddings are `(batch, size, ...)` with `axes` more axes. Deviations are at least `floor` times the typical one: with few
    examples some features are always zero, and a later example in which they are not must not dominate all other features.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, size: int, axes: int = 0, floor: float = 0.0) -> None:
        super().__init__()
        self.floor = floor
        self.register_buffer("mean", torch.zeros(1, size, *[1] * axes))
        self.register_buffer("scale", torch.ones(1, size, *[1] * axes))

    def measure(self, embeddings: Tensor) -> None:
        """Set mean and deviation from embeddings."""
        over = [axis for axis in range(embeddings.dim()) if axis != 1]
        deviation = embeddings.std(dim=over, keepdim=True)
        self.mean.copy_(embeddings.mean(dim=over, keepdim=True))
        typical = float(deviation.square().mean().sqrt())
        self.scale.copy_(1.0 / deviation.clamp(min=max(1e-5, self.floor * typical)))

    def forward(self, embeddings: Tensor) -> Tensor:
        """Standardize embeddings."""
        return (embeddings - self.mean) * self.scale


def start_output(layer: nn.Linear | nn.Conv1d) -> None:
    """Initialise an output layer with small logits: with few examples, most of a random initialisation would remain."""
    nn.init.normal_(layer.weight, std=FIRST_LOGITS / layer.weight[0].numel() ** 0.5)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


class TaskHead(nn.Module):
    """A head for several tasks: pooling, standardization, and one output layer for all of them.

    Embeddings are `(batch, input_size)` or `(batch, input_size, ...)` with positions (pixels, frames), which are averaged;
    with `grid` above 1 the positions of a picture are averaged in that many rows and columns, which keeps where something
    is. Logits are `(batch, outputs)`, concatenated over the tasks. `hidden` is the size of one more layer.
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
        """Logits `(batch, outputs)`."""
        logits: Tensor = self.layers(self.standardize(self.pool(embeddings)))
        return logits

    def pool(self, embeddings: Tensor) -> Tensor:
        """Embeddings averaged over positions: `(batch, features)`."""
        if self.grid > 1:
            embeddings = nn.functional.adaptive_avg_pool2d(embeddings, self.grid)
            return embeddings.flatten(1)
        return embeddings.flatten(2).mean(dim=2) if embeddings.dim() > 2 else embeddings

    def measure(self, embeddings: Tensor) -> None:
        """Measure the mean and deviation of embeddings before training."""
        self.standardize.measure(self.pool(embeddings))

    def split(self, outputs: Tensor) -> list[Tensor]:
        """The part `(batch, task.outputs)` of each task."""
        return list(torch.split(outputs, [task.outputs for task in self.tasks], dim=1))

    def scores(self, logits: Tensor) -> list[Tensor]:
        """Probabilities of each task `(batch, task.outputs)`: of yes, or of every class."""
        parts = zip(self.tasks, self.split(logits), strict=True)
        return [torch.softmax(part, dim=1) if task.classes else torch.sigmoid(part) for task, part in parts]


class TaskLoss:
    """The mean cross-entropy over all known labels; a missing label is NaN.

    A missing label has no gradient: its example trains only the tasks of its other labels and the shared layers. `weights` are
    those of a label of each task (default 1); `balance` computes weights with which a task of few labels counts as much as the
    others.
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
    """Weights with which every task counts the same, from labels `(examples, tasks)`; 0 for a task without labels."""
    known = (~torch.isnan(labels)).sum(dim=0).double()
    mean = known.sum() / max(int((known > 0).sum()), 1)
    weights: list[float] = torch.where(known > 0, mean / known.clamp(min=1), 0.0).tolist()
    return weights
