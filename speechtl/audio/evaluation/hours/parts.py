"""Parts of the recordings, each heard as a whole by one process: what is sent there, and what comes back."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from speechtl.audio.evaluation.hours.listed import Listed
from speechtl.files import writing
from speechtl.runtime.samples import Doubles, Floats

PART_SECONDS = 600.0  # of sound: one or two seconds of work
PART_RECORDINGS = 2000


@dataclass(frozen=True)
class Part:
    """Recordings that follow one another: the index of the first, and the lines of the list."""

    number: int
    first: int
    lines: list[bytes]


@dataclass(frozen=True)
class Skipped:
    """A recording that could not be heard; `gone` where it was there when the recordings were listed."""

    recording: int
    why: str
    gone: bool


@dataclass(frozen=True)
class Heard:
    """What was heard in a part: for each recording its seconds and the scores that were kept, by step."""

    number: int
    first: int
    seconds: Doubles  # NaN for a recording that was skipped
    counts: npt.NDArray[np.int64]  # of scores, for each recording
    steps: npt.NDArray[np.int32]
    scores: Floats
    skipped: list[Skipped]

    @property
    def whole(self) -> bool:
        """Whether hearing the part again would give the same: no recording has gone away."""
        return not any(skipped.gone for skipped in self.skipped)


class Parts(Sequence[Part]):
    """The parts of listed recordings; they depend on the list only."""

    def __init__(self, listed: Listed) -> None:
        self._listed = listed
        self._firsts = list(_cut(listed.durations))

    def __len__(self) -> int:
        return len(self._firsts) - 1

    def __getitem__(self, number: int) -> Part:  # type: ignore[override]  # no slices of it are needed
        first, last = self._firsts[number], self._firsts[number + 1]
        return Part(number, first, self._listed.lines(first, last))

    def seconds(self, number: int) -> float:
        """The duration of a part, as the manifests tell."""
        return sum(self._listed.durations[self._firsts[number] : self._firsts[number + 1]])


def _cut(durations: Sequence[float]) -> Iterator[int]:
    """The first recording of each part, and the number of recordings."""
    yield 0
    first, seconds = 0, 0.0
    for index, duration in enumerate(durations):
        if index > first and (seconds + duration > PART_SECONDS or index - first == PART_RECORDINGS):
            first, seconds = index, 0.0
            yield index
        seconds += duration
    yield len(durations)


def save(path: Path, heard: Heard) -> None:
    """Write what was heard, whole or not at all."""
    skipped = json.dumps([[one.recording, one.why, one.gone] for one in heard.skipped])
    with writing(path) as beside, beside.open("wb") as file:
        np.savez(
            file,
            place=np.array([heard.number, heard.first]),
            seconds=heard.seconds,
            counts=heard.counts,
            steps=heard.steps,
            scores=heard.scores,
            skipped=np.frombuffer(skipped.encode(), np.uint8),
        )


def load(path: Path) -> Heard | None:
    """What was heard of a part; None where it was not, or the file is damaged."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            number, first = arrays["place"].tolist()
            skipped = [Skipped(*one) for one in json.loads(arrays["skipped"].tobytes())]
            return Heard(number, first, arrays["seconds"], arrays["counts"], arrays["steps"], arrays["scores"], skipped)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return None
