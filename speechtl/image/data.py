"""Load the pictures of a recipe: read them, skip unusable ones, split them by group, and draw the wanted number."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from speechtl.errors import ManifestError, PictureError
from speechtl.image.manifest import Picture, read_pictures, targets_of, tasks_of
from speechtl.image.recipe import ImageRecipe
from speechtl.progress import progress
from speechtl.runtime.pictures import PictureSettings, read_pixels
from speechtl.text import are, counted, none_can_be_used
from speechtl.transfer import Task

READERS = 4  # threads
LISTED_REASONS = 5  # of skipped pictures
COPIES_IN_MEMORY = 2  # of all pictures

Log = Callable[[str], None]


@dataclass(frozen=True)
class PictureSet:
    """Pictures in the network's form, bytes `(pictures, 3, size, size)`, and their labels `(pictures, tasks)`."""

    pictures: list[Picture]
    pixels: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.pictures)

    def part(self, indices: Sequence[int]) -> PictureSet:
        """The pictures with the given indices."""
        chosen = list(indices)
        return PictureSet([self.pictures[index] for index in chosen], self.pixels[chosen], self.labels[chosen])


@dataclass(frozen=True)
class ImageData:
    """Data of a recipe: its tasks, training pictures, and validation pictures."""

    tasks: list[Task]
    train: PictureSet
    validation: PictureSet


def prepare(recipe: ImageRecipe, log: Log) -> ImageData:
    """Load a recipe's pictures, except the test split; raise `ManifestError` if they do not suffice for training."""
    pictures = [picture for picture in read_pictures(recipe.data.train) if picture.split != "test"]
    if not pictures or all(picture.split == "validation" for picture in pictures):
        raise ManifestError(f"All pictures are in the {'validation' if pictures else 'test'} split; give pictures to train on.")
    tasks = tasks_of(pictures, recipe.data.classes)
    everything = load_pictures(pictures, tasks, recipe.pictures.settings(), log)
    tasks_of(everything.pictures, [name for task in tasks for name in task.classes])  # skipping may have emptied a class
    train, validation = split(everything.pictures, recipe.data.validation, recipe.train.seed)
    if recipe.data.examples:
        train = draw(everything.pictures, train, recipe.data.examples, recipe.train.seed)
    tasks_of([everything.pictures[index] for index in train], [name for task in tasks for name in task.classes])
    return ImageData(tasks, everything.part(train), everything.part(validation))


def load_pictures(pictures: Sequence[Picture], tasks: Sequence[Task], settings: PictureSettings, log: Log) -> PictureSet:
    """Read pictures into memory; unreadable ones are skipped and reported. Raises `ManifestError` if none is usable."""
    targets = targets_of(pictures, tasks)
    pixels, usable, reasons = read_all([picture.path for picture in pictures], settings)
    if reasons:
        log(f"{len(reasons)} of {counted(len(pictures), 'picture')} cannot be used and {are(len(reasons))} skipped:")
        for reason in reasons[:LISTED_REASONS]:
            log(f"  {reason}")
    if not usable:
        raise ManifestError(f"{none_can_be_used(len(pictures), 'picture')}:", reasons[:LISTED_REASONS])
    return PictureSet([pictures[index] for index in usable], pixels, torch.tensor([targets[index] for index in usable]))


def read_all(paths: Sequence[Path], settings: PictureSettings) -> tuple[Tensor, list[int], list[str]]:
    """Pixels `(pictures, 3, size, size)` of the usable files, the indices of these, and the reasons why others are unusable.

    Raises `PictureError` if the pictures need more memory than the machine has.
    """
    pixels = _allocate(len(paths), settings.size)

    def read(path: Path) -> np.ndarray | PictureError:
        try:
            return read_pixels(path, settings)
        except PictureError as error:
            return error

    usable: list[int] = []
    reasons: list[str] = []
    with ThreadPoolExecutor(READERS) as pool, progress("reading pictures") as advance:
        for index, result in enumerate(pool.map(read, paths)):
            if isinstance(result, PictureError):
                reasons.append(str(result))
            else:
                pixels[len(usable)] = result
                usable.append(index)
            advance(index + 1, len(paths))
    return torch.from_numpy(pixels[: len(usable)]), usable, reasons


def _allocate(count: int, size: int) -> np.ndarray:
    """An array for `count` pictures; checks that it and a copy, for training and validation, fit into memory."""
    needed = COPIES_IN_MEMORY * count * 3 * size * size
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else None  # not on Windows
    if memory is not None and needed > memory:
        raise PictureError(
            f"{counted(count, 'picture')} of {size} pixels take {needed / 1e9:.0f} GB while training,"
            f" and this machine has {memory / 1e9:.0f}; "
            "make pictures.size smaller, or the manifest shorter."
        )
    return np.empty((count, 3, size, size), np.uint8)


def split(pictures: Sequence[Picture], fraction: float, seed: int) -> tuple[list[int], list[int]]:
    """Indices of training and validation pictures: by the manifests' splits, or a fraction of the groups of each class."""
    if any(picture.split == "validation" for picture in pictures):
        marked = [picture.split == "validation" for picture in pictures]
        return [index for index, held in enumerate(marked) if not held], [index for index, held in enumerate(marked) if held]
    groups: dict[str, list[int]] = {}
    for index, picture in enumerate(pictures):
        groups.setdefault(picture.group or f"picture {index}", []).append(index)
    held_out: set[int] = set()
    for members in _shuffled_by_class(pictures, list(groups.values()), seed):
        count = min(max(round(fraction * len(members)), 1), len(members) - 1)
        held_out |= {index for group in members[:count] for index in group}
    if not held_out:
        raise ManifestError(
            "There are too few pictures, or groups of pictures, to hold some out for validation; give at least two of a class."
        )
    return [index for index in range(len(pictures)) if index not in held_out], sorted(held_out)


def draw(pictures: Sequence[Picture], indices: Sequence[int], count: int, seed: int) -> list[int]:
    """Indices of `count` pictures, as equally from every class as possible; raises `ManifestError` if there are too few."""
    if count > len(indices):
        raise ManifestError(
            f"data.examples asks for {counted(count, 'picture')}, but there {are(len(indices))} {len(indices)} to train on."
        )
    classes = [[group[0] for group in members] for members in _shuffled_by_class(pictures, [[index] for index in indices], seed)]
    order = [(place, number, index) for number, members in enumerate(classes) for place, index in enumerate(members)]
    return sorted(index for _, _, index in sorted(order)[:count])


def _shuffled_by_class(pictures: Sequence[Picture], groups: Iterable[list[int]], seed: int) -> list[list[list[int]]]:
    classes: dict[str, list[list[int]]] = {}
    for group in groups:
        first = pictures[group[0]]
        classes.setdefault(str(first.label or sorted(name for name, value in first.labels.items() if value)), []).append(group)
    random = np.random.default_rng(seed)
    return [[members[index] for index in random.permutation(len(members))] for _, members in sorted(classes.items())]


def resize_pixels(pixels: Tensor, size: int) -> Tensor:
    """Grey pictures `(pictures, height, width)` as network input `(pictures, 3, size, size)`, for pictures that are arrays, not files."""
    resized = torch.nn.functional.interpolate(pixels[:, None].float(), size=(size, size), mode="bilinear", antialias=True)
    return resized.round().clamp(0, 255).byte().expand(-1, 3, -1, -1).contiguous()
