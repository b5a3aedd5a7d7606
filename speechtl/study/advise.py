"""When transfer makes sense, and how much of the network to train: the rules of thumb, with their reasons in words.

Transfer from one task to another makes sense when both take the same input, when the source has seen much more than the
target has, and when what the front layers learned is of use to both. These rules can be wrong; measuring tells.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from speechtl.errors import InputMismatchError
from speechtl.transfer.network import Encoder, EncoderInfo, InputSpec, check_inputs

SCRATCH = "scratch"
LITTLE = 100  # examples for each output below which more than the new layers can hardly learn
SOME = 500  # above which all layers can
PLENTY = 5000  # above which a network learns these features by itself
FAR_MORE = 10  # times as much in the source as in the target is "much more"


@dataclass(frozen=True)
class Target:
    """What is to be learned: its input, how many labelled examples of how many kinds, and what one example is called."""

    input: InputSpec
    examples: int
    kinds: int
    unit: str = "examples"
    labels: tuple[int, ...] = ()  # of every task, where several share a network

    @property
    def per_kind(self) -> float:
        """How many examples there are of each kind."""
        return self.examples / max(self.kinds, 1)


@dataclass(frozen=True)
class Advice:
    """Whether to transfer, which policy to take (`scratch` for none), and why."""

    transfer: bool
    policy: str
    reasons: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON stores them."""
        return asdict(self) | {"reasons": list(self.reasons)}

    def __str__(self) -> str:
        first = (
            f"Transfer makes sense; take policy = {self.policy!r}."
            if self.transfer
            else "Transfer hardly makes sense here; train from scratch."
        )
        return "\n".join([first, *(f"- {reason}" for reason in self.reasons)])


def advise(encoder: Encoder, target: Target) -> Advice:
    """Advise on transferring an encoder to a target."""
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
            f"There are {target.per_kind:,.0f} {target.unit} of each kind: so many teach a network the low-level features by themselves, "
            "so there is little to gain."
        )
        return Advice(False, SCRATCH, (same, amounts, large))
    policy, why = _policy(target)
    return Advice(True, policy, (same, amounts, why, *_sharing(target)))


def _amounts(source: EncoderInfo, target: Target) -> tuple[bool, str]:
    here = f"{target.examples:,} {target.unit} here"
    if source.source_examples is None:
        seen = "does not say how much it has seen" if source.source_hours is None else f"has learned from {source.source_hours:g} hours"
        return True, f"{source.name!r} {seen} ({source.source}); taken to be much more than the {here}."
    there = f"{source.name!r} has learned from {source.source_examples:,} labelled examples ({source.source})"
    if source.source_examples == 0:
        return False, f"{source.name!r} has learned nothing yet, so there is nothing to transfer."
    if source.source_examples <= target.examples:
        return False, f"{there}, no more than the {here}: the target can teach more than the source did."
    factor = source.source_examples / max(target.examples, 1)
    if factor < FAR_MORE:
        return True, f"{there}, only {factor:.1f} times the {here}: expect a small gain."
    return True, f"{there}, {factor:,.0f} times the {here}."


def _policy(target: Target) -> tuple[str, str]:
    each = f"{target.per_kind:,.0f} {target.unit} for each of {target.kinds} outputs"
    if target.per_kind < LITTLE:
        return "head", f"{each} are little: train only the new layers; the many weights in front would learn them by heart."
    if target.per_kind < SOME:
        return "last:2", f"{each} carry the new layers and the last two; what stands in front is general."
    return "all", f"{each} are enough to train all layers, at smaller rates toward the front."


def _sharing(target: Target) -> tuple[str, ...]:
    """What to expect of several tasks in one network; `training/studies/driving.py` measures it."""
    if len(target.labels) < 2:
        return ()
    fewest, most = min(target.labels), max(target.labels)
    told = f"{len(target.labels)} tasks share one network, with {fewest:,} to {most:,} labels each"
    if most < FAR_MORE * fewest:
        return (f"{told}: none has much more than another, so expect little from sharing; training each task alone is worth a comparison.",)
    return (
        f"{told}: a task of few labels gains where what the others learn tells something about it, and can lose otherwise; "
        "train that task alone, too, and compare.",
    )


def verdict(advice: Advice, means: Mapping[str, float]) -> str:
    """Say in words which of the measured ways was best, and whether the advice was right within what a training varies by."""
    best = max(means, key=means.__getitem__)
    advised = means.get(advice.policy)
    told = f"Best was {best!r} with {means[best]:.3f}"
    if advised is None or advice.policy == best:
        return f"{told}{', as advised' if advice.policy == best else ''}."
    return f"{told}; the advice, {advice.policy!r}, gave {advised:.3f}, {means[best] - advised:.3f} less: take {best!r}."
