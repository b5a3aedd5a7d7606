"""Networks for pictures: a backbone without its output layer, and a head for the tasks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from speechtl.transfer import Encoder, InputSpec, Task, TaskHead, TransferNetwork, attach

SCORE_BATCH = 32  # pictures at a time


class PictureNetwork(TransferNetwork):
    """A backbone and a head for tasks, with input bytes `(batch, 3, height, width)`."""

    head: TaskHead

    def __init__(self, encoder: Encoder, head: TaskHead) -> None:
        super().__init__(encoder, head)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # convolutions are twice as fast

    @torch.no_grad()
    def scores(self, pixels: Tensor) -> list[Tensor]:
        """Probabilities `(pictures, task.outputs)` for each task."""
        self.eval()
        return self.head.scores(torch.cat([self(part) for part in torch.split(pixels, SCORE_BATCH)]))


def new_network(encoder: Encoder, tasks: Sequence[Task], *, grid: int = 1, hidden: int = 0) -> PictureNetwork:
    """Attach new, randomly initialised layers for the tasks to an encoder."""
    return attach(encoder, TaskHead(encoder.info.embedding_size, tasks, grid=grid, hidden=hidden), PictureNetwork)


IMAGENET_MEAN = (0.485, 0.456, 0.406)  # of values in 0..1, red, green, blue
IMAGENET_STD = (0.229, 0.224, 0.225)
PICTURES = InputSpec("image", {"channels": "RGB", "values": "0 to 255"})  # normalised by the first layer of a backbone


class Normalize(nn.Module):
    """Normalise bytes `(batch, 3, height, width)` as in the pretraining of a backbone."""

    mean: Tensor
    scale: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", 255.0 * torch.tensor(mean)[None, :, None, None], persistent=False)
        self.register_buffer("scale", 1.0 / (255.0 * torch.tensor(std)[None, :, None, None]), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """Floats with roughly mean 0 and standard deviation 1 over photographs."""
        return (pixels.float() - self.mean) * self.scale
