"""What is heard behind a voice, by kind: noise, one other talker, several talkers (babble), music."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from speechtl.audio.augment import Sound, at_level, excerpt
from speechtl.audio.data.recordings import RecordedSound, Recording
from speechtl.runtime.samples import SAMPLE_RATE, Samples

SECONDS = 20.0  # of a mixture of talk
BABBLE = (2, 8)  # talkers
SPREAD_DB = 4.0  # talkers of a mixture are louder or quieter than each other by up to this much
PAUSE_SECONDS = 0.3  # between two sentences of a talker, on average
LEVEL_DBFS = -26.0  # of a talker


@dataclass(frozen=True)
class Background:
    """Sounds of one kind; `share` is how often it is drawn relative to other kinds, at a signal-to-noise ratio between two limits."""

    name: str
    sounds: Sequence[Sound]
    share: float = 1.0
    snr_db: tuple[float, float] = (-5.0, 20.0)


def talkers(recordings: Iterable[Recording]) -> list[list[Recording]]:
    """Recordings by speaker; one without a name of the speaker counts as a speaker of its own."""
    by_person: dict[str, list[Recording]] = {}
    for index, recording in enumerate(recordings):
        by_person.setdefault(recording.clip.person or f"{index}", []).append(recording)
    return list(by_person.values())


def talk(people: Sequence[Sequence[Recording]], voices: int, random: np.random.Generator, seconds: float = SECONDS) -> Samples:
    """Several people (as many as there are, at most `voices`) who talk at the same time, sentence after sentence."""
    length = int(seconds * SAMPLE_RATE)
    drawn = random.permutation(len(people))[:voices]
    together = np.zeros(length, np.float32)
    for index in drawn:
        together += at_level(_sentences(people[index], length, random), LEVEL_DBFS + random.uniform(-SPREAD_DB, SPREAD_DB))
    return together


def mixtures(people: Sequence[Sequence[Recording]], voices: tuple[int, int], count: int, random: np.random.Generator) -> list[Samples]:
    """Mixtures of talk of `voices` people, from the first number to the second."""
    return [talk(people, int(random.integers(voices[0], voices[1] + 1)), random) for _ in range(count)]


def _sentences(recordings: Sequence[Recording], length: int, random: np.random.Generator) -> Samples:
    """Sentences of one talker, from a random moment of the first."""
    parts: list[Samples] = []
    missing = length
    sounds = [RecordedSound(recording) for recording in recordings]
    while missing > 0:
        sound = sounds[int(random.integers(len(sounds)))]
        first = int(random.integers(len(sound))) if not parts else 0
        part = at_level(sound[first : first + missing], LEVEL_DBFS)
        pause = np.zeros(int(random.exponential(PAUSE_SECONDS) * SAMPLE_RATE), np.float32)
        parts += [part, pause]
        missing -= len(part) + len(pause)
    return np.concatenate(parts)[:length]


def drawn(backgrounds: Sequence[Background], length: int, random: np.random.Generator) -> tuple[Samples, float]:
    """An excerpt of a background, its kind drawn by share, and the signal-to-noise ratio in dB."""
    shares = np.array([background.share for background in backgrounds])
    chosen = backgrounds[int(random.choice(len(backgrounds), p=shares / shares.sum()))]
    return excerpt(chosen.sounds, length, random), float(random.uniform(*chosen.snr_db))
