"""Networks made of a pretrained front and new layers at the end.

A `SourceNetwork` is what somebody pretrained: ordered layer groups and an output layer for the old task. `cut` deletes
that output layer, which leaves an `Encoder`; `attach` puts new layers in its place, which makes a `TransferNetwork`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from speechtl.errors import InputMismatchError, SpeechtlError, did_you_mean


@dataclass(frozen=True)
class InputSpec:
    """What goes into a network: a modality ("audio", "image", "text") and the properties that must agree."""

    modality: str
    properties: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        details = ", ".join(f"{key} {value}" for key, value in self.properties.items())
        return f"{self.modality} ({details})" if details else self.modality


@dataclass(frozen=True)
class EncoderInfo:
    """Where an encoder comes from and what it takes and gives."""

    name: str
    input: InputSpec
    embedding_size: int
    source: str = "unknown"
    licence: str = "unknown"
    source_hours: float | None = None  # of recordings it was pretrained on, where that is published
    source_examples: int | None = None  # labelled examples it was pretrained on, where that is published
    group_sizes: Mapping[str, int] = field(default_factory=dict)  # numbers that each group gives, where a cut is meant to go deeper

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON stores them."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> EncoderInfo:
        """Read the fields back."""
        given = values["input"]
        return cls(**{**values, "input": InputSpec(given["modality"], given["properties"])})


class Encoder(nn.Module):
    """Ordered layer groups, front to back, without an output layer."""

    small_inside = True  # what a group in the middle gives may be kept for thousands of examples

    def __init__(self, groups: Mapping[str, nn.Module], info: EncoderInfo) -> None:
        super().__init__()
        self.groups = nn.ModuleDict(groups)
        self.info = info

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the embedding that the last group gives."""
        for group in self.groups.values():
            inputs = group(inputs)
        return inputs


class SourceNetwork(nn.Module):
    """A pretrained network with the output layer of its own task."""

    def __init__(self, groups: Mapping[str, nn.Module], output: nn.Module, info: EncoderInfo) -> None:
        super().__init__()
        self.encoder = Encoder(groups, info)
        self.output = output

    def forward(self, inputs: Tensor) -> Tensor:
        """Return what the network was pretrained to say."""
        outputs: Tensor = self.output(self.encoder(inputs))
        return outputs


def take_apart(network: nn.Module, groups: Mapping[str, Sequence[str]], output: Sequence[str], info: EncoderInfo) -> SourceNetwork:
    """Return any pretrained module as ordered groups and an output layer, sharing its weights.

    `groups` names the modules of each group, and `output` those of the output layer, in the order in which they run; a
    name is that of `network.get_submodule`. Raise `SpeechtlError` for a name that is not there or weights that no name covers.
    """
    parts = {name: _sequence(network, names) for name, names in groups.items()}
    source = SourceNetwork(parts, _sequence(network, output), info)
    taken = {id(weights) for weights in source.parameters()}
    left = [name for name, weights in network.named_parameters() if id(weights) not in taken]
    if left:
        raise SpeechtlError(
            f"{len(left)} weights of the network are in none of the groups, the first is {left[0]!r}; name their modules, too."
        )
    return source


def _sequence(network: nn.Module, names: Sequence[str]) -> nn.Sequential:
    modules = dict(network.named_modules())
    for name in names:
        if name not in modules:
            raise SpeechtlError(f"The network has no module {name!r}{did_you_mean(name, modules)}.")
    return nn.Sequential(*(modules[name] for name in names))


class TransferNetwork(nn.Module):
    """An encoder with new layers in place of its old output layer."""

    def __init__(self, encoder: Encoder, head: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def groups(self) -> list[tuple[str, nn.Module]]:
        """Return the layer groups front to back: the encoder's, then the head as the last one."""
        return [*self.encoder.groups.items(), ("head", self.head)]

    def forward(self, inputs: Tensor, start: int = 0) -> Tensor:
        """Return the logits; `start` is the first group to run, for inputs that already went through those before it."""
        return run_groups((group for _, group in self.groups()[start:]), inputs)

    def run_first(self, inputs: Tensor, end: int) -> Tensor:
        """Return what the groups before `end` make of the inputs."""
        return run_groups((group for _, group in self.groups()[:end]), inputs)


def run_groups(groups: Iterable[nn.Module], inputs: Tensor) -> Tensor:
    """Run one group after the other."""
    for group in groups:
        inputs = group(inputs)
    return inputs


def cut(network: SourceNetwork | TransferNetwork, keep: str | None = None) -> Encoder:
    """Delete the output layer (or the head of an earlier transfer) with its weights; keep all other layers.

    With `keep` the groups behind that one are deleted, too: the last layers of a network know most of its old task, and
    where the new one is far from it, what stands before carries more.
    """
    encoder = network.encoder
    if keep is None or keep == list(encoder.groups)[-1]:
        return encoder
    if keep not in encoder.info.group_sizes:
        known = ", ".join(encoder.info.group_sizes) or "none of its groups"
        raise SpeechtlError(f"The network {encoder.info.name!r} cannot be cut behind {keep!r}; it can be behind: {known}.")
    names = list(encoder.groups)
    kept = {name: encoder.groups[name] for name in names[: names.index(keep) + 1]}
    return Encoder(kept, replace(encoder.info, embedding_size=encoder.info.group_sizes[keep]))


Network = TypeVar("Network", bound=TransferNetwork)


def attach(encoder: Encoder, head: nn.Module, kind: type[Network] = TransferNetwork) -> Network:  # type: ignore[assignment]
    """Put new layers, randomly initialised, behind the encoder; `kind` is a sub-class that knows more of its inputs."""
    expected = getattr(head, "input_size", encoder.info.embedding_size)
    if expected != encoder.info.embedding_size:
        raise SpeechtlError(
            f"The head takes {expected} numbers and the encoder {encoder.info.name!r} gives "
            f"{encoder.info.embedding_size}; make the head for this encoder."
        )
    return kind(encoder, head)


def check_inputs(encoder: Encoder, data: InputSpec) -> None:
    """Raise `InputMismatchError`, naming both sides, unless the data is what the encoder was pretrained on."""
    source = encoder.info.input
    if source.modality != data.modality:
        raise InputMismatchError(
            f"The encoder {encoder.info.name!r} was pretrained on {source}, and the data is {data}. What it learned does not carry "
            f"over to another kind of input; take an encoder that was pretrained on {data.modality}."
        )
    keys = sorted(source.properties.keys() | data.properties.keys())
    different = [key for key in keys if source.properties.get(key) != data.properties.get(key)]
    if different:
        sides = "; ".join(f"{key} is {source.properties.get(key)} there and {data.properties.get(key)} here" for key in different)
        raise InputMismatchError(
            f"The encoder {encoder.info.name!r} was pretrained on {source.modality} of another form: {sides}. "
            "Bring the data into the encoder's form."
        )
