"""Training examples of one length: the word after a stretch of background, and windows of everything else.

A round is one pass over the recordings in a new guise: each positive clip `repeats` times, and all negatives played
as one tape in random order, cut into windows that overlap by what the network needs to see before its first score.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from speechtl.audio.augment import Augmenter, change_speed
from speechtl.audio.recordings import Recording
from speechtl.runtime.features import LogMel, LogMelSettings
from speechtl.runtime.samples import SAMPLE_RATE, Samples

Floats = npt.NDArray[np.float32]

SECONDS = 4.0  # of an example
TAIL = 0.5  # seconds that stand behind a word at least
TAPE_SECONDS = 3600.0  # of negatives in a round at most, drawn anew for each
FADE = SAMPLE_RATE // 50  # samples


@dataclass(frozen=True)
class Example:
    """Samples of one example; for positives the word's limits in seconds, else None."""

    samples: Samples
    word: tuple[float, float] | None = None


@dataclass(frozen=True)
class Round:
    """A round of examples as features `(examples, frames, bands)` and the words' limits, NaN for negatives."""

    features: Floats
    words: Floats  # (examples, 2) seconds


class ExampleMaker:
    """Render rounds from recordings; what a round holds depends on the seed and its number alone."""

    def __init__(
        self,
        positives: Sequence[Recording],
        negatives: Sequence[Recording],
        augmenter: Augmenter,
        features: LogMelSettings,
        context_seconds: float,
        *,
        repeats: int = 2,
        partial: float = 0.15,
        seed: int = 0,
    ) -> None:
        self.positives = positives
        self.negatives = negatives
        self.augmenter = augmenter
        self.log_mel = LogMel(features)
        self.context = context_seconds
        self.repeats = repeats
        self.partial = partial
        self.seed = seed
        self.length = int(SECONDS * SAMPLE_RATE)

    def render(self, number: int, workers: int = 2) -> Round:
        """Return round `number`."""
        windows = self._tape(np.random.default_rng([self.seed, number]))
        jobs: list[Recording | Samples] = [*list(self.positives) * self.repeats, *windows]
        with ThreadPoolExecutor(workers) as pool:
            rendered = list(pool.map(self._render_one, jobs, range(len(jobs)), [number] * len(jobs)))
        features = np.stack([frames for frames, _ in rendered])
        return Round(features, np.array([word or (np.nan, np.nan) for _, word in rendered], np.float32))

    def _render_one(self, job: Recording | Samples, index: int, number: int) -> tuple[Floats, tuple[float, float] | None]:
        random = np.random.default_rng([self.seed, number, index])
        example = self._positive(job, random) if isinstance(job, Recording) else Example(job)
        return self.log_mel.compute(self.augmenter(example.samples, random)), example.word

    def _tape(self, random: np.random.Generator) -> list[Samples]:
        """Return windows over all negatives in random order, each a little faster or slower, with short pauses between."""
        pieces: list[Samples] = [np.zeros(int(self.context * SAMPLE_RATE), np.float32)]
        seconds = 0.0
        for index in random.permutation(len(self.negatives)):
            seconds += self.negatives[index].seconds
            if seconds > TAPE_SECONDS:
                break
            pieces.append(change_speed(self.negatives[index].samples(), self.augmenter.speed(random)))
            pieces.append(np.zeros(int(random.uniform(0.0, 0.4) * SAMPLE_RATE), np.float32))
        tape = np.concatenate(pieces)
        hop = self.length - int(self.context * SAMPLE_RATE)
        return [tape[start : start + self.length] for start in range(0, len(tape) - self.length, hop)]

    def _positive(self, recording: Recording, random: np.random.Generator) -> Example:
        speed = self.augmenter.speed(random)
        clip = change_speed(recording.samples(), speed)
        start, end = (limit / speed for limit in recording.word)
        partial = random.random() < self.partial
        if partial:
            clip = _fade_out(clip[: int((start + random.uniform(0.3, 0.6) * (end - start)) * SAMPLE_RATE)])
        word_end = random.uniform(self.context + 0.05, SECONDS - TAIL)
        tape = self._background(random)
        offset = int((word_end - end) * SAMPLE_RATE)
        first, last = max(offset, 0), min(offset + len(clip), self.length)
        tape[first:last] = clip[first - offset : last - offset]
        return Example(tape, None if partial else (start + offset / SAMPLE_RATE, word_end))

    def _background(self, random: np.random.Generator) -> Samples:
        """Return what stands around a word's clip: nothing, or other speech that ends somewhere."""
        tape = np.zeros(self.length, np.float32)
        if self.negatives and random.random() < 0.4:
            other = self.negatives[int(random.integers(len(self.negatives)))].samples()
            shift = int(random.integers(self.length))
            kept = other[: self.length - shift]
            tape[shift : shift + len(kept)] = kept
        return tape


def _fade_out(samples: Samples) -> Samples:
    samples = samples.copy()
    length = min(FADE, len(samples))
    samples[len(samples) - length :] *= np.linspace(1.0, 0.0, length, dtype=np.float32)
    return samples
