"""The sound of misses and false accepts beside the page of a report, so that it can be played there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from speechtl.audio.data.manifest import Clip
from speechtl.errors import AudioError
from speechtl.files import replace_folder
from speechtl.progress import tracked
from speechtl.runtime.samples import SAMPLE_RATE, Samples, to_int16
from speechtl.runtime.sound.files import load_soundfile, read_audio

FOLDER = "report-audio"
MOST = 1000  # players of each list
MOST_BYTES = 100_000_000  # of all files together, after which no further one is written
MOST_SECONDS = 6.0  # of each
BEFORE_WORD, AFTER_WORD = 0.5, 1.0  # seconds
BEFORE_EVENT, AFTER_EVENT = 2.5, 0.5  # seconds; an event comes after what caused it

Players = dict[str, list[str | None]]  # of a list of the report: for its first entries the file beside the page, or None


@dataclass(frozen=True)
class Moment:
    """A part of a recording: a missed word, or the instant of an event; in seconds from the start of its file."""

    clip: Clip
    start: float
    end: float

    @property
    def around(self) -> tuple[float, float]:
        """The first and the last second to play."""
        before, after = (BEFORE_EVENT, AFTER_EVENT) if self.start == self.end else (BEFORE_WORD, AFTER_WORD)
        first = max(self.start - before, 0.0)
        return first, min(self.end + after, first + MOST_SECONDS)

    def to_json(self) -> dict[str, Any]:
        """The file and the time, as reports store them."""
        return {"file": self.clip.audio_filepath, "time": round(self.start, 2)}  # negative in the quiet before a recording


@dataclass(frozen=True)
class Moments:
    """Every miss and false accept of an evaluation, in the order of the lists in its report."""

    missed: Sequence[Moment] = field(default_factory=list)
    false_accepts: Sequence[Moment] = field(default_factory=list)


def write_players(folder: Path, moments: Moments) -> Players:
    """Write the sound of the first misses and false accepts into a folder beside the page, in place of an earlier one.

    There are at most `MOST` of each, and `MOST_BYTES` in all. A recording that cannot be read any more has no player.
    """
    listed = {"missed": moments.missed[:MOST], "false_accepts": moments.false_accepts[:MOST]}
    target = folder / FOLDER
    beside = folder / f".{FOLDER}.part"
    shutil.rmtree(beside, ignore_errors=True)  # of a process that was ended
    beside.mkdir(parents=True)
    room = MOST_BYTES
    players: Players = {key: [] for key in listed}
    for key, number, moment in tracked("cutting out misses and false accepts", _numbered(listed), sum(map(len, listed.values()))):
        name = f"{key.replace('_', '-')}-{number:04d}.flac"
        samples = _sound(moment) if room > 0 else np.zeros(0, np.float32)
        if len(samples):
            load_soundfile().write(beside / name, to_int16(samples), SAMPLE_RATE)
            room -= (beside / name).stat().st_size
        players[key].append(f"{FOLDER}/{name}" if len(samples) else None)
    replace_folder(beside, target)
    return players


def _numbered(listed: Mapping[str, Sequence[Moment]]) -> Iterator[tuple[str, int, Moment]]:
    for key, moments in listed.items():
        for number, moment in enumerate(moments, 1):
            yield key, number, moment


def _sound(moment: Moment) -> Samples:
    """The samples around a moment; none where the recording cannot be read."""
    first, last = moment.around
    if moment.clip.path is None or last <= first:
        return np.zeros(0, np.float32)
    try:
        return read_audio(moment.clip.path, first, last - first, moment.clip.channel)
    except (AudioError, OSError):
        return np.zeros(0, np.float32)
