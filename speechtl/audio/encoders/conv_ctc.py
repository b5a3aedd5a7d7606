"""The project's own encoder: a small causal convolutional recogniser of English phones.

It was trained with CTC (Graves et al. 2006) on transcribed and synthesised speech and by distillation from a
larger encoder. Two strided convolutions over log-mel frames (100 a second, 32 bands) lead to 25 frames a second;
residual blocks of a depthwise convolution over time and a pointwise one follow, as in QuartzNet (Kriman et al. 2019),
then a stride to 12.5 a second and more blocks. Nothing is padded in time, so it streams exactly.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from speechtl.audio.encoders.base import AudioEncoder, audio_input
from speechtl.audio.encoders.streaming import Residual, TimeConv, step
from speechtl.errors import RunError
from speechtl.files import sha256_of
from speechtl.runtime.features import LogMelSettings
from speechtl.transfer.checkpoint import load_tensors, load_weights
from speechtl.transfer.network import EncoderInfo

FEATURES = LogMelSettings()
WEIGHTS = Path(__file__).parent / "weights"
STRIDE = 8  # log-mel frames an output: 80 ms


@dataclass(frozen=True)
class Size:
    """Width and depth of the network."""

    stem: tuple[int, int]  # channels of the two convolutions over time and bands
    narrow: int  # channels at 25 frames a second
    narrow_kernels: tuple[int, ...]  # one block each
    wide: int  # channels at 12.5 frames a second, and of the embedding
    wide_kernels: tuple[int, ...]


SIZES = {
    "conv-ctc": Size((24, 32), 160, (5, 3, 3, 3, 3), 256, (3,) * 8),
    "conv-ctc-tiny": Size((12, 16), 56, (5, 3, 3, 3), 80, (3, 3, 3)),
}


def layers(size: Size) -> OrderedDict[str, nn.Module]:
    """The layer groups, front to back, untrained; input `(batch, 1, frames, 32)`."""
    first, second = size.stem
    bands = FEATURES.bands // 4
    groups: OrderedDict[str, nn.Module] = OrderedDict()
    groups["stem0"] = _conv(1, first, 4, 5, stride=(2, 2))
    groups["stem1"] = _conv(first, second, 4, 3, stride=(2, 2))
    groups["stem2"] = nn.Sequential(nn.Conv2d(second, size.narrow, (1, bands), bias=False), nn.BatchNorm2d(size.narrow), nn.ReLU())
    for index, kernel in enumerate(size.narrow_kernels):
        groups[f"narrow{index}"] = _block(size.narrow, kernel)
    groups["widen"] = _conv(size.narrow, size.wide, 2, 1, stride=(2, 1))
    for index, kernel in enumerate(size.wide_kernels):
        groups[f"wide{index}"] = _block(size.wide, kernel)
    return groups


def _conv(inputs: int, outputs: int, time_kernel: int, band_kernel: int, stride: tuple[int, int]) -> nn.Sequential:
    return nn.Sequential(TimeConv(inputs, outputs, time_kernel, band_kernel, stride=stride, bias=False), nn.BatchNorm2d(outputs), nn.ReLU())


def _block(channels: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(
        Residual(
            TimeConv(channels, channels, kernel, groups=channels, bias=False),
            nn.BatchNorm2d(channels),
            TimeConv(channels, channels, bias=False),
            nn.BatchNorm2d(channels),
        ),
        nn.ReLU(),
    )


def receptive_field(groups: OrderedDict[str, nn.Module]) -> int:
    """The number of log-mel frames in the receptive field of an output."""
    field = rate = 1
    for group in groups.values():
        for layer in group.modules():
            if isinstance(layer, nn.Conv2d):
                field += (layer.kernel_size[0] - 1) * layer.dilation[0] * rate
                rate *= layer.stride[0]
    return field


def build(name: str = "conv-ctc") -> AudioEncoder:
    """The architecture with random weights, as `scratch:conv-ctc` trains it."""
    groups = layers(SIZES[name])
    info = EncoderInfo(
        name=name,
        input=audio_input(FEATURES),
        embedding_size=SIZES[name].wide,
        source="speechtl (see the model card beside the weights)",
        licence="Apache-2.0",
    )
    return AudioEncoder(groups, info, FEATURES, STRIDE, receptive_field(groups))


def load(name: str = "conv-ctc", path: Path | None = None) -> AudioEncoder:
    """The pretrained encoder: the weights that come with speechtl, or those of a file written by `training/pretrain.py`."""
    encoder = build(name)
    given = path or WEIGHTS / f"{name}.safetensors"
    tensors, about = load_tensors(given)
    made_for = about.get("encoder")
    if isinstance(made_for, str) and made_for in SIZES and made_for != name:
        raise RunError(f"{given} contains the weights of {made_for}; write {made_for}:FILE in place of {name}:FILE.")
    if any(tensor.startswith("encoder.") for tensor in tensors):
        raise RunError(f"{given} contains a whole network with its output layers; use the encoder.safetensors in the same folder.")
    load_weights(encoder, tensors, given)
    hours, licence = about.get("hours"), about.get("licence", "unknown")
    if not isinstance(hours, int | float | None) or not isinstance(licence, str):
        raise RunError(f"{given} is damaged: its hours are {hours!r} and its licence is {licence!r}.")
    source = f"{path.name}, sha256 {sha256_of(path)}" if path else encoder.info.source
    encoder.info = replace(encoder.info, source=source, source_hours=hours, licence=licence)
    return encoder


def multiply_adds(encoder: AudioEncoder) -> int:
    """The multiply-adds a second of audio, streaming; normalisation counts nothing, as it is folded at export."""
    encoder = copy.deepcopy(encoder).eval()
    counted = 0

    def count(layer: nn.Module, _: tuple[Tensor, ...], outputs: Tensor) -> None:
        nonlocal counted
        assert isinstance(layer, nn.Conv2d)
        counted += outputs.shape[2] * outputs.shape[3] * layer.weight.numel()

    for layer in encoder.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(count)
    frames = torch.zeros(1, 1, encoder.stride, encoder.features.bands)
    for group in encoder.groups.values():
        with torch.no_grad():
            frames = step(group, frames, None, [])
    return round(counted / encoder.step_seconds)
