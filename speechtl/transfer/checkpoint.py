"""Checkpoints without pickle: tensors in safetensors, everything else as JSON in the same file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from speechtl.errors import RunError, SpeechtlError
from speechtl.files import parse_json, writing

NAMED = 3  # of the tensors that differ, in the error


def save_tensors(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Write tensors and a JSON-like description into one file, or nothing at all."""
    separate = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    with writing(path) as beside:
        beside.write_bytes(save(separate, metadata={"about": json.dumps(about)}))


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors of a file and their description; raises `RunError` for a missing or damaged file."""
    if not path.is_file():
        raise RunError(f"{path} is a folder; give the name of a file." if path.is_dir() else f"{path} does not exist.")
    try:
        with safe_open(str(path), framework="pt") as file:
            about: dict[str, Any] = dict(parse_json((file.metadata() or {})["about"]))
            return {name: file.get_tensor(name) for name in list(file.keys())}, about
    except (SafetensorError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise RunError(f"{path} is damaged or not a checkpoint of speechtl: {error}.") from error


def load_weights(network: nn.Module, tensors: Mapping[str, Tensor], path: Path, error: type[SpeechtlError] = RunError) -> None:
    """Load tensors into a network; raise an error that names tensors that are missing, unknown or of another shape."""
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    given = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    wrong = sorted(name for name in expected.keys() | given.keys() if expected.get(name) != given.get(name))
    if wrong:
        named = ", ".join(f"{name!r} ({_difference(expected.get(name), given.get(name))})" for name in wrong[:NAMED])
        more = f" and {len(wrong) - NAMED} more" if len(wrong) > NAMED else ""
        raise error(f"{path} holds weights of another architecture: {len(wrong)} tensors differ: {named}{more}.")
    network.load_state_dict(dict(tensors))


def _difference(expected: tuple[int, ...] | None, given: tuple[int, ...] | None) -> str:
    if given is None:
        return "missing there"
    if expected is None:
        return "unknown here"
    return f"shape {given} there, {expected} here"


def checkpoint_bytes(network: nn.Module) -> int:
    """Largest size of a training's checkpoint while it replaces the previous one, in bytes: weights, their average, two moments."""
    state: Mapping[str, Tensor] = network.state_dict()
    return 2 * 4 * sum(tensor.numel() * tensor.element_size() for tensor in state.values())


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The state of an optimizer as named tensors."""
    states = optimizer.state_dict()["state"]
    return {f"optimizer.{index}.{key}": torch.as_tensor(value) for index, state in states.items() for key, value in state.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Load named tensors into an optimizer of the same parameters."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".", 2)
            state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
