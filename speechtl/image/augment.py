"""Augmented copies of pictures: shifted, rotated, scaled, mirrored, lighter or darker; random for each picture, repeatable by seed."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from speechtl.settings import Section


class AugmentSection(Section):
    """Random augmentation of the training pictures: upper limits. None by default."""

    shift: float = 0.0
    """translation in any direction, as a fraction of the side"""

    rotate: float = 0.0
    """degrees in either direction"""

    scale: float = 0.0
    """0.2: from 1/1.2 to 1.2"""

    flip: bool = False
    """horizontal flips"""

    light: float = 0.0
    """0.2: brightness and contrast by up to 20 %"""

    @property
    def changes(self) -> bool:
        """Whether any change is enabled."""
        return bool(self.shift or self.rotate or self.scale or self.flip or self.light)

    def render(self, pixels: Tensor, seed: int) -> Tensor:
        """Augmented copies of bytes `(pictures, 3, height, width)`; pixels of the border fill uncovered areas."""
        random = torch.Generator().manual_seed(seed)
        count = len(pixels)

        def between(limit: float) -> Tensor:
            return (2 * torch.rand(count, generator=random) - 1) * limit

        angle, size = between(math.radians(self.rotate)), torch.exp(between(math.log1p(self.scale)))
        across, down = between(2 * self.shift), between(2 * self.shift)
        mirror = 1 - 2 * ((torch.rand(count, generator=random) < 0.5) & torch.tensor(self.flip)).float()
        cosine, sine = torch.cos(angle) / size, torch.sin(angle) / size
        rows = torch.stack([torch.stack([cosine * mirror, -sine, across], 1), torch.stack([sine * mirror, cosine, down], 1)], 1)
        grid = torch.nn.functional.affine_grid(rows, list(pixels.shape), align_corners=False)
        moved = torch.nn.functional.grid_sample(pixels.float(), grid, padding_mode="border", align_corners=False)
        contrast, brightness = 1 + between(self.light), between(255 * self.light)
        lit = (moved - 127.5) * contrast[:, None, None, None] + 127.5 + brightness[:, None, None, None]
        return lit.round().clamp(0, 255).byte()
