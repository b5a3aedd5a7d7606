"""Rules of thumb for when transfer makes sense and how much of the network to train, with reasons.

Transfer makes sense when source and target have the same input, when the source has much more data than the target, and when low-level
features are useful for both. These rules can be wrong; `speechtl advise --measure` tests them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from speechtl.errors import InputMismatchError
from speechtl.transfer.network import Encoder, EncoderInfo, InputSpec, check_inputs

SCRATCH = "scratch"
FEW = 100  # examples per output; with fewer, train only the new layers
SOME = 500  # examples per output; with more, train all layers
PLENTY = 5000  # examples per output; with more, a network learns low-level features from scratch
MUCH_MORE = 10  # ratio of source to target examples


@dataclass(frozen=True)
class Target:
    """The task to be learned: its input, number of labelled examples and classes, and the name of an example."""

    input: InputSpec
    examples: int
    kinds: int
    unit: str = "examples"
    labels: tuple[int, ...] = ()  # of every task, if several share a network

    @property
    def per_kind(self) -> float:
        """Examples per class."""
        return self.examples / max(self.kinds, 1)


@dataclass(frozen=True)
class Advice:
    """Whether to transfer, with which policy (`scratch` if not), and why."""

    transfer: bool
    policy: str
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        first = (
            f"Transfer makes sense; use policy = {self.policy!r}."
            if self.transfer
            else "Transfer hardly makes sense here; train from scratch."
        )
        return "\n".join([first, *(f"- {reason}" for reason in self.reasons)])


def advise(encoder: Encoder, target: Target) -> Advice:
    """Advice on transferring an encoder to a target."""
    source = encoder.info
    try:
        check_inputs(encoder, target.input)
    except InputMismatchError as error:
        return Advice(False, SCRATCH, (f"The input is of another type: {error}",))
    same = f"The input is the same in both: {target.input.modality}."
    enough, amounts = _amounts(source, target)
    if not enough:
        return Advice(False, SCRATCH, (same, amounts))
    if target.per_kind >= PLENTY:
        large = (
            f"There are {target.per_kind:,.0f} {target.unit} of each kind, enough to learn the low-level features from scratch, "
            "so there is little to gain."
        )
        return Advice(False, SCRATCH, (same, amounts, large))
    policy, why = _policy(target)
    return Advice(True, policy, (same, amounts, why, *_sharing(target)))


def _amounts(source: EncoderInfo, target: Target) -> tuple[bool, str]:
    here = f"{target.examples:,} {target.unit} here"
    if source.source_examples is None:
        data = (
            "does not say how much data it was trained on"
            if source.source_hours is None
            else f"was trained on {source.source_hours:g} hours"
        )
        return True, f"{source.name!r} {data} ({source.source}); assumed to be much more than the {here}."
    there = f"{source.name!r} was trained on {source.source_examples:,} labelled examples ({source.source})"
    if source.source_examples == 0:
        return False, f"{source.name!r} is not trained, so there is nothing to transfer."
    if source.source_examples <= target.examples:
        return False, f"{there}, no more than the {here}: the target has more to learn from than the source."
    factor = source.source_examples / max(target.examples, 1)
    if factor < MUCH_MORE:
        return True, f"{there}, only {factor:.1f} times the {here}: expect a small gain."
    return True, f"{there}, {factor:,.0f} times the {here}."


def _policy(target: Target) -> tuple[str, str]:
    each = f"{target.per_kind:,.0f} {target.unit} for each of {target.kinds} outputs"
    if target.per_kind < FEW:
        return "head", f"{each} are few: train only the new layers; more trainable weights would overfit."
    if target.per_kind < SOME:
        return "last:2", f"{each} are enough to train the new layers and the last two groups; earlier layers are general."
    return "all", f"{each} are enough to train all layers, at lower rates in early layers."


def _sharing(target: Target) -> tuple[str, ...]:
    """Expected gain when several tasks share a network; `training/studies/pictures/driving.py` measures it."""
    if len(target.labels) < 2:
        return ()
    fewest, most = min(target.labels), max(target.labels)
    tasks = f"{len(target.labels)} tasks share one network, with {fewest:,} to {most:,} labels each"
    if most < MUCH_MORE * fewest:
        return (f"{tasks}: none has many more than another, so expect little gain from sharing; compare with training each task alone.",)
    return (
        f"{tasks}: a task with few labels gains if the other tasks are informative about it, and can lose otherwise; "
        "compare with training that task alone.",
    )


def verdict(advice: Advice, means: Mapping[str, float]) -> str:
    """A sentence about which of the measured policies was best, and whether the advice was right."""
    best = max(means, key=means.__getitem__)
    advised = means.get(advice.policy)
    sentence = f"Best was {best!r} with {means[best]:.3f}"
    if advised is None or advice.policy == best:
        return f"{sentence}{', as advised' if advice.policy == best else ''}."
    return f"{sentence}; the advice, {advice.policy!r}, gave {advised:.3f}, {means[best] - advised:.3f} less: use {best!r}."
