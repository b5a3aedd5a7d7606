"""How a picture's bytes become the numbers that a backbone takes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from speechtl.transfer import InputSpec

IMAGENET_MEAN = (0.485, 0.456, 0.406)  # of values in 0..1, red, green, blue
IMAGENET_STD = (0.229, 0.224, 0.225)
PICTURES = InputSpec("image", {"channels": "RGB", "values": "0 to 255"})  # a backbone normalises them itself, as its first layer


class Normalize(nn.Module):
    """Bring bytes `(batch, 3, height, width)` to the values that a backbone was pretrained on."""

    mean: Tensor
    scale: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", 255.0 * torch.tensor(mean)[None, :, None, None], persistent=False)
        self.register_buffer("scale", 1.0 / (255.0 * torch.tensor(std)[None, :, None, None]), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return floats of mean 0 and deviation 1, roughly, over photographs."""
        return (pixels.float() - self.mean) * self.scale
