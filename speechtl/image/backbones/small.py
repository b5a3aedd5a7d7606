"""A small network to pretrain on your own kind of pictures: 240 thousand weights.

Four convolutions with normalisation, the first three followed by pooling; meant for pictures of 28 to 96 pixels.
"""

from __future__ import annotations

from torch import nn

from speechtl.image.network import PICTURES, Normalize
from speechtl.transfer import EncoderInfo, SourceNetwork

MEAN = (0.5, 0.5, 0.5)
STD = (0.5, 0.5, 0.5)
WIDTHS = (32, 64, 96, 128)
CLASSES = 10


def build() -> SourceNetwork:
    """The architecture with random weights."""
    groups: dict[str, nn.Module] = {}
    inputs = 3
    for number, width in enumerate(WIDTHS, 1):
        layers: list[nn.Module] = [Normalize(MEAN, STD)] if number == 1 else []
        layers += [nn.Conv2d(inputs, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        if number < len(WIDTHS):
            layers.append(nn.MaxPool2d(2, ceil_mode=True))
        groups[f"conv{number}"] = nn.Sequential(*layers)
        inputs = width
    info = EncoderInfo(
        name="small",
        input=PICTURES,
        embedding_size=WIDTHS[-1],
        source="random numbers",
        licence="Apache-2.0",
        source_examples=0,
        group_sizes={f"conv{number}": width for number, width in enumerate(WIDTHS, 1)},
    )
    output = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(WIDTHS[-1], CLASSES))
    return SourceNetwork(groups, output, info)
