"""Rounds of examples after the frozen layers, on disk: those of a training, and negatives that are kept for the next word."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from speechtl import __version__
from speechtl.audio.data.recordings import Recording
from speechtl.errors import RunError, SpeechtlError
from speechtl.files import cache_folder, check_room
from speechtl.transfer import Batch, TransferNetwork, load_tensors, save_tensors

DTYPES = {"F16": np.float16, "F32": np.float32}  # by their names in safetensors
KEPT_ROUNDS = 12  # of negatives: about half a gigabyte
KEPT_SETS = 2  # of other recordings, seeds or encoders; the oldest go


@dataclass(frozen=True)
class Stored:
    """A round whose inputs are in memory or on disk."""

    words: Tensor
    folds: Tensor
    rows: Tensor | TensorOnDisk

    def inputs(self, indices: npt.NDArray[np.intp]) -> Tensor:
        """The inputs of some examples."""
        return self.rows[indices]


class TensorOnDisk:
    """A tensor in a safetensors file, read row by row: a memory map would fill memory page by page."""

    def __init__(self, path: Path, name: str) -> None:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            about = json.loads(file.read(size))[name]
        self._path = path
        self._dtype = np.dtype(DTYPES[about["dtype"]])
        self._shape = about["shape"][1:]
        self._start = 8 + size + about["data_offsets"][0]

    def __getitem__(self, indices: npt.NDArray[np.intp]) -> Tensor:
        rows = np.empty((len(indices), *self._shape), self._dtype)
        size = rows[:1].nbytes
        with self._path.open("rb", buffering=0) as file:
            for row, index in zip(rows, indices.tolist(), strict=True):
                file.seek(self._start + index * size)
                if file.readinto(row.data) != size:
                    raise RunError(f"{self._path} is truncated: it was changed during the training; run again with --resume.")
        return torch.from_numpy(rows)


def read_if_whole(path: Path) -> Batch | None:
    """A round from disk; None where it is missing or damaged, which deletes it: it is only a cache."""
    if not path.exists():
        return None
    try:
        return read_round(path)
    except RunError:
        path.unlink()
        return None


def read_round(path: Path) -> Batch:
    """A round that an earlier training left on disk; raises `RunError` if it is damaged."""
    tensors, _ = load_tensors(path)
    inputs, words, folds = (tensors.get(name) for name in ("inputs", "words", "folds"))
    if inputs is None or words is None or folds is None or not inputs.dim() == 4 or not len(inputs) == len(words) == len(folds):
        raise RunError(f"{path} is damaged: it does not contain a round of examples.")
    return in_layout(inputs), words, folds


def write_round(path: Path, batch: Batch) -> None:
    """Write a round, whole or not at all."""
    save_tensors(path, dict(zip(("inputs", "words", "folds"), batch, strict=True)), {})


def in_layout(inputs: Tensor) -> Tensor:
    """Inputs in one memory layout, whether new or from disk: layers round differently in another layout."""
    return inputs.contiguous(memory_format=torch.channels_last)


def add_weights(digest: hashlib._Hash, groups: Iterable[nn.Module]) -> None:
    """Add the weights of layer groups to a hash."""
    for group in groups:
        for tensor in group.state_dict().values():
            digest.update(tensor.cpu().contiguous().numpy().tobytes())


def make_latest(folder: Path) -> None:
    """Make the folder of a set in the cache; of the other sets beside it the oldest go."""
    others = [other for other in folder.parent.glob("*") if other != folder and other.is_dir()]
    for old in sorted(others, key=lambda other: other.stat().st_mtime)[: -KEPT_SETS or None]:
        shutil.rmtree(old, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    folder.touch()


class Kept:
    """Negatives of the first rounds in the cache, for all words that are trained against the same recordings."""

    def __init__(self, network: TransferNetwork, frozen_groups: int, kinds: Sequence[Sequence[Recording]], settings: Sequence[Any]) -> None:
        recordings = [[(one.clip.audio_filepath, one.clip.sha256, one.clip.offset, one.fold) for one in kind] for kind in kinds]
        digest = hashlib.sha256(json.dumps([__version__, frozen_groups, recordings, list(settings)]).encode())
        add_weights(digest, [group for _, group in network.groups()[:frozen_groups]])
        self.folder = cache_folder() / "negatives" / digest.hexdigest()[:16]

    def batch(self, number: int, make: Callable[[], Batch]) -> Batch:
        """The negatives of a round, from the cache if they are there; those of the first rounds are kept where there is room."""
        path = self.folder / f"round-{number:03d}.safetensors"
        if number >= KEPT_ROUNDS:
            return make()
        if found := read_if_whole(path):
            return found
        made = make()
        with suppress(OSError, SpeechtlError):  # the training does not need it
            self._make_room(made)
            write_round(path, made)
        return made

    def _make_room(self, batch: Batch) -> None:
        make_latest(self.folder)
        check_room(self.folder, 4 * sum(tensor.numel() * tensor.element_size() for tensor in batch))
