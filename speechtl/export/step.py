"""One step of one or several networks that share an encoder, simplified for fast inference.

Simplification changes no score beyond rounding: normalisation is folded into the neighbouring convolution and an ensemble's mean into
its last convolution, pooling moves before the activation (both are monotonic, so their order does not matter and fewer values are
activated), and heads of one architecture are merged into one wider head.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from speechtl.audio.encoders import TimeConv, silence, step
from speechtl.audio.encoders.speech_embedding import ClippedLeakyReLU
from speechtl.audio.encoders.streaming import Residual, SideBySide
from speechtl.audio.network.heads import MemberMean
from speechtl.audio.network.model import WakeWordNetwork
from speechtl.audio.network.windows import WindowAttention, WindowGRU
from speechtl.runtime.bundle.wake_word import State
from speechtl.transfer import Standardize

WINDOWS = (WindowGRU, WindowAttention)
MONOTONIC = (ClippedLeakyReLU, nn.ReLU, nn.LeakyReLU)


class ExportStep(nn.Module):
    """A network that takes the next frames and all states, and returns the score of every word and the new states."""

    def __init__(self, networks: Sequence[WakeWordNetwork]) -> None:
        super().__init__()
        encoder = networks[0].encoder
        self.features, self.stride = encoder.features, encoder.stride
        self.silent_steps = max(network.silent_steps for network in networks)
        self.encoder = nn.ModuleDict({name: lean(group) for name, group in encoder.groups.items()})
        self.heads = nn.ModuleList(join_heads([lean(network.head) for network in networks]))
        # litert-torch identifies constants by address and copies those that are not contiguous, whose copies share addresses.
        self.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        self.eval()
        self.equal = self._equal_states()

    def forward(self, frames: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        """Scores `(1, words)` and the new states after frames `(1, 1, stride, bands)`."""
        return self.run(frames, iter(states))

    def run(self, frames: Tensor, states: Iterator[Tensor] | None) -> tuple[Tensor, ...]:
        """The same as `forward`; states of None are zero."""
        if states is not None:
            given = dict(zip(dict.fromkeys(self.equal), states, strict=True))
            states = iter([given[first] for first in self.equal])
        score, new_states = self._step(frames, states)
        return (score, *(new_states[first] for first in dict.fromkeys(self.equal)))

    def _step(self, frames: Tensor, states: Iterator[Tensor] | None) -> tuple[Tensor, list[Tensor]]:
        new_states: list[Tensor] = []
        for group in self.encoder.values():
            frames = step(group, frames, states, new_states)
        scores = [torch.sigmoid(step(head, frames, states, new_states)[:, :, -1, 0]) for head in self.heads]
        return scores[0] if len(scores) == 1 else torch.cat(scores, dim=1), new_states

    @torch.no_grad()
    def _equal_states(self) -> list[int]:
        """For every state the index of the first state that always equals it: encoders side by side store the same features.

        A converter would merge two equal states into one tensor with an ambiguous name.
        """
        random = torch.Generator().manual_seed(0)
        frames = torch.randn(1, 1, self.stride, self.features.bands, generator=random)
        old = [torch.randn(state.shape, generator=random) for state in self._step(frames, None)[1]]
        new = self._step(frames, iter(old))[1]
        return [next(first for first, other in enumerate(new) if torch.equal(other, state)) for state in new]

    @torch.no_grad()
    def inputs(self) -> tuple[Tensor, ...]:
        """Silence and zero states, the example inputs for exporters."""
        frames = silence(self.features, 1, self.stride)
        return (frames, *(torch.zeros_like(state) for state in self.run(frames, None)[1:]))

    def states(self) -> list[State]:
        """Names and shapes of the states."""
        return [State(f"state_{index}", f"new_state_{index}", tuple(state.shape)) for index, state in enumerate(self.inputs()[1:])]


def share_encoder(networks: Sequence[WakeWordNetwork]) -> bool:
    """Whether the encoders have equal weights."""
    first = networks[0].encoder.state_dict()
    return all(
        other.keys() == first.keys() and all(torch.equal(other[name], weights) for name, weights in first.items())
        for other in (network.encoder.state_dict() for network in networks[1:])
    )


def lean(module: nn.Module) -> nn.Module:
    """A copy of layers in evaluation mode, simplified where possible."""
    layers = _flat(copy.deepcopy(module).eval())
    layers = _fold_mean(_fold_standardize(_fold_batch_norm(layers)))
    return nn.Sequential(*_pool_first(layers))


def join_heads(heads: Sequence[nn.Module]) -> list[nn.Module]:
    """Merge heads of one architecture into one with their outputs in order; other heads are returned unchanged."""
    if len(heads) > 1 and all(_alike(head, heads[0]) for head in heads):
        return [nn.Sequential(*(_beside(layers, index == 0) for index, layers in enumerate(zip(*heads, strict=True))))]
    return list(heads)


def _flat(module: nn.Module) -> list[nn.Module]:
    if isinstance(module, nn.Sequential):
        return [layer for child in module for layer in _flat(child)]
    if isinstance(module, Residual):
        return [Residual(*lean(module.layers).children())]
    if isinstance(module, SideBySide):
        return [SideBySide([lean(part) for part in module.parts], module.skipped)]
    return [] if isinstance(module, (nn.Dropout, nn.Identity)) else [module]


def _fold_batch_norm(layers: list[nn.Module]) -> list[nn.Module]:
    folded: list[nn.Module] = []
    for layer in layers:
        if isinstance(layer, nn.BatchNorm2d) and folded and isinstance(folded[-1], nn.Conv2d):
            folded[-1] = nn.utils.fusion.fuse_conv_bn_eval(folded[-1], layer)
        else:
            folded.append(layer)
    return folded


@torch.no_grad()
def _fold_standardize(layers: list[nn.Module]) -> list[nn.Module]:
    """Fold the scale and mean of `Standardize` into the next convolution, if that does not pad."""
    if len(layers) < 2 or not isinstance(layers[0], Standardize) or not isinstance(layers[1], TimeConv):
        return layers
    standardize, conv = layers[0], layers[1]
    if conv.groups != 1 or conv.padding != (0, 0):
        return layers
    mean, scale = standardize.mean.double(), standardize.scale.double()
    weight = conv.weight.double() * scale
    bias = conv.bias.double() if conv.bias is not None else torch.zeros(conv.out_channels, dtype=torch.float64)
    return [_conv_like(conv, weight, bias - (weight * mean).sum(dim=(1, 2, 3))), *layers[2:]]


@torch.no_grad()
def _fold_mean(layers: list[nn.Module]) -> list[nn.Module]:
    """Fold the mean over the members of an ensemble into its last convolution, which becomes dense."""
    if len(layers) < 2 or not isinstance(layers[-1], MemberMean) or not isinstance(layers[-2], TimeConv):
        return layers
    mean, conv = layers[-1], layers[-2]
    words = conv.out_channels // mean.members
    weight = _dense(conv).double().reshape(mean.members, words, conv.in_channels, *conv.kernel_size).mean(dim=0)
    assert conv.bias is not None
    bias = conv.bias.double().reshape(mean.members, words).mean(dim=0)
    return [*layers[:-2], _conv_like(conv, weight, bias)]


def _pool_first(layers: list[nn.Module]) -> list[nn.Module]:
    ordered = list(layers)
    for index in range(1, len(ordered)):
        if isinstance(ordered[index], nn.MaxPool2d) and isinstance(ordered[index - 1], MONOTONIC):
            ordered[index - 1], ordered[index] = ordered[index], ordered[index - 1]
    return ordered


def _alike(head: nn.Module, first: nn.Module) -> bool:
    layers, others = list(head.children()), list(first.children())
    return len(layers) == len(others) and all(_layers_alike(layer, other) for layer, other in zip(layers, others, strict=True))


def _layers_alike(layer: nn.Module, other: nn.Module) -> bool:
    if isinstance(layer, TimeConv) and isinstance(other, TimeConv):
        return layer.kernel_size == other.kernel_size
    if isinstance(layer, WINDOWS) and type(layer) is type(other):
        return layer.time_context == other.time_context
    return isinstance(layer, nn.ReLU) and isinstance(other, nn.ReLU)


@torch.no_grad()
def _beside(layers: Sequence[nn.Module], first: bool) -> nn.Module:
    """One layer in place of several side by side; first layers share their input."""
    joined = copy.deepcopy(layers[0])
    if isinstance(joined, WindowGRU):
        for name in ("given", "kept"):
            gates = zip(*(getattr(layer, name) for layer in layers), strict=True)
            setattr(joined, name, nn.ModuleList(_beside_convs(gate) for gate in gates))
    elif isinstance(joined, WindowAttention):
        joined.query = _beside_convs([layer.query for layer in layers if isinstance(layer, WindowAttention)])
        joined.place = nn.Parameter(torch.cat([layer.place for layer in layers if isinstance(layer, WindowAttention)]))
    elif isinstance(joined, TimeConv):
        return _beside_convs([layer for layer in layers if isinstance(layer, TimeConv)], first)
    return joined


def _beside_convs(convs: Sequence[TimeConv], first: bool = False) -> TimeConv:
    bias = torch.cat([conv.bias if conv.bias is not None else torch.zeros(conv.out_channels) for conv in convs])
    if first:
        return _conv_like(convs[0], torch.cat([_dense(conv) for conv in convs]), bias)
    if all(conv.groups > 1 and conv.weight.shape[1] == convs[0].weight.shape[1] for conv in convs):
        per_group = {conv.out_channels // conv.groups for conv in convs}
        if len(per_group) == 1:
            return _conv_like(convs[0], torch.cat([conv.weight for conv in convs]), bias, sum(conv.groups for conv in convs))
    inputs = sum(conv.in_channels for conv in convs)
    weight = torch.zeros(len(bias), inputs, *convs[0].kernel_size)
    row = column = 0
    for conv in convs:
        weight[row : row + conv.out_channels, column : column + conv.in_channels] = _dense(conv)
        row, column = row + conv.out_channels, column + conv.in_channels
    return _conv_like(convs[0], weight, bias)


def _dense(conv: TimeConv) -> Tensor:
    """Weights `(outputs, inputs, time, bands)` of an equivalent convolution without groups."""
    outputs, inputs = conv.out_channels // conv.groups, conv.in_channels // conv.groups
    weight = torch.zeros(conv.out_channels, conv.in_channels, *conv.kernel_size)
    for group in range(conv.groups):
        rows = slice(group * outputs, (group + 1) * outputs)
        weight[rows, group * inputs : (group + 1) * inputs] = conv.weight[rows]
    return weight


@torch.no_grad()
def _conv_like(conv: TimeConv, weight: Tensor, bias: Tensor, groups: int = 1) -> TimeConv:
    made = TimeConv(weight.shape[1] * groups, weight.shape[0], *conv.kernel_size, groups=groups)
    made.weight.copy_(weight)
    assert made.bias is not None
    made.bias.copy_(bias)
    return made.eval()
