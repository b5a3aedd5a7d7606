"""The hardest minutes of recordings to mine: what the head in training takes most for the word.

The recordings are heard one at a time, and no more than the minutes that are hardest so far is remembered, so memory does not grow
with the hours. Words are short: what is kept of a recording are stretches of four seconds around the highest scores.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import torch

from speechtl.audio.data.manifest import Clip
from speechtl.audio.data.recordings import Recording, load_recordings
from speechtl.audio.evaluation.hours.listed import clip_of, line_of
from speechtl.audio.network.heads import Head
from speechtl.audio.training.hours.embeddings import Embeddings
from speechtl.audio.training.hours.listing import Mine
from speechtl.audio.training.kinds import kind_names
from speechtl.audio.training.selection import equal_parts
from speechtl.errors import AudioError, RunError, StoppedError
from speechtl.progress import Log, tracked
from speechtl.runtime.samples import Floats
from speechtl.text import counted, first_few, none_can_be_used

MINUTES = 15.0  # that are kept of all recordings: 29 MB
BEFORE, AFTER = 3.0, 1.0  # seconds of a stretch around the time of a score, which is a little after what causes it
EACH = 3  # stretches of a recording, or of each part of a long one
PART_SECONDS = 600.0  # of a recording that are heard at a time


@dataclass
class Tally:
    """What was heard of a manifest."""

    recordings: int = 0
    hours: float = 0.0
    unreadable: int = 0
    mined_minutes: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """The numbers, rounded."""
        return {name: round(value, 3) for name, value in vars(self).items()}


@dataclass(frozen=True)
class Mined:
    """The stretches of recordings that join the negatives, with their folds, and what was heard, by manifest."""

    stretches: Sequence[tuple[Clip, int]]
    heard: Mapping[str, Tally]

    @property
    def clips(self) -> list[Clip]:
        """The stretches without their folds."""
        return [clip for clip, _ in self.stretches]

    def recordings(self, log: Log) -> list[Recording]:
        """The stretches in memory; those that cannot be read any more are logged."""
        folds = {(clip.where, clip.offset): fold for clip, fold in self.stretches}
        skipped: list[str] = []
        found = load_recordings(self.clips, on_skip=skipped.append) if self.stretches else []
        for problem in first_few(skipped):
            log(f"Skipped of what was mined: {problem}")
        return [replace(one, fold=folds[one.clip.where, one.clip.offset]) for one in found]

    def about(self) -> dict[str, Any]:
        """What was heard and mined, for the run."""
        return {**_sum(self.heard.values()).to_json(), "manifests": {name: tally.to_json() for name, tally in self.heard.items()}}

    def to_json(self) -> dict[str, Any]:
        """All of it, for a training that is resumed."""
        stretches = [[line_of(clip).decode(), fold] for clip, fold in self.stretches]
        return {"stretches": stretches, "heard": {name: vars(tally) for name, tally in self.heard.items()}}

    @classmethod
    def from_json(cls, found: Any) -> Mined:
        """What `to_json` made; raises `KeyError`, `TypeError` or `ValueError` for anything else."""
        stretches = [(clip_of(line.encode()), int(fold)) for line, fold in found["stretches"]]
        return cls(stretches, {name: Tally(**numbers) for name, numbers in found["heard"].items()})

    def describe(self, log: Log) -> None:
        """Log what was heard and mined."""
        total = _sum(self.heard.values())
        parts = ", ".join(f"{tally.mined_minutes:.1f} of {name}" for name, tally in self.heard.items() if tally.mined_minutes)
        log(
            f"Heard {total.hours:.2f} hours in {counted(total.recordings, 'recording')} to mine; the hardest {total.mined_minutes:.1f} "
            f"minutes join the negatives: {parts or 'none'}."
        )


@dataclass(frozen=True)
class Ear:
    """A head as it is at one time of a training, and the embeddings that it takes."""

    embeddings: Embeddings
    head: Head

    @torch.no_grad()
    def scores(self, clip: Clip) -> Floats:
        """The log-odds `(steps,)` of a recording; raises `AudioError` or `OSError` if it cannot be read."""
        found = self.embeddings.of(clip)
        if not len(found):
            return np.zeros(0, np.float32)
        joined = np.concatenate([*[self.embeddings.silent] * (self.head.receptive_field - 1), found])
        inputs = torch.from_numpy(joined.T.copy())[None, :, :, None].to(next(self.head.parameters()).device)
        scores: Floats = self.head.eval()(inputs)[0, 0, :, 0].cpu().numpy()
        return scores

    def hardest(self, clip: Clip) -> list[tuple[float, Clip]]:
        """The highest scores of a recording, at least a stretch apart, and the stretches around them."""
        encoder, scores = self.embeddings.encoder, self.scores(clip)
        apart, found = round((BEFORE + AFTER) / encoder.step_seconds), []
        for _ in range(min(EACH, -(-len(scores) // apart))):
            step = int(scores.argmax())
            time = encoder.features.samples((step + 1) * encoder.stride) / encoder.features.sample_rate
            start, end = round(max(time - BEFORE, 0.0), 3), min(time + AFTER, clip.duration)
            found.append((float(scores[step]), replace(clip, offset=round(clip.offset + start, 3), duration=round(end - start, 3))))
            scores[max(step - apart, 0) : step + apart + 1] = -np.inf
        return [one for one in found if one[0] > -np.inf]


@dataclass
class Hardest:
    """The clips with the highest scores that fit into a number of seconds."""

    most: float
    seconds: float = 0.0
    _found: list[tuple[float, int, Clip]] = field(default_factory=list)  # the lowest first; of equal scores the later one
    _number: int = 0

    def add(self, score: float, clip: Clip) -> None:
        """Take a clip, and drop those with the lowest scores that do not fit any more."""
        self._number += 1
        heapq.heappush(self._found, (score, -self._number, clip))
        self.seconds += clip.duration
        while self.seconds > self.most:
            self.seconds -= heapq.heappop(self._found)[2].duration

    def __iter__(self) -> Iterator[Clip]:
        """The clips, the hardest first."""
        return (clip for _, _, clip in sorted(self._found, key=lambda one: one[:2], reverse=True))


def search(mine: Mine, ear: Ear, held_out: int, log: Log, stopping: Event) -> Mined:
    """Hear all recordings to mine, but for those of the fold that the head does not learn from.

    A recording that cannot be read is counted; raises `RunError` if none can be, and `StoppedError` once `stopping` is set.
    """
    heard: dict[Path, Tally] = {}
    hardest, problem = Hardest(MINUTES * 60.0), ""
    for clip in tracked("hearing recordings to mine", mine, len(mine)):
        if stopping.is_set():
            raise StoppedError("Stopped while recordings to mine were heard.")
        if mine.fold_of(clip) == held_out:
            continue
        tally = heard.setdefault(clip.manifest, Tally())
        try:
            found = [one for part in equal_parts(clip, math.ceil(clip.duration / PART_SECONDS)) for one in ear.hardest(part)]
        except (AudioError, OSError) as error:
            tally.unreadable += 1
            problem = problem or f"{clip.where}: {error}"
            continue
        tally.recordings += 1
        tally.hours += clip.duration / 3600.0
        for score, stretch in found:
            hardest.add(score, stretch)
    _check(heard, problem, log)
    for clip in hardest:
        heard[clip.manifest].mined_minutes += clip.duration / 60.0
    names = kind_names(heard)
    mined = Mined([(clip, mine.fold_of(clip)) for clip in hardest], {names[place]: tally for place, tally in heard.items()})
    mined.describe(log)
    return mined


def _check(heard: Mapping[Path, Tally], problem: str, log: Log) -> None:
    """Log that recordings could not be read, with the first problem; raises `RunError` if none could be."""
    total = _sum(heard.values())
    if problem and not total.recordings:
        raise RunError(
            f"{none_can_be_used(total.unreadable, 'recording to mine')}; the first: {problem} Put them back and continue with --resume."
        )
    if problem:
        log(f"{counted(total.unreadable, 'recording')} to mine could not be read; the first: {problem}")


def _sum(heard: Iterable[Tally]) -> Tally:
    """The tallies of all manifests together."""
    tallies = list(heard)
    return Tally(**{one.name: sum(getattr(tally, one.name) for tally in tallies) for one in fields(Tally)})
