"""Batches of examples that fit in memory, with what the frozen front makes of them computed once."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from speechtl.transfer.fit import Batch
from speechtl.transfer.network import TransferNetwork

FROZEN_BATCH = 16  # examples that go through the frozen front at a time
MEASURED = 1000  # examples at most that tell the embeddings' mean and deviation

Render = Callable[[Tensor, int], Tensor]  # inputs and a number to inputs in that copy


class ExampleBatches:
    """Shuffled batches of inputs `(examples, ...)` and labels `(examples, ...)`, for `fit`.

    `render` gives the inputs another copy in every epoch (augmentation). Behind a frozen front, `copies` of them are
    computed once, kept, and used in turn; where everything learns, every epoch has its own.
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
        self._kept: dict[int, Tensor] = {}

    def __len__(self) -> int:
        return len(self.inputs) // self.batch_size

    def epoch(self, number: int) -> Iterator[Batch]:
        """Yield `(inputs behind the frozen front, labels)` in an order that depends on the epoch's number alone."""
        random = torch.Generator().manual_seed(self.seed * 1_000_003 + number)
        order = torch.randperm(len(self.inputs), generator=random)[: len(self) * self.batch_size]
        kept = self.copy(number % self.copies) if self.frozen_groups else None
        for chosen in torch.split(order, self.batch_size):
            yield (self._rendered(self.inputs[chosen], number) if kept is None else kept[chosen]), self.labels[chosen]

    def copy(self, number: int) -> Tensor:
        """Return what the frozen front makes of all inputs in one copy; the first is as they are."""
        if number not in self._kept:
            parts = torch.split(self.inputs, FROZEN_BATCH)
            outputs = [
                group_outputs(self.network, self._rendered(part, number * len(parts) + index) if number else part, self.frozen_groups)
                for index, part in enumerate(parts)
            ]
            self._kept[number] = torch.cat(outputs)
        return self._kept[number]

    def _rendered(self, inputs: Tensor, number: int) -> Tensor:
        return inputs if self.render is None else self.render(inputs, self.seed * 1_000_003 + number)

    def measure_embeddings(self) -> None:
        """Let the head, where it wants to, measure the embeddings of the training examples.

        Groups that will learn run as they do while learning: from scratch, their normalisation layers have no statistics yet.
        """
        measure = getattr(self.network.head, "measure", None)
        if measure is not None:
            start = self.copy(0)[:MEASURED] if self.frozen_groups else self.inputs[:MEASURED]
            measure(group_outputs(self.network, start, len(self.network.groups()) - 1, self.frozen_groups, learning=True))


@torch.no_grad()
def group_outputs(network: TransferNetwork, inputs: Tensor, end: int, start: int = 0, *, learning: bool = False) -> Tensor:
    """Return what the groups from `start` to before `end` make of inputs, on the processor they came from.

    The groups run in evaluation mode, or as while `learning`; their mode is left as it is found.
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
