"""What a detector remembers of its training: the moments of words, and those at which anything else came closest to the word.

A moment is what the output layer saw: a few hundred numbers. They are stored as bytes, so a bundle remembers hundreds of moments
in 150 kB. They are no recordings, and no recording can be made of them.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from speechtl.adapt.layer import Layer
from speechtl.errors import BundleError
from speechtl.runtime.bundle.archive import DAMAGE, reason
from speechtl.runtime.bundle.arrays import read_arrays
from speechtl.runtime.bundle.sensitivity import LARGEST
from speechtl.runtime.bundle.wake_word import Bundle
from speechtl.runtime.samples import Floats

MEMORY = "memory.npz"  # of the only word; with several, each has memory.NAME.npz
MOST_BYTES, MOST_TOGETHER = 150_000, 400_000  # of a word, and of all words of a bundle
LEVELS = 255
FOLDS = 4
PEAK_SECONDS = 1.0  # in which only the highest score counts
MOST_VALUES = 4_000_000
ARRAYS = {
    "words": (0, MOST_VALUES),
    "others": (0, MOST_VALUES),
    "of": (0, MOST_VALUES),
    "low": (1, 10_000),
    "step": (1, 10_000),
    "hours": (1, 1),
}

Bags = list[Floats]


@dataclass(frozen=True)
class Memory:
    """Remembered streams as features `(steps, size)`.

    `words` has the steps of each word in each condition, and `of` its recording; `others` has streams without the word, of `hours`.
    `word_folds` and `other_folds` tell in which fold each is held out.
    """

    words: Bags
    of: Sequence[int]
    others: Bags
    hours: float

    @property
    def word_folds(self) -> list[int]:
        """The fold of each word: all conditions of a recording are in one."""
        return [recording % FOLDS for recording in self.of]

    @property
    def other_folds(self) -> list[int]:
        """The fold of each stream without the word."""
        return [index % FOLDS for index in range(len(self.others))]


def best(layer: Layer, steps: Floats) -> Floats:
    """The step with the highest score `(1, size)`."""
    return steps[int(np.argmax(layer.logits(steps)))][None]


def highest(layer: Layer, streams: Bags, step_seconds: float, most: int) -> Bags:
    """The steps `(1, size)` with the highest scores in their second, at most `most` of them, the highest first."""
    window = max(round(PEAK_SECONDS / step_seconds), 1)
    peaks = [best(layer, stream[first : first + window]) for stream in streams for first in range(0, len(stream), window)]
    order = np.argsort([-float(layer.logits(peak)[0]) for peak in peaks], kind="stable")
    return [peaks[index] for index in order[:most]]


def memory_file(name: str, *, alone: bool) -> str:
    """The file of a word's memory in a bundle."""
    return MEMORY if alone else f"memory.{name}.npz"


def room(words: int) -> int:
    """The most bytes of each memory in a bundle of so many words."""
    return min(MOST_BYTES, MOST_TOGETHER // words)


def pack(memory: Memory, most: int = MOST_BYTES) -> bytes:
    """The memory as a file of at most that many bytes; raises `ValueError` where nothing fits.

    Moments are single steps here. Where all of them are too large, the first of each kind are kept.
    """
    words, others = _rows(memory.words), _rows(memory.others)
    share = 1.0
    while share > 0.02:
        kept = (words[: round(share * len(words))], others[: round(share * len(others))])
        content = _pack(*kept, np.asarray(memory.of[: len(kept[0])]), memory.hours)
        if len(content) <= most:
            return content
        share *= 0.9
    raise ValueError(f"{len(words) + len(others)} moments of {words.shape[1]} numbers do not fit into {most} bytes")


def _pack(words: Floats, others: Floats, of: npt.NDArray[np.int64], hours: float) -> bytes:
    both = np.concatenate([words, others])
    low = both.min(axis=0)
    step = np.maximum((both.max(axis=0) - low) / LEVELS, 1e-12).astype(np.float32)
    file = io.BytesIO()
    bytes_of = (np.round((rows - low) / step).clip(0, LEVELS).astype(np.uint8) for rows in (words, others))
    packed = dict(zip(("words", "others"), bytes_of, strict=True))
    np.savez_compressed(file, allow_pickle=False, **packed, of=of.astype(np.int32), low=low, step=step, hours=np.array([hours]))
    return file.getvalue()


def _rows(bags: Bags) -> Floats:
    if any(len(bag) != 1 for bag in bags):
        raise ValueError("only single steps can be packed")
    return np.concatenate(bags).astype(np.float32)


def unpack(bundle: Bundle) -> Memory:
    """The memory of a bundle's first word in use; raises `BundleError` where it has none, or a damaged one."""
    file = memory_file(bundle.words[0].name, alone=not bundle.about.get("words"))
    if file not in bundle.files:
        raise BundleError(
            f"{bundle.path} has no memory of its training, so it cannot be adapted alone. Adapt its run, or export that again "
            "where its recordings are, without --no-memory."
        )
    try:
        arrays = read_arrays(bundle.files[file], ARRAYS)
        low, step = arrays["low"], arrays["step"]
        with np.errstate(over="ignore"):
            words, others = (arrays[name].astype(np.float32) * step + low for name in ("words", "others"))
        of = np.unique(arrays["of"], return_inverse=True)[1].ravel().tolist()  # numbered anew: they index counts
        hours = float(arrays["hours"].ravel()[0])
        if not len(of) == len(words) > 0 < len(others) or not words.ndim == others.ndim == 2 or not 0.0 < hours <= LARGEST:
            raise ValueError("its arrays do not belong together")
        if not np.isfinite(words).all() or not np.isfinite(others).all():
            raise ValueError("its values are not finite")
        return Memory([row[None] for row in words], of, [row[None] for row in others], hours)
    except (*DAMAGE, KeyError) as error:
        raise BundleError(f"{bundle.path} is damaged: {file} cannot be read ({reason(error)}).") from error
