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
from speechtl.progress import Advance
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
    on_step: Advance | None = None,
    fabric: Fabric | None = None,
) -> list[Record]:
    """Train the groups that the policy names and leave the averaged weights in the network; return a record for each epoch.

    `on_step` is called after every step with the number of steps done, including those before an interruption, and the total.
    With `checkpoint` every epoch is saved there, with what `on_epoch` added to its record, and `resume` continues from it bit for bit.
    Inputs of the batches enter at `policy.frozen_front(network, settings.epochs)`: the groups before it stay frozen, so their outputs
    may be computed once.
    """
    fabric = fabric or Fabric(accelerator="auto", devices=1, precision=settings.precision)  # type: ignore[arg-type]
    fabric.seed_everything(settings.seed, verbose=False)
    fitting = _Fitting(network, batches, loss, policy, settings, fabric)
    if resume and checkpoint is not None and checkpoint.exists():
        fitting.restore(checkpoint)
    history = fitting.history
    on_step = on_step or (lambda _done, _total: None)
    on_step(len(history) * fitting.steps, fitting.total)
    for epoch in range(len(history), settings.epochs):
        history.append({"epoch": epoch + 1, "loss": fitting.epoch(epoch, on_step)})
        if on_epoch is not None and fabric.is_global_zero:
            on_epoch(epoch, history[-1])
        if checkpoint is not None and fabric.is_global_zero:
            fitting.save(checkpoint)
    fitting.average.put_into(network)
    _average_buffers(network, fabric)
    network.cpu()
    network.eval()
    return history


class _Fitting:
    """A network in training: with its optimizer, the average of its weights, and a record for each epoch so far."""

    def __init__(
        self, network: TransferNetwork, batches: Batches, loss: Loss, policy: Policy, settings: FitSettings, fabric: Fabric
    ) -> None:
        self.network, self.batches, self.loss, self.policy, self.settings, self.fabric = network, batches, loss, policy, settings, fabric
        policy.apply(network)
        self.start = policy.frozen_front(network, settings.epochs)
        groups = policy.parameter_groups(network, settings.learning_rate, settings.epochs)
        self.peaks = [group["lr"] for group in groups]
        self.wrapped, self.optimizer = fabric.setup(network, torch.optim.AdamW(groups, weight_decay=settings.weight_decay))
        self.average = WeightAverage(network, settings.averaging)
        self.history: list[Record] = []
        self.steps = steps_of(batches, fabric.world_size)
        self.total = settings.epochs * self.steps
        self.about = {
            "settings": asdict(settings),
            "policy": repr(policy),
            "steps": len(batches),
            "number of processes": fabric.world_size,
        }

    def epoch(self, number: int, on_step: Advance) -> float:
        """Train one epoch; return the mean loss."""
        self.policy.apply(self.network, number)
        losses = []
        for done, batch in enumerate(self._own_batches(number), number * self.steps):
            _set_rates(self.optimizer, self.peaks, done, self.total, self.settings.warmup)
            losses.append(self._step(batch, number))
            on_step(done + 1, self.total)
        mean = self.fabric.all_reduce(torch.stack(losses).mean())
        assert isinstance(mean, Tensor)
        return float(mean)

    def _own_batches(self, epoch: int) -> Iterator[Batch]:
        """The batches of this process."""
        rank, world = self.fabric.global_rank, self.fabric.world_size
        if isinstance(self.batches, PartedBatches):
            return self.batches.part(epoch, rank, world)
        return islice(self.batches.epoch(epoch), rank, self.steps * world, world)

    def _step(self, batch: Batch, epoch: int) -> Tensor:
        inputs, *targets = (self.fabric.to_device(tensor) for tensor in batch)
        value = self.loss(self.wrapped(inputs, start=self.start), *targets)
        if not torch.isfinite(value):
            raise SpeechtlError(
                f"The loss is not a number in epoch {epoch + 1}; try a smaller learning rate than {self.settings.learning_rate}."
            )
        self.optimizer.zero_grad()
        self.fabric.backward(value)
        self.fabric.clip_gradients(self.wrapped, self.optimizer, max_norm=self.settings.gradient_clip, error_if_nonfinite=False)
        self.optimizer.step()
        self.average.update(self.network)
        return value.detach()

    def save(self, path: Path) -> None:
        """Write a checkpoint."""
        tensors = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        tensors |= {f"average.{name}": value for name, value in self.average.weights.items()}
        tensors |= optimizer_tensors(self.optimizer) | _random_states()
        save_tensors(path, tensors, self.about | {"history": self.history, "updates": self.average.updates})

    def restore(self, path: Path) -> None:
        """Continue from a checkpoint; raises `RunError` where it is damaged or was made with other settings."""
        tensors, saved = load_tensors(path)
        changed = [key for key, value in self.about.items() if saved.get(key) != value]
        if changed:
            raise RunError(f"{path} was made with another {changed[0]}; start again without --resume, or go back to the old settings.")
        load_weights(self.network, _under(tensors, "network."), path)
        updates, history = saved.get("updates"), _records(saved.get("history"))
        if type(updates) is not int or history is None:
            raise _damaged(path, "updates or history is missing or of the wrong kind")
        averaged = _under(tensors, "average.")
        if _shapes(averaged) != _shapes(self.average.weights):
            raise _damaged(path, "the averaged weights are not those of the network")
        self.average.weights = {name: tensor.to(self.average.weights[name].device) for name, tensor in averaged.items()}
        self.average.updates, self.history = updates, history
        try:
            restore_optimizer(self.optimizer, tensors)
            torch.set_rng_state(tensors["random"])
        except (KeyError, ValueError, TypeError, IndexError, RuntimeError) as error:
            raise _damaged(path, str(error) or type(error).__name__) from error
        if torch.cuda.is_available() and "random_cuda" in tensors:
            torch.cuda.set_rng_state(tensors["random_cuda"])


def _average_buffers(network: TransferNetwork, fabric: Fabric) -> None:
    """Give all processes the mean of the statistics of their normalisation layers, each measured on its own batches."""
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
