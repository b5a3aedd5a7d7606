"""The training loop: one for every modality, policy and number of devices, on Lightning Fabric."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from lightning_fabric import Fabric
from torch import Tensor

from speechtl.errors import RunError, SpeechtlError
from speechtl.transfer.checkpoint import load_tensors, load_weights, optimizer_tensors, restore_optimizer, save_tensors
from speechtl.transfer.network import TransferNetwork
from speechtl.transfer.policy import Policy

Batch = tuple[Tensor, ...]
Loss = Callable[..., Tensor]
Record = dict[str, Any]


class Batches(Protocol):
    """Training data; what an epoch yields depends on its number alone, so that a resumed run sees the same."""

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""

    def epoch(self, number: int) -> Iterator[Batch]:
        """Yield batches: the inputs of the first trained group, then whatever the loss takes beside the logits."""


@runtime_checkable
class PartedBatches(Batches, Protocol):
    """Training data of which every process of a run reads a part of its own."""

    def part(self, number: int, rank: int, world: int) -> Iterator[Batch]:
        """Yield `len(self) // world` batches of an epoch for one of `world` processes."""


@dataclass(frozen=True)
class FitSettings:
    """How to train; saved with what it made."""

    epochs: int = 10
    learning_rate: float = 1e-3  # of the head; the policy spreads it toward the front
    weight_decay: float = 1e-2
    warmup: float = 0.1  # of all steps, linear; then a cosine down to zero
    averaging: float = 0.99  # decay of the moving average of the weights that is kept in the end
    gradient_clip: float = 1.0  # norm
    precision: str = "32-true"
    seed: int = 0


def steps_of(batches: Batches, processes: int) -> int:
    """Return how many steps an epoch has for each of several processes; raise `SpeechtlError` where there is none."""
    if len(batches) < processes:
        raise SpeechtlError(
            f"There are {len(batches)} batches in an epoch for {processes} processes; give more examples or a smaller batch_size."
        )
    return len(batches) // processes


def fit(
    network: TransferNetwork,
    batches: Batches,
    loss: Loss,
    policy: Policy,
    settings: FitSettings,
    *,
    checkpoint: Path | None = None,
    resume: bool = False,
    on_epoch: Callable[[int, Record], None] | None = None,
    on_step: Callable[[int, int], None] | None = None,
    fabric: Fabric | None = None,
) -> list[Record]:
    """Train the groups that the policy names and leave the averaged weights in the network; return a record an epoch.

    `on_step` hears of every step, with how many are done and of how many, those before an interruption included.
    With `checkpoint` every epoch is saved there, with what `on_epoch` added to its record, and `resume` goes on from it bit for bit.
    Inputs of the batches enter at `policy.frozen_front(network, settings.epochs)`: what stands before stays frozen and may be
    computed once.
    """
    fabric = fabric or Fabric(accelerator="auto", devices=1, precision=settings.precision)  # type: ignore[arg-type]
    fabric.seed_everything(settings.seed, verbose=False)
    policy.apply(network)
    start = policy.frozen_front(network, settings.epochs)
    rated = policy.parameter_groups(network, settings.learning_rate, settings.epochs)
    peaks = [group["lr"] for group in rated]
    wrapped, optimizer = fabric.setup(network, torch.optim.AdamW(rated, weight_decay=settings.weight_decay))
    average = WeightAverage(network, settings.averaging)
    history: list[Record] = []
    about = {"settings": asdict(settings), "policy": repr(policy), "steps": len(batches), "number of processes": fabric.world_size}
    if resume and checkpoint is not None and checkpoint.exists():
        history = _restore(checkpoint, about, network, optimizer, average)
    steps = steps_of(batches, fabric.world_size)
    total = settings.epochs * steps
    on_step = on_step or _unheard
    on_step(len(history) * steps, total)
    for epoch in range(len(history), settings.epochs):
        policy.apply(network, epoch)
        losses = []
        for index, batch in enumerate(_own(batches, epoch, steps, fabric)):
            _set_rates(optimizer, peaks, epoch * steps + index, total, settings.warmup)
            inputs, *targets = (fabric.to_device(tensor) for tensor in batch)
            value = loss(wrapped(inputs, start=start), *targets)
            if not torch.isfinite(value):
                raise SpeechtlError(
                    f"The loss is not a number in epoch {epoch + 1}; try a smaller learning rate than {settings.learning_rate}."
                )
            optimizer.zero_grad()
            fabric.backward(value)
            fabric.clip_gradients(wrapped, optimizer, max_norm=settings.gradient_clip, error_if_nonfinite=False)
            optimizer.step()
            average.update(network)
            losses.append(value.detach())
            on_step(epoch * steps + index + 1, total)
        mean = fabric.all_reduce(torch.stack(losses).mean())
        assert isinstance(mean, Tensor)
        history.append({"epoch": epoch + 1, "loss": float(mean)})
        if on_epoch is not None and fabric.is_global_zero:
            on_epoch(epoch, history[-1])
        if checkpoint is not None and fabric.is_global_zero:
            _save(checkpoint, about, network, optimizer, average, history)
    average.put_into(network)
    _agree(network, fabric)
    network.cpu()
    network.eval()
    return history


def _unheard(_done: int, _total: int) -> None:
    """Hear of a step."""


def _own(batches: Batches, epoch: int, steps: int, fabric: Fabric) -> Iterator[Batch]:
    if isinstance(batches, PartedBatches):
        return batches.part(epoch, fabric.global_rank, fabric.world_size)
    return islice(batches.epoch(epoch), fabric.global_rank, steps * fabric.world_size, fabric.world_size)


def _agree(network: TransferNetwork, fabric: Fabric) -> None:
    """Give all processes the mean of what their normalisation layers measured, each on its own batches."""
    if fabric.world_size > 1:
        for buffer in network.buffers():
            if buffer.is_floating_point():
                mean = fabric.all_reduce(buffer)
                assert isinstance(mean, Tensor)
                buffer.copy_(mean)


class WeightAverage:
    """An exponential moving average of the weights that learn (Polyak and Juditsky 1992); its start is not biased."""

    def __init__(self, network: TransferNetwork, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.weights = {name: value.detach().clone() for name, value in network.named_parameters()}

    def update(self, network: TransferNetwork) -> None:
        """Take the present weights into the average."""
        self.updates += 1
        decay = min(self.decay, self.updates / (self.updates + 10.0))
        for name, value in network.named_parameters():
            if value.requires_grad:
                self.weights[name].lerp_(value.detach(), 1.0 - decay)

    def put_into(self, network: TransferNetwork) -> None:
        """Replace the weights that learned by their average; without an update nothing changes."""
        if self.updates:
            with torch.no_grad():
                for name, value in network.named_parameters():
                    value.copy_(self.weights[name])


def _set_rates(optimizer: torch.optim.Optimizer, peaks: list[float], step: int, total: int, warmup: float) -> None:
    rising = max(round(total * warmup), 1)
    progress = max(step - rising, 0) / max(total - rising, 1)
    factor = min((step + 1) / rising, 1.0) * 0.5 * (1.0 + math.cos(math.pi * progress))
    for group, peak in zip(optimizer.param_groups, peaks, strict=True):
        group["lr"] = peak * factor


def _save(path: Path, about: Record, network: TransferNetwork, optimizer: Any, average: WeightAverage, history: list[Record]) -> None:
    tensors = {f"network.{name}": value for name, value in network.state_dict().items()}
    tensors |= {f"average.{name}": value for name, value in average.weights.items()}
    tensors |= optimizer_tensors(optimizer) | _random_states()
    save_tensors(path, tensors, about | {"history": history, "updates": average.updates})


def _restore(path: Path, about: Record, network: TransferNetwork, optimizer: Any, average: WeightAverage) -> list[Record]:
    tensors, saved = load_tensors(path)
    changed = [key for key, value in about.items() if saved.get(key) != value]
    if changed:
        raise RunError(f"{path} was made with another {changed[0]}; start again without --resume, or go back to the old settings.")
    load_weights(network, _under(tensors, "network."), path)
    updates, history = saved.get("updates"), _records(saved.get("history"))
    if type(updates) is not int or history is None:
        raise _damaged(path, "updates or history is missing or of the wrong kind")
    averaged = _under(tensors, "average.")
    if _shapes(averaged) != _shapes(average.weights):
        raise _damaged(path, "the averaged weights are not those of the network")
    average.weights = {name: tensor.to(average.weights[name].device) for name, tensor in averaged.items()}
    average.updates = updates
    try:
        restore_optimizer(optimizer, tensors)
        torch.set_rng_state(tensors["random"])
    except (KeyError, ValueError, TypeError, IndexError, RuntimeError) as error:
        raise _damaged(path, str(error) or type(error).__name__) from error
    if torch.cuda.is_available() and "random_cuda" in tensors:
        torch.cuda.set_rng_state(tensors["random_cuda"])
    return history


def _records(history: Any) -> list[Record] | None:
    return history if isinstance(history, list) and all(isinstance(record, dict) for record in history) else None


def _shapes(tensors: dict[str, Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in tensors.items()}


def _damaged(path: Path, what: str) -> RunError:
    return RunError(f"{path} is damaged ({what}); start again without --resume.")


def _random_states() -> dict[str, Tensor]:
    device = {"random_cuda": torch.cuda.get_rng_state()} if torch.cuda.is_available() else {}
    return {"random": torch.get_rng_state(), **device}


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
