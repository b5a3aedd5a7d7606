"""How much of a pretrained network to train: only the new layers, the last few, all, or more and more.

Little data carries only the new layers or the last one or two; with more data all layers are trained, at smaller
rates toward the front (Howard and Ruder 2018, section 3.2, call it discriminative fine-tuning).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from speechtl.errors import RecipeError
from speechtl.transfer.network import TransferNetwork


@dataclass(frozen=True)
class Policy:
    """Train the last groups of a network; `rate_decay` is the factor from one group's learning rate to the one before it."""

    rate_decay: float = 0.85

    def first_trained(self, groups: int, epoch: int) -> int:
        """Return the index of the frontmost group trained in this epoch, of so many groups with the head as the last."""
        raise NotImplementedError

    def frozen_groups(self, network: TransferNetwork, epochs: int) -> int:
        """Return how many groups at the front stay frozen through all epochs and give so little that it may be cached."""
        frozen = self._frozen(network, epochs)
        return frozen if network.encoder.small_inside or frozen == len(network.groups()) - 1 else 0

    def _frozen(self, network: TransferNetwork, epochs: int) -> int:
        count = len(network.groups())
        return min(self.first_trained(count, epoch) for epoch in range(max(epochs, 1)))

    def apply(self, network: TransferNetwork, epoch: int = 0) -> None:
        """Set for every group, together, whether its weights learn and whether its normalisation layers collect statistics."""
        groups = network.groups()
        first = self.first_trained(len(groups), epoch)
        for index, (_, group) in enumerate(groups):
            group.train(index >= first)
            group.requires_grad_(index >= first)

    def parameter_groups(self, network: TransferNetwork, rate: float, epochs: int = 1) -> list[dict[str, Any]]:
        """Return an optimizer's parameter groups, front to back, each with its learning rate; the head's is `rate`."""
        groups = network.groups()
        last = len(groups) - 1
        return [
            {"name": name, "params": parameters, "lr": rate * self.rate_decay ** (last - index)}
            for index, (name, group) in enumerate(groups)
            if index >= self._frozen(network, epochs) and (parameters := _weights(group))
        ]


@dataclass(frozen=True)
class HeadOnly(Policy):
    """Train only the new layers."""

    def first_trained(self, groups: int, epoch: int) -> int:
        """Return the head's index."""
        return groups - 1


@dataclass(frozen=True)
class LastLayers(Policy):
    """Train the new layers and the last `n` of the encoder."""

    n: int = 2

    def first_trained(self, groups: int, epoch: int) -> int:
        """Return the index of the n-th group before the head."""
        return max(groups - 1 - self.n, 0)


@dataclass(frozen=True)
class AllLayers(Policy):
    """Train everything, at smaller rates toward the front."""

    def first_trained(self, groups: int, epoch: int) -> int:
        """Return the first group."""
        return 0


@dataclass(frozen=True)
class GradualUnfreeze(Policy):
    """Begin with the new layers and unfreeze `groups_per_epoch` more toward the front with every epoch."""

    groups_per_epoch: int = 2

    def first_trained(self, groups: int, epoch: int) -> int:
        """Return the index that has been reached in this epoch."""
        return max(groups - 1 - epoch * self.groups_per_epoch, 0)


def parse_policy(text: str) -> Policy:
    """Read `head`, `last:N`, `all` or `gradual`."""
    simple: dict[str, Policy] = {"head": HeadOnly(), "all": AllLayers(), "gradual": GradualUnfreeze()}
    if text in simple:
        return simple[text]
    kind, _, number = text.partition(":")
    if kind == "last" and number.isdecimal() and int(number) > 0:
        return LastLayers(n=int(number))
    raise RecipeError(f"The policy {text!r} is not known; take one of: head, last:2 (any number), all, gradual.")


def at_one_rate(policy: Policy) -> Policy:
    """Return the policy for random weights: smaller rates in front keep what was learned before, and these have learned nothing."""
    return replace(policy, rate_decay=1.0)


def _weights(group: nn.Module) -> list[nn.Parameter]:
    return list(group.parameters())
