"""Run a causal network step by step, with its state in the open.

Networks here pad nothing in time: a layer with a kernel of k frames and a stride of s needs the k - s frames before.
Offline it takes them from the recording; streaming, they are its state. Both compute the same numbers.
All tensors are `(batch, channels, time, frequency)`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

TIME = 2  # the axis of time in every tensor


class TimeConv(nn.Conv2d):
    """A convolution over `time_kernel` frames and `band_kernel` bands: unpadded in time, centred over the bands."""

    def __init__(self, inputs: int, outputs: int, time_kernel: int = 1, band_kernel: int = 1, **options: Any) -> None:
        super().__init__(inputs, outputs, (time_kernel, band_kernel), padding=(0, band_kernel // 2), **options)

    @property
    def time_context(self) -> int:
        """The number of past frames that an output needs beside its `stride` new ones."""
        return (self.kernel_size[0] - 1) * self.dilation[0] + 1 - self.stride[0]


class Residual(nn.Module):
    """Layers whose output is added to their input; both keep the frame rate and the number of channels."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, inputs: Tensor) -> Tensor:
        """Add to each output the newest frame that it was made from."""
        outputs: Tensor = self.layers(inputs)
        return outputs + inputs[:, :, inputs.shape[TIME] - outputs.shape[TIME] :]


class SideBySide(nn.Module):
    """Networks on the same input whose outputs, of one rate, are concatenated.

    `skipped` has for each the number of frames to leave out at the beginning, because another one needs more past for its
    first output.
    """

    def __init__(self, parts: Sequence[nn.Module], skipped: Sequence[int]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.skipped = tuple(skipped)

    def forward(self, inputs: Tensor) -> Tensor:
        """Put the channels of all parts together."""
        return torch.cat([part(inputs[:, :, frames:]) for part, frames in zip(self.parts, self.skipped, strict=True)], dim=1)


def step(module: nn.Module, inputs: Tensor, states: Iterator[Tensor] | None, new_states: list[Tensor]) -> Tensor:
    """Run a module on the next frames: take its states from the iterator in order, append the new ones.

    Without an iterator every state is zero, which also gives the shapes of the states.
    """
    outputs: Tensor
    if isinstance(module, (nn.Sequential, nn.ModuleList)):
        for child in module:
            inputs = step(child, inputs, states, new_states)
        return inputs
    if isinstance(module, Residual):
        return inputs + step(module.layers, inputs, states, new_states)
    if isinstance(module, SideBySide):
        return torch.cat([step(part, inputs, states, new_states) for part in module.parts], dim=1)
    own_step: Any = getattr(module, "step", None)  # a shorter way than to look at the context again
    if own_step is not None:
        outputs, state = own_step(inputs, None if states is None else next(states))
        new_states.append(state)
        return outputs
    context = getattr(module, "time_context", 0)
    if context:
        batch, channels, _, bands = inputs.shape
        past = inputs.new_zeros(batch, channels, context, bands) if states is None else next(states)
        fresh, inputs = inputs, torch.cat([past, inputs], dim=TIME)
        new_states.append(fresh if fresh.shape[TIME] == context else inputs[:, :, -context:])
    outputs = module(inputs)
    return outputs
