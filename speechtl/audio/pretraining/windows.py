"""Windows of one length, packed with utterances in random order, in several copies, and what the teacher hears in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from speechtl.audio.augment import Augmenter, at_level, change_speed
from speechtl.audio.data.align import find_word
from speechtl.audio.evaluation.streams import quiet
from speechtl.audio.pretraining.utterances import Utterance
from speechtl.errors import AudioError
from speechtl.runtime.features import LogMel, LogMelSettings
from speechtl.runtime.samples import SAMPLE_RATE, Samples

Floats = npt.NDArray[np.float32]
Words = list[tuple[int, int]]  # classes and the log-mel frames at which they end
Teacher = Callable[[Samples], Floats]  # samples to embeddings (steps, size)

LEAD = 1.5  # seconds before the first utterance: what the first outputs see
SECONDS = 20.0  # of a window
PAUSES = (0.05, 0.45)  # seconds between two utterances
LEVELS = (-32.0, -20.0)  # dB of full scale, of an utterance's loudest frames before augmentation
LONGEST = (SECONDS - LEAD) / 1.15  # seconds of an utterance, with room for slower speech


@dataclass(frozen=True)
class Window:
    """Utterances that follow each other; `phones` are all of theirs, or None where one has none."""

    utterances: tuple[Utterance, ...]
    seed: tuple[int, ...]

    @property
    def phones(self) -> list[int] | None:
        """Return what is said in the window."""
        if any(utterance.phones is None for utterance in self.utterances):
            return None
        return [phone for utterance in self.utterances for phone in utterance.phones or ()]


@dataclass(frozen=True)
class Rendered:
    """What is heard in a window: features `(copies, frames, bands)`, the teacher's embeddings `(steps, size)`, phones and words."""

    features: Floats
    heard: Floats
    phones: list[int] | None
    words: Words


def pack(utterances: Sequence[Utterance], repeats: Callable[[Utterance], int], seed: int, number: int) -> list[Window]:
    """Return windows that hold every utterance `repeats` times, in an order that depends on seed and number."""
    windows: list[Window] = []
    for kind in (True, False):
        several = [utterance for utterance in utterances if (utterance.phones is not None) is kind for _ in range(repeats(utterance))]
        random = np.random.default_rng([seed, number, kind])
        held: list[Utterance] = []
        seconds = LEAD
        for index in random.permutation(len(several)):
            needed = several[index].clip.duration * 1.05 + sum(PAUSES) / 2
            if held and seconds + needed > SECONDS:
                windows.append(Window(tuple(held), (seed, number, len(windows))))
                held, seconds = [], LEAD
            held.append(several[index])
            seconds += needed
        if held:
            windows.append(Window(tuple(held), (seed, number, len(windows))))
    order = np.random.default_rng([seed, number, 2]).permutation(len(windows))
    return [windows[index] for index in order]


class Renderer:
    """Make a window's features in several copies, and the teacher's embeddings of the undisturbed sound."""

    def __init__(
        self, augmenter: Augmenter, features: LogMelSettings, teacher: Teacher | None, copies: int, on_skip: Callable[[str], None]
    ) -> None:
        self.augmenter = augmenter
        self.log_mel = LogMel(features)
        self.teacher = teacher
        self.copies = copies
        self.on_skip = on_skip

    def __call__(self, window: Window) -> Rendered:
        """Return what is heard in a window.

        An utterance that a faster or slower voice pushes over the window's end takes the phones of the window with it.
        """
        random = np.random.default_rng(window.seed)
        tape, phones, words = self._tape(window, random)
        heard = self.teacher(tape) if self.teacher else np.zeros((0, 0), np.float32)
        copies = [self.log_mel.compute(self.augmenter(tape, random)) for _ in range(self.copies)]
        return Rendered(np.stack(copies), heard, phones, words)

    def _tape(self, window: Window, random: np.random.Generator) -> tuple[Samples, list[int] | None, Words]:
        tape = quiet(int(SECONDS * SAMPLE_RATE), random)
        at = int(LEAD * SAMPLE_RATE)
        phones = window.phones
        words: Words = []
        for utterance in window.utterances:
            try:
                samples = utterance.pcm()
            except AudioError as error:  # the window stays, without its text
                self.on_skip(str(error))
                phones = None
                continue
            sound = change_speed(samples, self.augmenter.speed(random))
            if utterance.word is not None and (limits := find_word(samples)):
                end = at + limits[1] * SAMPLE_RATE * len(sound) / len(samples)
                if end < len(tape):
                    words.append((utterance.word, round(end / self.log_mel.settings.hop)))
            if at + len(sound) > len(tape):
                sound, phones = sound[: len(tape) - at], None
            tape[at : at + len(sound)] += at_level(sound, random.uniform(*LEVELS))
            at += len(sound) + int(random.uniform(*PAUSES) * SAMPLE_RATE)
            if at >= len(tape):
                break
        return np.clip(tape, -1.0, 1.0), phones, words
