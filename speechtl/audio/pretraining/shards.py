"""Rendered windows on disk, a few dozen to a file, so that rendering is done once and can go on where it stopped."""

from __future__ import annotations

import hashlib
import itertools
import json
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from speechtl.audio.augment import mask
from speechtl.audio.pretraining.data import Rendered, Renderer, Window
from speechtl.audio.pretraining.mixing import Mixer
from speechtl.errors import RunError
from speechtl.progress import Advance
from speechtl.transfer import Batch, load_tensors, save_tensors

WINDOWS = 64  # to a shard
NO_WORD = -1
HALF = 2  # bytes of a number in half precision
SHARD_AXES = {"features": 4, "phones": 2, "counts": 1, "heard": 3, "words": 3}  # of each tensor of a shard
MASKS = {"bands": 5, "frames": 10, "moments": 10}  # of a window, at most
RECIPE = 3  # raise it when the same settings give other windows


@dataclass(frozen=True)
class Shards:
    """The folder of all rendered windows: `packs` orders of the utterances, each in several copies."""

    folder: Path
    packs: Sequence[Sequence[Window]]
    copies: int
    settings: dict[str, Any]  # everything else that decides what a window sounds like

    def __post_init__(self) -> None:
        kept = {"recipe": RECIPE, "copies": self.copies, **self.settings}
        digest = hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]
        object.__setattr__(self, "folder", self.folder / digest)

    def names(self, pack: int) -> list[Path]:
        """The files of a pack."""
        count = -(-len(self.packs[pack]) // WINDOWS)
        return [self.folder / f"{pack:02d}-{index:04d}.safetensors" for index in range(count)]

    def heard(self) -> Tensor:
        """The teacher's embeddings `(windows, steps, size)` of the windows in the first file."""
        return read_shard(self.names(0)[0])[3]

    def bytes_left(self, frames: int, bands: int, heard: int) -> int:
        """About how many bytes the files take that are not there yet; `heard` is the size of a window's embeddings of the teacher."""
        missing = sum(not path.exists() for pack in range(len(self.packs)) for path in self.names(pack))
        return missing * WINDOWS * (self.copies * frames * bands + heard) * HALF

    def render(self, renderer: Renderer, advance: Advance, workers: int = 1, *, rank: int = 0, world: int = 1) -> None:
        """Make the files that are not there yet, or the share of one of several; an interrupted call leaves whole files only.

        Where the system can fork, `workers` are processes, as most of rendering holds Python's lock.
        """
        files = [(path, pack, index) for pack in range(len(self.packs)) for index, path in enumerate(self.names(pack))][rank::world]
        missing = [(path, pack, index) for path, pack, index in files if not path.exists()]
        jobs = [(path, self.packs[pack][index * WINDOWS : (index + 1) * WINDOWS]) for path, pack, index in missing]
        done = len(files) - len(jobs)
        try:
            for made, _ in enumerate(_map(renderer, jobs, self.settings, workers), start=1):
                advance(done + made, len(files))
        except OSError as error:
            raise RunError(f"The rendered windows cannot be written to {self.folder}: {error.strerror or error}.") from error


Job = tuple[Path, Sequence[Window]]


def _map(renderer: Renderer, jobs: Sequence[Job], settings: dict[str, Any], workers: int) -> Iterator[None]:
    def make(job: Job) -> None:
        path, windows = job
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        _write(path, [renderer(window) for window in windows], settings)
        torch.set_num_threads(threads)

    if workers == 1 or "fork" not in multiprocessing.get_all_start_methods():
        yield from map(make, jobs)
        return
    _forked.append(make)  # a worker inherits it, as it cannot be sent
    try:
        context = multiprocessing.get_context("fork")
        with ProcessPoolExecutor(workers, context, initializer=end_with, initargs=(os.getpid(),)) as pool:
            yield from pool.map(_make_forked, jobs)
    except BrokenProcessPool as error:
        raise RunError("A process that rendered windows was killed, perhaps because memory ran out; continue with --resume.") from error
    finally:
        _forked.clear()


_forked: list[Callable[[Job], None]] = []


def _make_forked(job: Job) -> None:
    _forked[0](job)


def end_with(parent: int) -> None:
    """End this process soon after its parent, which cannot end it when it is killed itself."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _write(path: Path, rendered: Sequence[Rendered], settings: dict[str, Any]) -> None:
    counts = [-1 if one.phones is None else len(one.phones) for one in rendered]
    phones = np.zeros((len(rendered), max(max(counts), 1)), np.int16)
    words = np.full((len(rendered), max(max(len(one.words) for one in rendered), 1), 2), NO_WORD, np.int16)
    for one, row, ends in zip(rendered, phones, words, strict=True):
        row[: len(one.phones or ())] = one.phones or ()
        ends[: len(one.words)] = np.reshape(one.words, (-1, 2))
    tensors = {
        "features": torch.from_numpy(np.stack([one.features for one in rendered], axis=1)).half(),
        "heard": torch.from_numpy(np.stack([one.heard for one in rendered])).half(),
        "phones": torch.from_numpy(phones),
        "counts": torch.tensor(counts, dtype=torch.int16),
        "words": torch.from_numpy(words),
    }
    save_tensors(path, tensors, settings)


class ShardBatches:
    """An epoch is one pack, each window in one of its copies; batches of `(features, phones, counts, heard, words)`.

    `mixer` puts backgrounds behind the windows. `counts` is -1 where the phones are unknown; `words` are classes and the
    frames at which they end, -1 after the last. The files are shuffled and mixed in small groups, so that only a few are
    in memory. In a run of several processes each reads a part of the files of its own.
    """

    def __init__(self, shards: Shards, *, batch_size: int, seed: int, together: int = 4, mixer: Mixer | None = None) -> None:
        self.shards = shards
        self.mixer = mixer
        self.batch_size = batch_size
        self.seed = seed
        self.together = together
        self.windows = min(len(pack) for pack in shards.packs)

    def __len__(self) -> int:
        return self.windows // self.batch_size

    def epoch(self, number: int) -> Iterator[Batch]:
        """Yield the batches of an epoch; their order depends on its number alone."""
        return self.part(number, 0, 1)

    def part(self, number: int, rank: int, world: int) -> Iterator[Batch]:
        """Yield the share of one of `world` processes, which reads files of its own; begin again where they hold too little."""
        files = self.shards.names(number % len(self.shards.packs))
        random = np.random.default_rng([self.seed, number])
        order = [int(index) for index in random.permutation(len(files))]
        own = order[rank::world] or order
        random = np.random.default_rng([self.seed, number, rank])
        left: Batch | None = None
        steps = len(self) // world
        for first in itertools.cycle(range(0, len(own), self.together)):
            parts = [_one_copy(read_shard(files[place]), random) for place in own[first : first + self.together]]
            batch = _join(parts if left is None else [left, *parts])
            shuffled = torch.from_numpy(random.permutation(len(batch[0])))
            whole = len(shuffled) // self.batch_size * self.batch_size
            for chosen in torch.split(shuffled[:whole], self.batch_size) if whole else ():
                features, *others = (tensor[chosen] for tensor in batch)
                features = self.mixer(features.float(), random) if self.mixer else features.float()
                mask(features, random, **MASKS)
                yield (features[:, None].contiguous(memory_format=torch.channels_last), *others)
                steps -= 1
                if steps == 0:
                    return
            left = tuple(tensor[shuffled[whole:]] for tensor in batch)


def read_shard(path: Path) -> Batch:
    """The windows of a file in all copies; raises `RunError`, and removes the file, where it is damaged."""
    try:
        tensors, _ = load_tensors(path)
        if missing := [name for name in SHARD_AXES if name not in tensors or tensors[name].dim() != SHARD_AXES[name]]:
            raise RunError(f"{path} is damaged: it has no {missing[0]}.")
        if not len(tensors["features"]):
            raise RunError(f"{path} is damaged: it has no copy of its windows.")
    except RunError as error:
        path.unlink(missing_ok=True)  # it is only a cache
        raise RunError(f"{error} It has been removed; the same command with --resume renders it again.") from error
    return tensors["features"], tensors["phones"], tensors["counts"], tensors["heard"], tensors["words"]


def _one_copy(shard: Batch, random: np.random.Generator) -> Batch:
    """Each window of a file in one of its copies: an epoch of one copy alone would bend the statistics of normalisation layers."""
    features, *others = shard
    copies = torch.from_numpy(random.integers(len(features), size=features.shape[1]))
    return features[copies, torch.arange(features.shape[1])], *others


def _join(parts: Sequence[Batch]) -> Batch:
    features, phones, counts, heard, words = zip(*parts, strict=True)
    return torch.cat(features), _padded(phones, 0), torch.cat(counts), torch.cat(heard), _padded(words, NO_WORD)


def _padded(tensors: Sequence[Tensor], value: int) -> Tensor:
    """Tensors of several lengths (of their second axis) as one, padded with a value."""
    longest = max(tensor.shape[1] for tensor in tensors)
    made = tensors[0].new_full((sum(map(len, tensors)), longest, *tensors[0].shape[2:]), value)
    for rows, tensor in zip(torch.split(made, [len(tensor) for tensor in tensors]), tensors, strict=True):
        rows[:, : tensor.shape[1]] = tensor
    return made


def cores() -> int:
    """The number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
