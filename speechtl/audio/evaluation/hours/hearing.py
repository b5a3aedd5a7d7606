"""Hear a part: every recording as a stream of its own, which begins after silence and ends in half a second of quiet.

So what is found in a recording depends neither on its neighbours nor on who hears it. Events up to the end of the quiet count.
Of the scores, those are kept that can matter at the thresholds of a report, with their neighbours.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from speechtl import __version__
from speechtl.audio.data.manifest import TOLERANCE, Clip, fault, missing, resolve
from speechtl.audio.evaluation.hours.listed import clip_of
from speechtl.audio.evaluation.hours.parts import Heard, Part, Skipped
from speechtl.errors import AudioError, SpeechtlError
from speechtl.folders import is_file
from speechtl.runtime.bundle.wake_word import open_bundle
from speechtl.runtime.detector import Scorer
from speechtl.runtime.engine.select import open_engine
from speechtl.runtime.samples import SAMPLE_RATE, Floats, Samples, from_int16, to_int16
from speechtl.runtime.sound.files import read_blocks
from speechtl.text import none_can_be_used

AFTER = 0.5  # seconds of quiet after each recording: an event is heard about 0.2 s after what causes it
QUIET_DBFS = -75.0  # of a quiet room
BLOCK_SECONDS = 20.0
LEAST_GONE = 10  # recordings of a part that have all gone away: a disk that is not there any more


@dataclass(frozen=True)
class Ears:
    """What a process needs in order to hear a part."""

    version: str
    key: str  # a hash of the model and of everything else here
    model: Path  # a run, or a bundle
    bundle: bytes | None  # the bundle's content, for other machines
    graph: str | None  # of the bundle, and its runtime
    engine: str | None
    wide: bytes | None  # the graph for many steps at a time
    column: int  # of the scores
    floor: float  # a lower score matters at no threshold
    reach: int  # steps around a score that matters, which are kept, too

    def scorer(self) -> Scorer:
        """The scorer of the model."""
        if self.graph is None:
            from speechtl.audio.evaluation.model import open_model

            return open_model(self.model).scorer
        if self.bundle is None:
            return self._of_bundle(self.model)
        with tempfile.NamedTemporaryFile(suffix=".wake") as file:
            file.write(self.bundle)
            file.flush()
            return self._of_bundle(Path(file.name))

    def _of_bundle(self, path: Path) -> Scorer:
        from speechtl.audio.evaluation.hours.steps import ManySteps

        bundle = open_bundle(path)
        engine = open_engine(bundle, self.graph, self.engine)
        runs = engine if self.wide is None else ManySteps(self.wide, bundle, engine)
        return Scorer(bundle.features, bundle.frames_per_step, runs, len(bundle.words))


class Listener:
    """Hears parts, one at a time."""

    def __init__(self, ears: Ears) -> None:
        if ears.version != __version__:
            raise SpeechtlError(f"speechtl {ears.version} asks, and speechtl {__version__} is installed here; install the same everywhere.")
        self._ears = ears
        self._scorer = ears.scorer()

    def hear(self, part: Part) -> Heard:
        """The scores of a part's recordings; a recording that cannot be read is skipped."""
        seconds, kept, skipped = [], [], []
        for index, line in enumerate(part.lines, part.first):
            clip = clip_of(line)
            try:
                length, scores = self._play(clip)
            except (AudioError, OSError) as error:
                gone = isinstance(error, OSError) or (clip.path is not None and not is_file(clip.path))
                skipped.append(Skipped(index, f"{clip.where}: {missing(clip) if gone else error}", gone))
                length, scores = np.nan, np.zeros(0, np.float32)
            seconds.append(length)
            steps = matter(scores, self._ears.floor, self._ears.reach)
            kept.append((steps, scores[steps]))
        if len(skipped) >= LEAST_GONE and all(one.gone for one in skipped) and len(skipped) == len(part.lines):
            raise SpeechtlError(f"{none_can_be_used(len(skipped), 'recording')} any more; the first: {skipped[0].why}")
        return Heard(
            part.number,
            part.first,
            np.array(seconds),
            np.array([len(steps) for steps, _ in kept]),
            np.concatenate([steps for steps, _ in kept]).astype(np.int32),
            np.concatenate([scores for _, scores in kept]),
            skipped,
        )

    def _play(self, clip: Clip) -> tuple[float, Floats]:
        """The duration of a recording in seconds, and its scores; raises `AudioError`."""
        self._scorer.reset()
        length, scores = 0, [np.zeros((0, self._scorer.words), np.float32)]
        for block in _blocks(clip):
            length += len(block)
            scores.append(self._scorer.feed(block))
        length -= len(_QUIET)
        if length <= 0:
            raise AudioError(f"{clip.path} is too short: at {SAMPLE_RATE} Hz nothing is left of it.")
        if length / SAMPLE_RATE < clip.duration - TOLERANCE and (problem := fault(clip)):
            raise AudioError(problem)
        return length / SAMPLE_RATE, np.concatenate(scores)[:, self._ears.column]


def _blocks(clip: Clip) -> Iterator[Samples]:
    """The samples of a recording, and the quiet after it."""
    path = clip.path if clip.path is not None and is_file(clip.path) else resolve(replace(clip, path=None))
    if path is None:
        raise AudioError(f"{clip.path} does not exist.")
    waiting: list[Samples] = []
    for block in read_blocks(path, clip.offset, clip.duration or None, BLOCK_SECONDS, clip.channel):
        yield from waiting
        waiting = [from_int16(to_int16(block))]
    yield np.concatenate([*waiting, _QUIET])


_QUIET = np.random.default_rng(1).standard_normal(round(AFTER * SAMPLE_RATE), dtype=np.float32) * np.float32(10.0 ** (QUIET_DBFS / 20.0))


def matter(scores: Floats, floor: float, reach: int) -> npt.NDArray[np.int64]:
    """The steps at most `reach` away from a score of at least `floor`."""
    high = np.flatnonzero(scores >= floor)
    edges = np.zeros(len(scores) + 1, np.int64)
    np.add.at(edges, np.maximum(high - reach, 0), 1)
    np.add.at(edges, np.minimum(high + reach + 1, len(scores)), -1)
    return np.flatnonzero(np.cumsum(edges[:-1]) > 0)


def hear(ears: Ears, part: Part) -> Heard:
    """Hear a part with this thread's listener for these ears."""
    if getattr(_here, "key", None) != ears.key:
        _here.listener, _here.key = Listener(ears), ears.key
    listener: Listener = _here.listener
    return listener.hear(part)


_here = threading.local()
