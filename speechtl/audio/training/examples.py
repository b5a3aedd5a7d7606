"""Training examples of one length: the word in background, and windows of all negatives.

A round is one pass over the recordings, newly augmented: each positive clip `repeats` times, and all negatives in random order,
joined and cut into windows that overlap by the context that the network needs before its first score.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from speechtl.audio.augment import Augmenter, Drawing, Sound, change_speed
from speechtl.audio.data.recordings import Recording
from speechtl.audio.training.kinds import by_kind, shares
from speechtl.audio.training.mining import Moment
from speechtl.audio.training.surroundings import Surroundings
from speechtl.progress import tracked
from speechtl.runtime.features import Features, front_end
from speechtl.runtime.samples import SAMPLE_RATE, Floats, Samples

SECONDS = 4.0  # of an example, unless one score needs nearly that much context
ROOM = 1.5  # seconds beyond the context of one score, at least
TAIL = 0.5  # seconds after a word, at least
TAPE_SECONDS = 3600.0  # of negatives in a round at most, drawn again for each round
MOST_POSITIVES = 4096  # examples of the word in a round, drawn again for each round if there are more; an epoch takes about 2,000
FADE = SAMPLE_RATE // 50  # samples
EQUAL_TAKES = 10  # real takes that have as many examples as all synthesised ones together


@dataclass(frozen=True)
class Example:
    """Samples of one example, from recordings of one fold; `word` is the start and end of the word in seconds, None for negatives."""

    samples: Samples
    fold: int
    word: tuple[float, float] | None = None


class _Rendered(NamedTuple):
    """An example as a round stores it: features take a fifth of the memory of samples."""

    features: Floats
    word: tuple[float, float]
    fold: int


@dataclass(frozen=True)
class Round:
    """Examples of a round: features `(examples, frames, bands)`, start and end of the words (NaN for negatives), and folds."""

    features: Floats
    words: Floats  # (examples, 2) seconds
    folds: npt.NDArray[np.int64]  # of the recordings in each example

    def part(self, chosen: slice) -> Round:
        """Some of the examples."""
        return Round(self.features[chosen], self.words[chosen], self.folds[chosen])


class ExampleMaker:
    """Renders rounds from recordings. A round depends only on the seed and its number, and its negatives on no positive."""

    def __init__(
        self,
        positives: Sequence[Recording],
        negatives: Sequence[Recording],
        augmenter: Augmenter,
        features: Features,
        context_seconds: float,
        *,
        music: Sequence[Sound] = (),
        repeats: int = 2,
        partial: float = 0.15,
        seed: int = 0,
    ) -> None:
        self.positives = positives
        self.negatives = negatives
        recorded = [recording for recording in negatives if not recording.synthesised] or negatives
        self.by_fold = _by_fold(recorded)
        self.spoken = _by_fold([recording for recording in negatives if recording.synthesised] if recorded is not negatives else ())
        self.augmenter = augmenter
        self.surroundings = Surroundings(augmenter.noises, music, self.by_fold, augmenter.rooms, seed)
        self.front_end = front_end(features)
        self.context = context_seconds
        self.repeats = repeats
        self.partial = partial
        self.seed = seed
        self.seconds = max(SECONDS, context_seconds + ROOM)
        self.length = int(self.seconds * SAMPLE_RATE)

    def render_positives(self, number: int, workers: int = 2) -> Round:
        """Every positive of round `number`, `repeats` times; examples with only the beginning of the word are negatives.

        If there are more than `MOST_POSITIVES`, that many are drawn.
        """
        random = np.random.default_rng([self.seed, number, 4])
        chosen = weighed(self.positives, self.repeats, random)
        if len(chosen) > MOST_POSITIVES:
            chosen = [chosen[index] for index in np.sort(random.choice(len(chosen), MOST_POSITIVES, replace=False))]
        jobs = [(self.positives[place], index) for place, index in chosen]
        return self._render(jobs, (self.seed, number, 0), self.surroundings.behind(number, words=True), workers)

    def render_negatives(self, number: int, workers: int = 2) -> Round:
        """The windows of all recorded negatives of round `number`, which are the same for every word."""
        return self._render_tapes(self.by_fold, number, (self.seed, number), (self.seed, number, 1), workers)

    def render_spoken(self, number: int, workers: int = 2) -> Round:
        """The windows of all synthesised negatives of round `number`, where there are recorded ones, too."""
        return self._render_tapes(self.spoken, number, (self.seed, number, 8), (self.seed, number, 9), workers)

    def render_mined(self, number: int, mined: Sequence[Recording], workers: int = 2) -> Round:
        """The windows of what was mined, in round `number`."""
        return self._render_tapes(_by_fold(mined), number, (self.seed, number, 10), (self.seed, number, 11), workers)

    def _render_tapes(
        self, by_fold: Mapping[int, list[Recording]], number: int, order: tuple[int, ...], seed: tuple[int, ...], workers: int
    ) -> Round:
        random = np.random.default_rng(order)
        windows = [window for fold, negatives in sorted(by_fold.items()) for window in self._tape(fold, negatives, random)]
        behind = self.surroundings.behind(number, words=False)
        return self._render([(window, index) for index, window in enumerate(windows)], seed, behind, workers)

    def render_hard(self, number: int, moments: Sequence[Moment], workers: int = 2) -> Round:
        """A window around each of some moments of the negatives, in round `number`."""
        jobs = [(self._around(moment, np.random.default_rng([self.seed, number, 7, index])), index) for index, moment in enumerate(moments)]
        return self._render(jobs, (self.seed, number, 6), self.surroundings.behind(number, words=False), workers)

    def _render(
        self, jobs: Sequence[tuple[Recording | Example, int]], seed: tuple[int, ...], behind: Mapping[int, Drawing | None], workers: int
    ) -> Round:
        """Render recordings or examples, each with its number in the round as seed, before the backgrounds of its fold."""
        elsewhere = self.surroundings.drawing()
        frames = self.front_end.compute(np.zeros(self.length, np.float32))
        features = np.empty((len(jobs), *frames.shape), np.float32)
        words = np.empty((len(jobs), 2), np.float32)
        folds = np.empty(len(jobs), np.int64)
        with ThreadPoolExecutor(workers) as pool:
            backgrounds = (behind.get(job.fold, elsewhere) for job, _ in jobs)
            made = pool.map(self._render_one, (job for job, _ in jobs), ((*seed, number) for _, number in jobs), backgrounds)
            for index, example in enumerate(tracked("making examples", made, len(jobs))):
                features[index], words[index], folds[index] = example
        return Round(features, words, folds)

    def _render_one(self, job: Recording | Example, seed: tuple[int, ...], behind: Drawing | None) -> _Rendered:
        random = np.random.default_rng(seed)
        example = self._positive(job, random) if isinstance(job, Recording) else job
        features = self.front_end.compute(self.augmenter(example.samples, random, behind))
        return _Rendered(features, example.word or (np.nan, np.nan), example.fold)

    def _tape(self, fold: int, negatives: Sequence[Recording], random: np.random.Generator) -> list[Example]:
        """Windows of a fold's negatives, joined in random order, each slightly faster or slower, with short pauses between.

        If they are too long for a round, every kind has its share.
        """
        pieces: list[Samples] = [np.zeros(int(self.context * SAMPLE_RATE), np.float32)]
        seconds = {kind: sum(recording.seconds for recording in own) for kind, own in by_kind(negatives).items()}
        left = {kind: int(share * SAMPLE_RATE) for kind, share in shares(seconds, TAPE_SECONDS / len(self.by_fold)).items()}
        for index in random.permutation(len(negatives)):
            recording = negatives[index]
            length = min(len(recording.pcm), left[recording.clip.manifest])
            if length == 0:
                continue
            left[recording.clip.manifest] -= length
            start = int(random.integers(len(recording.pcm) - length + 1))  # of a longer recording a different part in every round
            pieces.append(change_speed(recording.samples(slice(start, start + length)), self.augmenter.speed(random)))
            pieces.append(np.zeros(int(random.uniform(0.0, 0.4) * SAMPLE_RATE), np.float32))
        pieces.append(np.zeros(self.length, np.float32))  # so that the last window is whole
        tape = np.concatenate(pieces)
        hop = self.length - int(self.context * SAMPLE_RATE)
        return [Example(tape[start : start + self.length], fold) for start in range(0, len(tape) - self.length, hop)]

    def _around(self, moment: Moment, random: np.random.Generator) -> Example:
        """The window of a recording that holds the moment where the network can score it."""
        recording = self.negatives[moment.recording]
        speed = self.augmenter.speed(random)
        start = int((moment.seconds - speed * random.uniform(self.context + 0.1, self.seconds - 0.1)) * SAMPLE_RATE)
        length = int(self.length * speed)
        samples = np.pad(recording.samples(slice(max(start, 0), max(start + length, 0))), (max(-start, 0), 0))
        tape = np.zeros(self.length, np.float32)
        heard = change_speed(samples, speed)[: self.length]
        tape[: len(heard)] = heard
        return Example(tape, recording.fold)

    def _positive(self, recording: Recording, random: np.random.Generator) -> Example:
        speed = self.augmenter.word_speed(random)
        clip = change_speed(recording.samples(), speed)
        start, end = (limit / speed for limit in recording.word)
        partial = random.random() < self.partial
        if partial:
            clip = _fade_out(clip[: int((start + random.uniform(0.3, 0.6) * (end - start)) * SAMPLE_RATE)])
        word_end = random.uniform(self.context + 0.05, self.seconds - TAIL)
        tape = self._background(self.by_fold.get(recording.fold, ()), random)
        offset = int((word_end - end) * SAMPLE_RATE)
        first, last = max(offset, 0), min(offset + len(clip), self.length)
        if first < last:  # nothing of a long or partial word may be left
            tape[first:last] = clip[first - offset : last - offset]
        return Example(tape, recording.fold, None if partial else (start + offset / SAMPLE_RATE, word_end))

    def _background(self, others: Sequence[Recording], random: np.random.Generator) -> Samples:
        """The background of a word's clip: silence, or other speech that begins at a random time."""
        tape = np.zeros(self.length, np.float32)
        if others and random.random() < 0.4:
            other = others[int(random.integers(len(others)))].samples()
            shift = int(random.integers(self.length))
            part = other[: self.length - shift]
            tape[shift : shift + len(part)] = part
        return tape


def _by_fold(recordings: Sequence[Recording]) -> dict[int, list[Recording]]:
    folds: dict[int, list[Recording]] = {}
    for recording in recordings:
        folds.setdefault(recording.fold, []).append(recording)
    return folds


def share_of_real(takes: int) -> float:
    """The share of real takes among the examples of the word, beside synthesised ones."""
    return takes / (takes + EQUAL_TAKES)


def weighed(positives: Sequence[Recording], repeats: int, random: np.random.Generator) -> list[tuple[int, int]]:
    """The index of a positive and a number of its own for each example of the word in a round: each positive `repeats` times.

    Where real takes and synthesised ones meet, each kind has its share of these examples, however many takes it has.
    """
    count = len(positives) * repeats
    real = [index for index, recording in enumerate(positives) if not recording.synthesised]
    synthesised = [index for index, recording in enumerate(positives) if recording.synthesised]
    if not real or not synthesised:
        return [(index % len(positives), index) for index in range(count)]
    of_real = round(share_of_real(len(real)) * count)
    chosen: list[int] = []
    for own, number in ((real, of_real), (synthesised, count - of_real)):
        whole, rest = divmod(number, len(own))
        chosen += own * whole + [own[index] for index in random.permutation(len(own))[:rest]]
    return [(place, index) for index, place in enumerate(chosen)]


def _fade_out(samples: Samples) -> Samples:
    samples = samples.copy()
    length = min(FADE, len(samples))
    samples[len(samples) - length :] *= np.linspace(1.0, 0.0, length, dtype=np.float32)
    return samples
