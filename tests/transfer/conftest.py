"""A toy network with normalisation layers, and data for it."""

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from speechtl.transfer import EncoderInfo, InputSpec, SourceNetwork, attach, cut

SIZE = 6


def group(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU())


@pytest.fixture
def source() -> SourceNetwork:
    """A pretrained network of four groups with statistics of its own."""
    torch.manual_seed(1)
    info = EncoderInfo("toy", InputSpec("toy", {"size": SIZE}), embedding_size=5)
    network = SourceNetwork({"one": group(SIZE, 8), "two": group(8, 7), "three": group(7, 6), "four": group(6, 5)}, nn.Linear(5, 10), info)
    with torch.no_grad():
        network(torch.randn(200, SIZE) * 2 + 1)
    return network.eval()


@pytest.fixture
def network(source):
    torch.manual_seed(2)
    return attach(cut(source), nn.Sequential(nn.Dropout(0.2), nn.Linear(5, 1)))


class ToyBatches:
    """Batches that depend on the epoch's number; raises where it is told to."""

    def __init__(self, steps: int = 4, fail_in: int | None = None, front=None) -> None:
        self.steps, self.fail_in, self.front = steps, fail_in, front

    def __len__(self) -> int:
        return self.steps

    def epoch(self, number: int) -> Iterator[tuple[torch.Tensor, ...]]:
        random = torch.Generator().manual_seed(100 + number)
        for index in range(self.steps):
            if number == self.fail_in and index == self.steps // 2:
                raise KeyboardInterrupt
            inputs = torch.randn(16, SIZE, generator=random)
            targets = inputs[:, :1] - inputs[:, 1:2]
            yield (inputs if self.front is None else self.front(inputs)), targets


@pytest.fixture
def toy_batches():
    return ToyBatches
