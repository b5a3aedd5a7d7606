"""How a picture becomes numbers: size, shape, channels, normalisation. It travels with the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from speechtl.transfer import InputSpec

IMAGENET_MEAN = (0.485, 0.456, 0.406)  # of values in 0..1, red, green, blue
IMAGENET_STD = (0.229, 0.224, 0.225)
PICTURES = InputSpec("image", {"channels": "RGB", "values": "0 to 255"})  # a backbone normalises them itself, as its first layer


@dataclass(frozen=True)
class PictureSettings:
    """The form of a picture before it enters a network, as bytes `(3, size, size)`."""

    size: int = 224  # pixels
    shape: str = "stretch"  # how it becomes square: stretch, crop (the middle) or pad (with black)
    grey: bool = False  # drop colours before the three channels are filled

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON stores them."""
        return asdict(self)


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
