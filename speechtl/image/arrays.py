"""Pictures that are arrays already."""

from __future__ import annotations

import torch
from torch import Tensor


def resize_pixels(pixels: Tensor, size: int) -> Tensor:
    """Return bytes `(pictures, height, width)` of grey pictures as `(pictures, 3, size, size)`: what arrays need in place of files."""
    resized = torch.nn.functional.interpolate(pixels[:, None].float(), size=(size, size), mode="bilinear", antialias=True)
    return resized.round().clamp(0, 255).byte().expand(-1, 3, -1, -1).contiguous()
