"""SqueezeNet 1.0 (Iandola et al. 2016) under torchvision's key names: 1.2 million weights, 1000 classes of ImageNet.

The weights are read from a safetensors file with those names, or downloaded from torchvision's public address; they are not part of
speechtl.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from speechtl.cache import Published
from speechtl.image.backbones.weights import load_pretrained
from speechtl.image.network import IMAGENET_MEAN, IMAGENET_STD, PICTURES, Normalize
from speechtl.transfer import EncoderInfo, SourceNetwork, take_apart

PUBLISHED = Published(
    what="torchvision's SqueezeNet 1.0",
    url="https://download.pytorch.org/models/squeezenet1_0-b66bff10.pth",
    sha256="b66bff10",  # torchvision publishes these eight digits
    cached="squeezenet1_0-b66bff10.pth",
    otherwise='Give a safetensors file with weights = "PATH" in the recipe',
)
EMBEDDING_SIZE = 512
FIRES = {  # position in `features`: inputs, squeezed channels, expanded channels of each kind
    3: (96, 16, 64),
    4: (128, 16, 64),
    5: (128, 32, 128),
    7: (256, 32, 128),
    8: (256, 48, 192),
    9: (384, 48, 192),
    10: (384, 64, 256),
    12: (512, 64, 256),
}
POOLS = (2, 6, 11)
GROUPS = {
    "conv1": ("normalize", "features.0", "features.1", "features.2"),
    "fire2": ("features.3",),
    "fire3": ("features.4",),
    "fire4": ("features.5", "features.6"),
    "fire5": ("features.7",),
    "fire6": ("features.8",),
    "fire7": ("features.9",),
    "fire8": ("features.10", "features.11"),
    "fire9": ("features.12",),
}
OUTPUT = ("classifier", "flatten")
GROUP_SIZES = {"conv1": 96, **{f"fire{index}": 2 * expanded for index, (_, _, expanded) in enumerate(FIRES.values(), 2)}}


class Fire(nn.Module):
    """Squeeze the channels with 1×1 filters, then expand them with parallel 1×1 and 3×3 filters."""

    def __init__(self, inputs: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, inputs: Tensor) -> Tensor:
        """Features `(batch, 2 * expanded, height, width)`."""
        squeezed = torch.relu(self.squeeze(inputs))
        return torch.relu(torch.cat([self.expand1x1(squeezed), self.expand3x3(squeezed)], dim=1))


class SqueezeNet(nn.Module):
    """The whole network: bytes `(batch, 3, height, width)` in, logits `(batch, classes)` out."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.normalize = Normalize(IMAGENET_MEAN, IMAGENET_STD)
        layers: list[nn.Module] = [nn.Conv2d(3, 96, 7, stride=2), nn.ReLU()]
        for index in range(2, 13):
            layers.append(nn.MaxPool2d(3, stride=2, ceil_mode=True) if index in POOLS else Fire(*FIRES[index]))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(0.5), nn.Conv2d(EMBEDDING_SIZE, classes, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
        self.flatten = nn.Flatten()
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and module.bias is not None:
                nn.init.kaiming_uniform_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)

    def forward(self, pixels: Tensor) -> Tensor:
        """The logits."""
        logits: Tensor = self.flatten(self.classifier(self.features(self.normalize(pixels))))
        return logits


def source(network: SqueezeNet, name: str = "squeezenet") -> SourceNetwork:
    """The network as ordered groups and the output layer of its original task."""
    info = EncoderInfo(
        name=name,
        input=PICTURES,
        embedding_size=EMBEDDING_SIZE,
        source="SqueezeNet 1.0 on ImageNet, 1000 classes",
        licence="BSD-2-Clause",
        source_examples=1_281_167,
        group_sizes=GROUP_SIZES,
    )
    return take_apart(network, GROUPS, OUTPUT, info)


def build() -> SourceNetwork:
    """The architecture with random weights."""
    return source(SqueezeNet())


def load(path: Path | None = None) -> SourceNetwork:
    """The pretrained network; without a path its weights come from this machine or the published address."""
    network = SqueezeNet()
    load_pretrained(network, PUBLISHED, "squeezenet1_0.safetensors", path)
    return source(network.eval())
