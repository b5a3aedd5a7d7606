"""The scores of all negatives, as one stream in which only the moments that matter are left."""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt

from speechtl import __version__
from speechtl.audio.data.manifest import Clip
from speechtl.audio.data.recordings import OnDisk, Recording, none_left
from speechtl.audio.evaluation.hours.hearing import AFTER, Ears
from speechtl.audio.evaluation.hours.kept import Kept, alone_with, workshop
from speechtl.audio.evaluation.hours.listed import Listed
from speechtl.audio.evaluation.hours.listing import list_negatives
from speechtl.audio.evaluation.hours.parts import Heard, Parts
from speechtl.audio.evaluation.hours.processes import Hearing, cores, local
from speechtl.audio.evaluation.hours.steps import widened
from speechtl.audio.evaluation.material import Plan
from speechtl.audio.evaluation.model import Model
from speechtl.audio.evaluation.scoring import ScoredStream
from speechtl.errors import MissingExtraError, StoppedError
from speechtl.files import sha256_of
from speechtl.progress import Log, progress
from speechtl.runtime.bundle.wake_word import open_bundle
from speechtl.runtime.engine.select import Engine
from speechtl.runtime.samples import SAMPLE_RATE, Doubles, Floats
from speechtl.runtime.trigger import refractory_steps
from speechtl.text import first_few
from speechtl.versions import version_of

LIST = "negatives.jsonl"
BELOW = 1e-4  # of a threshold: the mean of lower scores may be rounded up to it


@dataclass(frozen=True)
class Machines:
    """What hears the negatives: processes of this machine, by default one a core, or the workers of a Dask scheduler."""

    jobs: int | None = None
    scheduler: str | None = None

    def hearing(self, ears: Ears, seconds: float, note: Log) -> AbstractContextManager[Hearing]:
        """The function that hears parts."""
        if self.scheduler is None:
            return local(ears, self.jobs or cores(), seconds)
        if find_spec("distributed") is None:
            raise MissingExtraError("A Dask cluster", "cluster")
        from speechtl.audio.evaluation.hours.cluster import on_cluster

        return on_cluster(self.scheduler, ears, note)


@contextmanager
def hear_negatives(
    plan: Plan,
    model: Model,
    apart: Sequence[Recording],
    lowest: float,
    machines: Machines,
    note: Log,
    check: Callable[[Iterable[Clip]], None] = lambda listed: None,
) -> Iterator[tuple[Sequence[Recording], ScoredStream]]:
    """The negatives of a plan and their scores, exact for thresholds from `lowest` up; both until the block ends.

    What was heard is kept when the block raises an error. `check` is called before anything is heard.
    """
    with workshop(note) as folder:
        new = Path(tempfile.mkdtemp(prefix="new-", dir=folder))
        try:
            listed = list_negatives(new / LIST, plan, model, apart, note)
            check(listed)
            ears = ears_of(model, lowest, sha256_of(new / LIST))
            if not (folder / ears.key).exists():
                new.rename(folder / ears.key)
        finally:
            shutil.rmtree(new, ignore_errors=True)
        listed.path = folder / ears.key / LIST
        parts = Parts(listed)
        with alone_with(folder / ears.key, len(parts)) as kept:
            try:
                _hear(parts, kept, machines, ears, note)
                yield _joined(listed, kept, model, ears.reach, note)
            except KeyboardInterrupt:
                raise StoppedError("Stopped. What was heard is kept, and the same command continues from here.") from None


def ears_of(model: Model, lowest: float, recordings: str) -> Ears:
    """What the processes need, with a key that is the hash of everything on which their answers depend."""
    floor = lowest * (1.0 - BELOW)
    reach = model.trigger.smoothing + refractory_steps(model.trigger, model.scorer.step_seconds)
    engine, path, content, wide = model.scorer.engine, model.path, None, None
    if isinstance(engine, Engine):
        bundle = open_bundle(path)
        path, content, wide = bundle.path, bundle.path.read_bytes(), widened(bundle, engine)
        of_model = [sha256_of(content), engine.graph, engine.runtime, version_of(engine.runtime), wide is None]
    else:
        of_model = [sha256_of(file) for file in sorted(path.iterdir()) if file.is_file()]
    key = sha256_of(json.dumps([__version__, of_model, model.column, floor, reach, AFTER, recordings]).encode())[:32]
    graph, runtime = (engine.graph, engine.runtime) if isinstance(engine, Engine) else (None, None)
    return Ears(__version__, key, path.resolve(), content, graph, runtime, wide, model.column, floor, reach)


def _hear(parts: Parts, kept: Kept, machines: Machines, ears: Ears, note: Log) -> None:
    """Hear the parts that were not heard yet."""
    missing = kept.missing()
    total, left = (sum(map(parts.seconds, numbers)) for numbers in (range(len(parts)), missing))
    if len(missing) < len(parts):
        note(f"{(total - left) / 3600.0:.2f} of {total / 3600.0:.2f} hours of the negatives were heard before, and are not heard again.")
    if not missing:
        return
    with progress("playing negatives, minute") as advance:
        done = total - left
        advance(_minutes(done), _minutes(total))
        with machines.hearing(ears, left, note) as hear:
            for heard in hear(parts[number] for number in missing):
                kept.add(heard)
                done += parts.seconds(heard.number)
                advance(_minutes(done), _minutes(total))


def _minutes(seconds: float) -> int:
    return math.ceil(round(seconds, 3) / 60.0)


class HeardRecordings(Sequence[Recording]):
    """The recordings that were heard, each made from its line when it is asked for."""

    def __init__(self, listed: Listed, indices: npt.NDArray[np.int64], seconds: Doubles) -> None:
        self._listed, self._indices, self._seconds = listed, indices, seconds

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, number: int) -> Recording:  # type: ignore[override]  # no slices of it are needed
        if not 0 <= number < len(self):
            raise IndexError(number)
        clip, seconds = self._listed.clip(int(self._indices[number])), float(self._seconds[number])
        assert clip.path is not None
        pcm = OnDisk(clip.path, clip.offset, clip.duration or None, round(seconds * SAMPLE_RATE), clip.channel)
        return Recording(clip, pcm, (0.0, seconds))


class Passages(Sequence[tuple[float, str, float]]):
    """Where each recording begins in the stream, as in `ScoredStream.passages`."""

    def __init__(self, recordings: HeardRecordings, starts: Doubles) -> None:
        self._recordings, self._starts = recordings, starts

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, number: int) -> tuple[float, str, float]:  # type: ignore[override]
        start, clip = float(self._starts[number]), self._recordings[number].clip
        return start, clip.audio_filepath, start - clip.offset


@dataclass
class _Joined:
    """The parts of a stream."""

    first_time: float  # of a recording's first score, after its start
    step_seconds: float
    reach: int
    now: float = 0.0  # seconds, where the next recording begins
    scores: list[Floats] = field(default_factory=lambda: [np.zeros(0, np.float32)])
    times: list[Doubles] = field(default_factory=lambda: [np.zeros(0)])
    starts: list[Doubles] = field(default_factory=lambda: [np.zeros(0)])
    seconds: list[Doubles] = field(default_factory=lambda: [np.zeros(0)])
    indices: list[npt.NDArray[np.int64]] = field(default_factory=lambda: [np.zeros(0, np.int64)])

    def add(self, heard: Heard) -> None:
        """Add a part; `reach` steps of silence before the scores of each recording make it a stream of its own."""
        lengths = np.where(np.isnan(heard.seconds), 0.0, heard.seconds + AFTER)
        starts = self.now + np.cumsum(lengths) - lengths
        self.now += float(lengths.sum())
        times = np.repeat(starts, heard.counts) + self.first_time + heard.steps * self.step_seconds
        begins = (np.cumsum(heard.counts) - heard.counts)[heard.counts > 0]
        silences = np.repeat(begins, self.reach)
        self.scores.append(np.insert(heard.scores, silences, 0.0))
        self.times.append(np.insert(times, silences, np.repeat(starts[heard.counts > 0], self.reach)))
        played = ~np.isnan(heard.seconds)
        self.starts.append(starts[played])
        self.seconds.append(heard.seconds[played])
        self.indices.append(heard.first + np.flatnonzero(played))


def _joined(listed: Listed, kept: Kept, model: Model, reach: int, note: Log) -> tuple[HeardRecordings, ScoredStream]:
    """The recordings that were heard and their stream; those that were skipped are noted."""
    scorer = model.scorer
    scorer.reset()
    made, skipped = _Joined(scorer.time(0), scorer.step_seconds, reach), []
    for heard in kept:
        made.add(heard)
        skipped += [one.why for one in heard.skipped]
    if len(skipped) == len(listed):
        raise none_left(len(listed), listed.clip(0).manifest, skipped)
    for problem in first_few(skipped):
        note(f"Skipped: {problem}")
    seconds = np.concatenate(made.seconds)
    recordings = HeardRecordings(listed, np.concatenate(made.indices), seconds)
    scores, times, starts = np.concatenate(made.scores), np.concatenate(made.times), np.concatenate(made.starts)
    passages = Passages(recordings, starts)
    return recordings, ScoredStream(scores, times, scorer.step_seconds, float(seconds.sum()), passages=passages)
