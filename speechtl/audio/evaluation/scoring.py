"""Scores of streams, and the detections and false accepts that follow from them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from speechtl.audio.evaluation.streams import Passage
from speechtl.runtime.samples import SAMPLE_RATE, Doubles, Floats, Samples
from speechtl.runtime.trigger import GRACE, TriggerSettings, find_events, refractory_steps, smooth

BLOCK = 30 * SAMPLE_RATE  # samples that are scored together: a network computes what precedes each block again


class Hears(Protocol):
    """What gives the scores of a stream: a `Scorer`, or whatever stands for one."""

    words: int

    @property
    def step_seconds(self) -> float:
        """The time between two scores."""

    def reset(self) -> None:
        """Begin a new stream."""

    def feed(self, samples: Samples) -> Floats:
        """The scores `(steps, words)` that the next samples complete."""

    def time(self, step: int) -> float:
        """The time of a score, in seconds from the start of the stream."""


@dataclass(frozen=True)
class PlayedWord:
    """Start and end of a word in a stream, in seconds, and the passage it belongs to."""

    start: float
    end: float
    passage: int


@dataclass
class ScoredStream:
    """The raw scores of a stream, with its words and passages."""

    scores: Floats
    times: Doubles
    step_seconds: float
    seconds: float  # of recordings without the word; the quiet between them, and around words, is not counted
    words: list[PlayedWord] = field(default_factory=list)
    passages: Sequence[tuple[float, str, float]] = ()  # start, file, and where its first sample would be (seconds)

    @property
    def hours(self) -> float:
        """The duration of audio without the word."""
        return self.seconds / 3600.0


@dataclass(frozen=True)
class Counts:
    """Detections and false accepts on a stream at one threshold."""

    detected: list[float | None]  # for each word the delay from its end to the event in seconds, or None: missed
    false_accepts: list[float]  # times in seconds


def score_stream(scorer: Hears, passages: Iterable[Passage], word: int = 0) -> ScoredStream:
    """Play passages as one stream and keep all scores of a word, the first by default."""
    scorer.reset()
    scores = [np.zeros((0, scorer.words), np.float32)]
    samples = scored = 0
    waiting: list[Samples] = []
    played: list[tuple[float, str, float]] = []
    stream = ScoredStream(np.zeros(0, np.float32), np.zeros(0), scorer.step_seconds, 0.0, passages=played)
    for index, passage in enumerate(passages):
        start = samples / SAMPLE_RATE
        clip = passage.recording.clip
        lead = passage.word[0] - passage.recording.word[0] if passage.word is not None else 0.0
        played.append((start, clip.audio_filepath, start + lead - clip.offset))
        if passage.word is not None:
            stream.words.append(PlayedWord(start + passage.word[0], start + passage.word[1], index))
        else:
            stream.seconds += passage.recording.seconds
        waiting.append(passage.samples)
        samples += len(passage.samples)
        if samples - scored >= BLOCK:
            scores.append(scorer.feed(np.concatenate(waiting)))
            scored = samples
            waiting.clear()
    scores.append(scorer.feed(np.concatenate([*waiting, np.zeros(0, np.float32)])))
    stream.scores = np.concatenate(scores)[:, word]
    stream.times = np.array([scorer.time(step) for step in range(len(stream.scores))])
    return stream


def count(stream: ScoredStream, settings: TriggerSettings) -> Counts:
    """Run the detector over the scores; each word counts once, every other event is a false accept.

    An event belongs to a word when it falls between the word's start and 1.5 s after its end.
    """
    smoothed = smooth(stream.scores, settings.smoothing)
    events = [
        float(stream.times[step]) for step in find_events(smoothed, settings.threshold, refractory_steps(settings, stream.step_seconds))
    ]
    detected: list[float | None] = []
    claimed: set[float] = set()
    for word in stream.words:
        own = [time for time in events if word.start <= time <= word.end + GRACE and time not in claimed]
        detected.append(own[0] - word.end if own else None)
        claimed.update(own[:1])
    return Counts(detected, [time for time in events if time not in claimed])
