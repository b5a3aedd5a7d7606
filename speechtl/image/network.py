"""A network for pictures: a backbone without its output layer, a head for the tasks, and the form that pictures need."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from speechtl.transfer import Encoder, Task, TaskHead, TransferNetwork, attach

SCORE_BATCH = 32  # pictures at a time


class PictureNetwork(TransferNetwork):
    """A backbone and a head that answers tasks; takes bytes `(batch, 3, height, width)`."""

    head: TaskHead

    def __init__(self, encoder: Encoder, head: TaskHead) -> None:
        super().__init__(encoder, head)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # convolutions run twice as fast so

    @torch.no_grad()
    def scores(self, pixels: Tensor) -> list[Tensor]:
        """Return for each task the probabilities `(pictures, task.outputs)`."""
        self.eval()
        return self.head.scores(torch.cat([self(part) for part in torch.split(pixels, SCORE_BATCH)]))


def new_network(encoder: Encoder, tasks: Sequence[Task], *, grid: int = 1, hidden: int = 0) -> PictureNetwork:
    """Attach new, randomly initialised layers for the tasks."""
    return attach(encoder, TaskHead(encoder.info.embedding_size, tasks, grid=grid, hidden=hidden), PictureNetwork)
