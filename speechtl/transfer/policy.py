"""Fine-tuning policies: train only the new layers, the last few, all, or more with every epoch.

Little data suffices only for the new layers or the last one or two; with more data all layers are trained, at smaller rates
toward the input (discriminative fine-tuning; Howard and Ruder 2018, section 3.2).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from speechtl.errors import RecipeError
from speechtl.transfer.network import TransferNetwork


@dataclass(frozen=True)
class Policy:
    """Trains the last groups of a network; `rate_decay` is the factor from a group's learning rate to that of the group before it."""

    rate_decay: float = 0.85

    def first_trained(self, groups: int, epoch: int) -> int:
        """Index of the first group trained in this epoch, of `groups` groups with the head as the last."""
        raise NotImplementedError

    def frozen_groups(self, network: TransferNetwork, epochs: int) -> int:
        """Number of first groups that stay frozen in all epochs and whose outputs are small enough to cache."""
        frozen = self._frozen(network, epochs)
        return frozen if network.encoder.small_inside or frozen == len(network.groups()) - 1 else 0

    def _frozen(self, network: TransferNetwork, epochs: int) -> int:
        count = len(network.groups())
        return min(self.first_trained(count, epoch) for epoch in range(max(epochs, 1)))

    def apply(self, network: TransferNetwork, epoch: int = 0) -> None:
        """Freeze or unfreeze every group: both its weights and the statistics of its normalisation layers."""
        groups = network.groups()
        first = self.first_trained(len(groups), epoch)
        for index, (_, group) in enumerate(groups):
            group.train(index >= first)
            group.requires_grad_(index >= first)

    def parameter_groups(self, network: TransferNetwork, rate: float, epochs: int = 1) -> list[dict[str, Any]]:
        """Parameter groups of an optimizer from the input on, each with its learning rate; that of the head is `rate`."""
        groups = network.groups()
        last = len(groups) - 1
        return [
            {"name": name, "params": parameters, "lr": rate * self.rate_decay ** (last - index)}
            for index, (name, group) in enumerate(groups)
            if index >= self._frozen(network, epochs) and (parameters := _weights(group))
        ]


@dataclass(frozen=True)
class HeadOnly(Policy):
    """Trains only the new layers."""

    def first_trained(self, groups: int, epoch: int) -> int:
        """Index of the head."""
        return groups - 1


@dataclass(frozen=True)
class LastLayers(Policy):
    """Trains the new layers and the last `n` groups of the encoder."""

    n: int = 2

    def first_trained(self, groups: int, epoch: int) -> int:
        """Index of the n-th group before the head."""
        return max(groups - 1 - self.n, 0)


@dataclass(frozen=True)
class AllLayers(Policy):
    """Trains all layers, at smaller rates toward the input."""

    def first_trained(self, groups: int, epoch: int) -> int:
        """Index of the first group."""
        return 0


@dataclass(frozen=True)
class GradualUnfreeze(Policy):
    """Starts with the new layers and unfreezes `groups_per_epoch` more groups toward the input with every epoch."""

    groups_per_epoch: int = 2

    def first_trained(self, groups: int, epoch: int) -> int:
        """Index of the first group that is unfrozen in this epoch."""
        return max(groups - 1 - epoch * self.groups_per_epoch, 0)


def parse_policy(text: str) -> Policy:
    """The policy of `head`, `last:N`, `all` or `gradual`."""
    simple: dict[str, Policy] = {"head": HeadOnly(), "all": AllLayers(), "gradual": GradualUnfreeze()}
    if text in simple:
        return simple[text]
    kind, _, number = text.partition(":")
    if kind == "last" and number.isdecimal() and int(number) > 0:
        return LastLayers(n=int(number))
    raise RecipeError(f"The policy {text!r} is not known; take one of: head, last:2 (any number), all, gradual.")


def at_one_rate(policy: Policy) -> Policy:
    """The policy for random weights: smaller rates toward the input preserve pretrained weights, and here there are none."""
    return replace(policy, rate_decay=1.0)


def _weights(group: nn.Module) -> list[nn.Parameter]:
    return list(group.parameters())
