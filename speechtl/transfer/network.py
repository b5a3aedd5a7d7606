"""Networks made of a pretrained encoder and new layers.

A `SourceNetwork` is a pretrained network: ordered layer groups and an output layer for its task. `cut` deletes the output
layer, which leaves an `Encoder`; `attach` adds new layers, which makes a `TransferNetwork`.
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
    """The input of a network: a modality ("audio", "image", "text") and the properties that must agree."""

    modality: str
    properties: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        details = ", ".join(f"{key} {value}" for key, value in self.properties.items())
        return f"{self.modality} ({details})" if details else self.modality


@dataclass(frozen=True)
class EncoderInfo:
    """The source, input and output of an encoder."""

    name: str
    input: InputSpec
    embedding_size: int
    source: str = "unknown"
    licence: str = "unknown"
    source_hours: float | None = None  # of the pretraining recordings, if published
    source_examples: int | None = None  # labelled examples of the pretraining, if published
    group_sizes: Mapping[str, int] = field(default_factory=dict)  # output size of each group after which the network can be cut

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> EncoderInfo:
        """The fields from JSON."""
        given = values["input"]
        return cls(**{**values, "input": InputSpec(given["modality"], given["properties"])})


class Encoder(nn.Module):
    """Ordered layer groups from the input on, without an output layer."""

    small_inside = True  # outputs of inner groups are small enough to cache for thousands of examples

    def __init__(self, groups: Mapping[str, nn.Module], info: EncoderInfo) -> None:
        super().__init__()
        self.groups = nn.ModuleDict(groups)
        self.info = info

    def forward(self, inputs: Tensor) -> Tensor:
        """The embedding: the output of the last group."""
        for group in self.groups.values():
            inputs = group(inputs)
        return inputs


class SourceNetwork(nn.Module):
    """A pretrained network with the output layer of its task."""

    def __init__(self, groups: Mapping[str, nn.Module], output: nn.Module, info: EncoderInfo) -> None:
        super().__init__()
        self.encoder = Encoder(groups, info)
        self.output = output

    def forward(self, inputs: Tensor) -> Tensor:
        """The outputs of the pretraining task."""
        outputs: Tensor = self.output(self.encoder(inputs))
        return outputs


def take_apart(network: nn.Module, groups: Mapping[str, Sequence[str]], output: Sequence[str], info: EncoderInfo) -> SourceNetwork:
    """A pretrained module as ordered groups and an output layer that share its weights.

    `groups` names the modules of each group, and `output` those of the output layer, in the order in which they run, as in
    `network.get_submodule`. Raises `SpeechtlError` for an unknown name, or for weights that are in no named module.
    """
    parts = {name: _sequence(network, names) for name, names in groups.items()}
    source = SourceNetwork(parts, _sequence(network, output), info)
    taken = {id(weights) for weights in source.parameters()}
    left = [name for name, weights in network.named_parameters() if id(weights) not in taken]
    if left:
        raise SpeechtlError(
            f"{len(left)} weights of the network are in none of the groups, the first is {left[0]!r}; name their modules as well."
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
        """The device of the weights."""
        return next(self.parameters()).device

    def groups(self) -> list[tuple[str, nn.Module]]:
        """The layer groups from the input on: those of the encoder, then the head."""
        return [*self.encoder.groups.items(), ("head", self.head)]

    def forward(self, inputs: Tensor, start: int = 0) -> Tensor:
        """Logits; `start` is the first group to run, for inputs that have passed the groups before it."""
        return run_groups((group for _, group in self.groups()[start:]), inputs)

    def run_first(self, inputs: Tensor, end: int) -> Tensor:
        """Outputs of the groups before `end`."""
        return run_groups((group for _, group in self.groups()[:end]), inputs)


def run_groups(groups: Iterable[nn.Module], inputs: Tensor) -> Tensor:
    """Run one group after the other."""
    for group in groups:
        inputs = group(inputs)
    return inputs


def cut(network: SourceNetwork | TransferNetwork, keep: str | None = None) -> Encoder:
    """The network without its output layer (or the head of an earlier transfer).

    With `keep` the groups after that one are deleted as well: the last layers are the most specific to the old task, so
    earlier layers transfer better to a distant task.
    """
    encoder = network.encoder
    if keep is None or keep == list(encoder.groups)[-1]:
        return encoder
    if keep not in encoder.info.group_sizes:
        known = ", ".join(encoder.info.group_sizes) or "none of its groups"
        raise SpeechtlError(f"The network {encoder.info.name!r} cannot be cut after {keep!r}; it can be cut after: {known}.")
    names = list(encoder.groups)
    kept = {name: encoder.groups[name] for name in names[: names.index(keep) + 1]}
    return Encoder(kept, replace(encoder.info, embedding_size=encoder.info.group_sizes[keep]))


Network = TypeVar("Network", bound=TransferNetwork)


def attach(encoder: Encoder, head: nn.Module, kind: type[Network] = TransferNetwork) -> Network:  # type: ignore[assignment]
    """The encoder with a new, randomly initialised head; `kind` is the class of the network."""
    expected = getattr(head, "input_size", encoder.info.embedding_size)
    if expected != encoder.info.embedding_size:
        raise SpeechtlError(
            f"The head takes embeddings of {expected} features and the encoder {encoder.info.name!r} has "
            f"{encoder.info.embedding_size}; make the head for this encoder."
        )
    return kind(encoder, head)


def check_inputs(encoder: Encoder, data: InputSpec) -> None:
    """Raise `InputMismatchError` unless the data has the form of the encoder's pretraining data."""
    source = encoder.info.input
    if source.modality != data.modality:
        raise InputMismatchError(
            f"The encoder {encoder.info.name!r} was pretrained on {source}, and the data is {data}. What it learned does not transfer "
            f"to another kind of input; take an encoder that was pretrained on {data.modality}."
        )
    keys = sorted(source.properties.keys() | data.properties.keys())
    different = [key for key in keys if source.properties.get(key) != data.properties.get(key)]
    if different:
        sides = "; ".join(f"{key} is {source.properties.get(key)} there and {data.properties.get(key)} here" for key in different)
        raise InputMismatchError(
            f"The encoder {encoder.info.name!r} was pretrained on {source.modality} of another form: {sides}. "
            "Bring the data into the encoder's form."
        )
