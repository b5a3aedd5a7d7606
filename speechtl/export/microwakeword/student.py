"""The student: a streaming network of the size and kind that microWakeWord's listeners run, here in PyTorch for training.

A convolution over 50 ms makes a step of three frames (30 ms); four blocks of a long depthwise convolution and a pointwise one look
back over more and more steps (separable convolutions in time, as in MixedNet; Tan and Le 2019). Nothing is padded.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from speechtl.audio.encoders.streaming import TimeConv
from speechtl.export.microwakeword.features import BANDS, SCALE, ZERO, Int8, seconds
from speechtl.transfer import Encoder, EncoderInfo, InputSpec, TransferNetwork

STRIDE = 3  # frames of a step
FIRST_KERNEL, FIRST = 5, 32  # frames, channels
KERNELS, WIDTH = (5, 9, 13, 21), 64  # steps of the blocks' depthwise convolutions, channels
LAST_KERNEL = 5  # steps
CONTEXT = FIRST_KERNEL + STRIDE * (sum(KERNELS) - len(KERNELS) + LAST_KERNEL - 1)  # frames that a score depends on


def make_student() -> TransferNetwork:
    """An untrained student: frames `(batch, 40, frames, 1)` in, logits `(batch, 1, steps, 1)` out."""
    layers = [TimeConv(BANDS, FIRST, FIRST_KERNEL, stride=(STRIDE, 1), bias=False), nn.BatchNorm2d(FIRST), nn.ReLU()]
    channels = FIRST
    for kernel in KERNELS:
        layers += [TimeConv(channels, channels, kernel, groups=channels), TimeConv(channels, WIDTH, bias=False)]
        layers += [nn.BatchNorm2d(WIDTH), nn.ReLU()]
        channels = WIDTH
    info = EncoderInfo("microwakeword", InputSpec("audio", {"bands": BANDS}), WIDTH, source="random numbers", licence="Apache-2.0")
    return TransferNetwork(Encoder({"layers": nn.Sequential(*layers)}, info), TimeConv(WIDTH, 1, LAST_KERNEL))


def step_times(frames: int) -> Tensor:
    """The times of the student's scores in an example of that many frames, in seconds from its start."""
    return torch.tensor([seconds(end) for end in range(CONTEXT, frames + 1, STRIDE)])


def as_input(features: Int8) -> Tensor:
    """Features `(examples, frames, 40)` as the student takes them."""
    return (torch.from_numpy(features).float() - ZERO).mul_(SCALE).transpose(1, 2)[..., None]


@dataclass(frozen=True)
class Layer:
    """A convolution in time with its normalisation folded in: weights `(outputs, inputs of a group, kernel, 1)`."""

    weights: Tensor
    bias: Tensor
    stride: int
    groups: int
    relu: bool = False

    @property
    def context(self) -> int:
        """Frames before the newest `stride` that an output needs."""
        return self.weights.shape[2] - self.stride

    def __call__(self, inputs: Tensor) -> Tensor:
        """The outputs for `(batch, channels, frames, 1)`."""
        outputs = nn.functional.conv2d(inputs, self.weights, self.bias, (self.stride, 1), groups=self.groups)
        return outputs.relu() if self.relu else outputs


@torch.no_grad()
def folded(student: TransferNetwork) -> list[Layer]:
    """The layers of a trained student, which together compute the same."""
    layers: list[Layer] = []
    for module in _modules(student):
        if isinstance(module, TimeConv):
            bias = torch.zeros(module.out_channels) if module.bias is None else module.bias.detach()
            layers.append(Layer(module.weight.detach(), bias, module.stride[0], module.groups))
        elif isinstance(module, nn.BatchNorm2d):
            layers[-1] = _normalised(layers[-1], module)
        else:
            layers[-1] = replace(layers[-1], relu=True)
    return layers


def _modules(student: TransferNetwork) -> Iterable[nn.Module]:
    layers = student.encoder.groups["layers"]
    assert isinstance(layers, nn.Sequential)
    return [*layers, student.head]


def _normalised(layer: Layer, norm: nn.BatchNorm2d) -> Layer:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    return replace(layer, weights=layer.weights * factor[:, None, None, None], bias=(layer.bias - norm.running_mean) * factor + norm.bias)
