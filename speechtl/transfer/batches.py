"""Batches of examples that fit in memory; the outputs of the frozen layers are computed once."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from speechtl.transfer.fit import Batch
from speechtl.transfer.network import TransferNetwork

FROZEN_BATCH = 16  # examples that run through the frozen layers at a time
MEASURED = 1000  # examples, at most, from which the embeddings' mean and deviation are computed

Render = Callable[[Tensor, int], Tensor]  # inputs and the number of an augmented copy to the augmented inputs


class ExampleBatches:
    """Shuffled batches of inputs `(examples, ...)` and labels `(examples, ...)`, for `fit`.

    `render` augments the inputs. With frozen layers, their outputs for `copies` augmented copies are cached and used in turn;
    otherwise every epoch has a new copy.
    """

    def __init__(
        self,
        inputs: Tensor,
        labels: Tensor,
        network: TransferNetwork,
        frozen_groups: int,
        *,
        batch_size: int = 32,
        seed: int = 0,
        render: Render | None = None,
        copies: int = 1,
    ) -> None:
        self.inputs = inputs
        self.labels = labels
        self.network = network
        self.frozen_groups = frozen_groups
        self.batch_size = min(batch_size, len(inputs))
        self.seed = seed
        self.render = render
        self.copies = copies if render else 1
        self._cache: dict[int, Tensor] = {}

    def __len__(self) -> int:
        return len(self.inputs) // self.batch_size

    def epoch(self, number: int) -> Iterator[Batch]:
        """Yield `(outputs of the frozen layers, labels)` in an order that depends only on the epoch's number."""
        random = torch.Generator().manual_seed(self.seed * 1_000_003 + number)
        order = torch.randperm(len(self.inputs), generator=random)[: len(self) * self.batch_size]
        cached = self.copy(number % self.copies) if self.frozen_groups else None
        for chosen in torch.split(order, self.batch_size):
            yield (self._rendered(self.inputs[chosen], number) if cached is None else cached[chosen]), self.labels[chosen]

    def copy(self, number: int) -> Tensor:
        """Outputs of the frozen layers for an augmented copy of all inputs; copy 0 is not augmented."""
        if number not in self._cache:
            parts = torch.split(self.inputs, FROZEN_BATCH)
            outputs = [
                group_outputs(self.network, self._rendered(part, number * len(parts) + index) if number else part, self.frozen_groups)
                for index, part in enumerate(parts)
            ]
            self._cache[number] = torch.cat(outputs)
        return self._cache[number]

    def _rendered(self, inputs: Tensor, number: int) -> Tensor:
        return inputs if self.render is None else self.render(inputs, self.seed * 1_000_003 + number)

    def measure_embeddings(self) -> None:
        """Let a head with `measure` measure the embeddings of the training examples.

        Groups that will learn run in training mode: with random weights, their normalisation layers have no statistics yet.
        """
        measure = getattr(self.network.head, "measure", None)
        if measure is not None:
            start = self.copy(0)[:MEASURED] if self.frozen_groups else self.inputs[:MEASURED]
            measure(group_outputs(self.network, start, len(self.network.groups()) - 1, self.frozen_groups, learning=True))


@torch.no_grad()
def group_outputs(network: TransferNetwork, inputs: Tensor, end: int, start: int = 0, *, learning: bool = False) -> Tensor:
    """Outputs of the groups from `start` to before `end`, on the device of the inputs.

    The groups run in evaluation mode, or in training mode if `learning`; afterwards they have their old mode.
    """
    groups = [group for _, group in network.groups()[start:end]]
    if not groups:
        return inputs
    modes = [group.training for group in groups]
    for group in groups:
        group.train(learning)
    parts = []
    for part in torch.split(inputs, FROZEN_BATCH):
        part = part.to(network.device)
        for group in groups:
            part = group(part)
        parts.append(part.to(inputs.device))
    for group, mode in zip(groups, modes, strict=True):
        group.train(mode)
    return torch.cat(parts)
