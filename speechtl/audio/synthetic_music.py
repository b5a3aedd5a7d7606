"""Music that needs no recordings: chords, a melody, a bass and drums of a simple synthesiser."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from speechtl.audio.augment import Sound
from speechtl.runtime.samples import SAMPLE_RATE, Doubles, Samples

SECONDS = 16.0
PIECES = 12
SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 4, 7, 9))  # major, minor, pentatonic; semitones
PROGRESSIONS = ((0, 3, 4, 0), (0, 4, 5, 3), (5, 3, 0, 4), (0, 5, 3, 4), (1, 4, 0, 0))  # steps of the scale
MIDDLE_C = 261.63  # hertz


def with_synthetic_music(recorded: Sequence[Sound], seed: int) -> list[Sound]:
    """Recorded pieces, and as many synthetic ones; those alone where there are no recordings."""
    return [*recorded, *synthetic_music(seed, len(recorded) or PIECES)]


def synthetic_music(seed: int, pieces: int = PIECES) -> list[Samples]:
    """Short pieces in different keys, tempos and instruments."""
    return [_piece(np.random.default_rng([seed, 9, index])) for index in range(pieces)]


def _piece(random: np.random.Generator) -> Samples:
    beat = 60.0 / random.uniform(70.0, 150.0)
    scale = SCALES[int(random.integers(len(SCALES)))]
    key = MIDDLE_C * 2.0 ** (random.integers(-6, 6) / 12.0)
    progression = PROGRESSIONS[int(random.integers(len(PROGRESSIONS)))]
    parts = (_chords, _melody, _bass, _drums)
    mixed = np.zeros(int(SECONDS * SAMPLE_RATE))
    playing = [part for part in parts if random.random() < 0.75] or [_chords]
    for part in playing:
        mixed += random.uniform(0.4, 1.0) * part(random, beat, scale, key, progression)
    return np.asarray(0.1 * mixed / np.sqrt(np.mean(mixed**2)), np.float32)


Scale = tuple[int, ...]


def _pitch(scale: Scale, key: float, step: int) -> float:
    octave, within = divmod(step, len(scale))
    return key * 2.0 ** (octave + scale[within] / 12.0)


def _chords(random: np.random.Generator, beat: float, scale: Scale, key: float, progression: Scale) -> Doubles:
    timbre, track = _timbre(random), np.zeros(int(SECONDS * SAMPLE_RATE))
    length = beat * float(random.choice([1.0, 2.0, 4.0]))
    for number in range(int(SECONDS / length) + 1):
        root = progression[int(number * length / (4.0 * beat)) % len(progression)]
        for step in (root, root + 2, root + 4):
            _play(track, number * length, length, _pitch(scale, key, step), timbre)
    return track


def _melody(random: np.random.Generator, beat: float, scale: Scale, key: float, _progression: Scale) -> Doubles:
    timbre, track = _timbre(random), np.zeros(int(SECONDS * SAMPLE_RATE))
    time, step = 0.0, int(random.integers(len(scale)))
    while time < SECONDS:
        length = beat * float(random.choice([0.25, 0.5, 0.5, 1.0, 2.0]))
        step = int(np.clip(step + random.integers(-3, 4), -3, 12))
        if random.random() < 0.85:
            _play(track, time, length, 2.0 * _pitch(scale, key, step), timbre)
        time += length
    return track


def _bass(random: np.random.Generator, beat: float, scale: Scale, key: float, progression: Scale) -> Doubles:
    timbre, track = _timbre(random), np.zeros(int(SECONDS * SAMPLE_RATE))
    for number in range(int(SECONDS / beat) + 1):
        root = progression[number // 4 % len(progression)]
        _play(track, number * beat, beat, 0.25 * _pitch(scale, key, root), timbre)
    return track


def _drums(random: np.random.Generator, beat: float, _scale: Scale, _key: float, _progression: Scale) -> Doubles:
    track = np.zeros(int(SECONDS * SAMPLE_RATE))
    for number in range(int(2 * SECONDS / beat)):
        kind = "kick" if number % 4 == 0 else "snare" if number % 4 == 2 else "hat"
        length = {"kick": 0.15, "snare": 0.2, "hat": 0.05}[kind]
        time = np.arange(int(length * SAMPLE_RATE)) / SAMPLE_RATE
        noise = random.standard_normal(len(time))
        sound = np.sin(2 * np.pi * 60.0 * time) if kind == "kick" else np.diff(noise, prepend=0.0) if kind == "hat" else noise
        _add(track, number * beat / 2.0, 1.5 * sound * np.exp(-time / (length / 4.0)))
    return track


def _timbre(random: np.random.Generator) -> tuple[Doubles, float, float]:
    """Amplitudes of the partials, and the times in which a note rises and falls."""
    count = int(random.integers(3, 12))
    amplitudes = np.arange(1, count + 1) ** -random.uniform(0.5, 2.0) * random.uniform(0.3, 1.0, count)
    return amplitudes, random.uniform(0.002, 0.08), random.uniform(0.1, 1.5)


def _play(track: Doubles, start: float, length: float, hertz: float, timbre: tuple[Doubles, float, float]) -> None:
    amplitudes, rise, fall = timbre
    time = np.arange(int(length * SAMPLE_RATE)) / SAMPLE_RATE
    audible = amplitudes[: max(int(7000.0 / hertz), 1)]
    tone = np.sum([level * np.sin(2 * np.pi * hertz * order * time) for order, level in enumerate(audible, 1)], axis=0)
    end = np.minimum((length - time) / 0.01, 1.0)  # no click
    _add(track, start, tone * np.minimum(time / rise, 1.0) * np.exp(-time / fall) * end)


def _add(track: Doubles, start: float, sound: Doubles) -> None:
    first = int(start * SAMPLE_RATE)
    kept = sound[: max(len(track) - first, 0)]
    track[first : first + len(kept)] += kept
