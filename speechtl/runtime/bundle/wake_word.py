"""The bundle: one `.wake` file with the graphs, the settings of the detector, and the provenance of everything.

An ordinary zip archive. Nothing in it is a pickle, nothing is unpacked to disk, and every file is checked
against its size and checksum when the bundle is opened, and against its hash when it is used; only what is in
use is in memory. A bundle may come from anywhere: the sizes of its zip, description and arrays are checked before they are read.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from speechtl.errors import BundleError
from speechtl.runtime import ready
from speechtl.runtime.bundle.archive import DAMAGE, KIND, Files, field_of, read_archive, reason, sha256
from speechtl.runtime.bundle.arrays import read_arrays
from speechtl.runtime.bundle.description import REQUIRED, Description, read_description
from speechtl.runtime.bundle.description import Graph as Graph
from speechtl.runtime.bundle.description import State as State
from speechtl.runtime.bundle.description import Word as Word
from speechtl.runtime.features import Features
from speechtl.runtime.samples import SAMPLE_RATE, Array

GOLDEN = "golden.npz"
# The least and most values of its arrays; every graph hears the audio some 25 times, so it has at most 30 seconds.
GOLDEN_ARRAYS = {"audio": (1, 30 * SAMPLE_RATE), "scores": (1, 2_000_000), "words": (0, 2000)}
NO_WORDS = np.zeros((0, 2), np.int64)


@dataclass(frozen=True)
class Bundle:
    """A bundle that was read and checked."""

    path: Path
    about: Mapping[str, Any]
    files: Files

    description: Description
    made_here: bool = False  # by this process, so its graphs are trusted

    @property
    def name(self) -> str:
        """The name of the bundle; with one word, also the name of its events."""
        return self.description.name

    @property
    def fingerprint(self) -> str:
        """The hash of its files, which tells one detector from another, 12 digits long."""
        return sha256(json.dumps(self.about["files"], sort_keys=True).encode()).hexdigest()[:12]

    @property
    def features(self) -> Features:
        """The settings of the front end."""
        return self.description.features

    @property
    def words(self) -> list[Word]:
        """The wake words in use, in the order of the graph's scores."""
        return list(self.description.words)

    @property
    def columns(self) -> int:
        """The number of the graph's scores, also of words that are not in use."""
        return self.description.columns

    @property
    def frames_per_step(self) -> int:
        """Number of frames that the graph takes at a time."""
        return self.description.frames_per_step

    @property
    def silent_steps(self) -> int:
        """Number of steps of silence after which states that began at zero are those of a stream preceded by silence."""
        return self.description.silent_steps

    @property
    def states(self) -> tuple[State, ...]:
        """The graph's states, in order."""
        return self.description.states

    @property
    def graphs(self) -> Mapping[str, Graph]:
        """The graphs by file name, the one to prefer first."""
        return self.description.graphs

    def golden(self) -> dict[str, Array]:
        """The golden audio and its expected scores."""
        if GOLDEN not in self.files and self.path == ready.BUNDLE:
            raise BundleError("Ready words have no golden audio, so they cannot be verified or benchmarked; see: speechtl doctor computer")
        if GOLDEN not in self.files:
            raise BundleError(f"{self.path} has no golden audio; export it again without --no-golden.")
        try:
            golden = read_arrays(self.files[GOLDEN], GOLDEN_ARRAYS)
        except DAMAGE as error:
            raise BundleError(f"{self.path} is damaged: {GOLDEN} cannot be read ({reason(error)}).") from error
        if any(
            name not in golden or golden[name].ndim not in ranks or golden[name].dtype.kind not in "if"
            for name, ranks in (("audio", (1,)), ("scores", (1, 2)))
        ):
            raise BundleError(f"{self.path} is damaged: {GOLDEN} must contain the arrays 'audio' and 'scores'.")
        words = golden.get("words", NO_WORDS)
        if words.dtype.kind not in "iu" or words.shape[1:] != (2,):
            raise BundleError(f"{self.path} is damaged: 'words' in {GOLDEN} must be two numbers of samples for each word.")
        return golden


def open_bundle(path: Path | str) -> Bundle:
    """Open a bundle, or ready words by their name; raise `BundleError` for one that is damaged, unknown or unsafe."""
    path = Path(path)
    if not os.path.lexists(path):
        names = ready.words_of(path)
        return only(_open(ready.BUNDLE), names)
    return _open(path)


def only(bundle: Bundle, names: Collection[str]) -> Bundle:
    """A bundle of which only these words are in use."""
    words = tuple(word for word in bundle.words if word.name in names)
    return replace(bundle, description=replace(bundle.description, words=words))


def _open(path: Path) -> Bundle:
    about, files = read_archive(path, KIND, REQUIRED)
    with field_of(path):
        description = read_description(about)
    missing = [name for name in description.graphs if name not in files]
    if missing or not description.graphs:
        raise BundleError(f"{path} is damaged: it names {'no graph' if not missing else f'the graph {missing[0]!r}, which is not in it'}.")
    return Bundle(path, about, files, description)
