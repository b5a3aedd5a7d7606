"""Continuous audio to validate and evaluate on: words in a running stream, and hours without the word."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from speechtl.audio.augment import Sound, active_level, excerpt, in_room, mix, set_level
from speechtl.audio.data.recordings import Recording
from speechtl.runtime.samples import SAMPLE_RATE, Samples

BEFORE = 2.0  # seconds of background before a clip
AFTER = 2.0  # seconds after it
BETWEEN = 0.3  # seconds of quiet between negative clips
QUIET_DBFS = -75.0  # of the background of a quiet room


@dataclass(frozen=True)
class Condition:
    """The surroundings of words: a level, a room, noise at a signal-to-noise ratio, a line; or none of them."""

    name: str = "clean"
    snr_db: float | None = None
    noises: Sequence[Sound] = ()
    rooms: Sequence[Samples] = ()
    level_dbfs: float | None = None  # of the speech at the microphone, whose own noise stays the same
    channel: Callable[[Samples], Samples] | None = None  # keeps length and times


@dataclass(frozen=True)
class Passage:
    """A part of a stream; `word` is its start and end in it (seconds), if there is one."""

    recording: Recording
    samples: Samples
    word: tuple[float, float] | None = None


def words_in_background(recordings: Sequence[Recording], condition: Condition, seed: int) -> Iterator[Passage]:
    """Yield one passage a positive clip: background, the clip, background; together they are one running stream."""
    for index, recording in enumerate(recordings):
        random = np.random.default_rng([seed, index])
        clip = _spoken(recording, condition)
        before, after = (int(seconds * SAMPLE_RATE) for seconds in (BEFORE + random.uniform(0.0, 0.5), AFTER))
        samples = quiet(before + len(clip) + after, random)
        samples[before : before + len(clip)] += clip
        start, end = (limit + before / SAMPLE_RATE for limit in recording.word)
        yield Passage(recording, surround(samples, condition, random, active_level(clip)), (start, end))


def without_words(recordings: Sequence[Recording], condition: Condition, seed: int) -> Iterator[Passage]:
    """Yield the negatives as one running stream, with a short quiet between them."""
    for index, recording in enumerate(recordings):
        random = np.random.default_rng([seed, index])
        clip = _spoken(recording, condition)
        samples = np.concatenate([clip, quiet(int(BETWEEN * SAMPLE_RATE), random)])
        yield Passage(recording, surround(samples, condition, random, active_level(clip)))


def _spoken(recording: Recording, condition: Condition) -> Samples:
    clip = recording.samples()
    return clip if condition.level_dbfs is None else set_level(clip, condition.level_dbfs)


def surround(samples: Samples, condition: Condition, random: np.random.Generator, level: float) -> Samples:
    """Put samples into a condition; `level` is the speech's own active level."""
    if condition.rooms:
        samples = in_room(samples, condition.rooms[int(random.integers(len(condition.rooms)))])
    if condition.snr_db is not None and condition.noises:
        samples = mix(samples, excerpt(condition.noises, len(samples), random), condition.snr_db, level)
    return condition.channel(samples) if condition.channel else samples


def quiet(length: int, random: np.random.Generator) -> Samples:
    """The barely audible noise of a quiet room."""
    noise: Samples = random.standard_normal(length, dtype=np.float32)
    return noise * np.float32(10.0 ** (QUIET_DBFS / 20.0))
