"""Augmentation of recordings: rooms, noises, distances, microphones and speeds.

All random choices come from a generator that is passed in, so the same seed gives the same sound.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt
import soxr
from scipy.fft import irfft, next_fast_len, rfft, rfftfreq

from speechtl.runtime.samples import SAMPLE_RATE, Doubles, Samples

if TYPE_CHECKING:
    from torch import Tensor

FRAME = SAMPLE_RATE // 50  # samples: 20 ms, for levels
ACTIVE_RANGE = 20.0  # dB below the loudest frame that count as speech
ROOM_SECONDS = 0.5
REFLECTIONS = 6  # of a simulated sound on its way, at most, before reflections are so dense that they are noise
LATE_WINDOW = SAMPLE_RATE // 50  # samples before late reflections, which give their level
HIGH_DECAY = 0.6  # of the reverberation time, above 2 kHz: air and furniture absorb more there


class Sound(Protocol):
    """Samples that may be read in parts."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> Samples: ...


Drawing = Callable[[int, np.random.Generator], tuple[Samples, float]]  # a number of samples to a background and its ratio in dB


@dataclass(frozen=True)
class AugmentSettings:
    """Probabilities and ranges of augmentation."""

    noise_probability: float = 0.85
    snr_db: tuple[float, float] = (-5.0, 20.0)
    room_probability: float = 0.5
    level_dbfs: tuple[float, float] = (-45.0, -12.0)  # of the loudest frames, set last
    tilt_db: float = 6.0  # of a random slope over the band, up or down, as microphones have
    speed: tuple[float, float] = (0.88, 1.14)
    word_speed: tuple[float, float] = (0.7, 1.15)  # of the word, in addition: some people take twice as long as others
    speed_probability: float = 0.5  # of either


def active_level(samples: Samples) -> float:
    """RMS of the frames within 20 dB of the loudest 20 ms frame: the level of a sound without its pauses."""
    frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME)
    if len(frames) == 0:
        return float(np.sqrt(np.mean(samples**2))) if len(samples) else 0.0
    power = np.mean(frames.astype(np.float64) ** 2, axis=1)
    return float(np.sqrt(power[power >= power.max() * 10.0 ** (-ACTIVE_RANGE / 10.0)].mean()))


def mix(speech: Samples, noise: Samples, snr_db: float, speech_level: float | None = None) -> Samples:
    """Speech with noise of the same length; the active level of the speech is `snr_db` above that of the noise.

    Both levels exclude pauses: a single bark at 10 dB is 10 dB below the word, regardless of the silence around it.
    """
    level = active_level(speech) if speech_level is None else speech_level
    noise_level = active_level(noise)
    if noise_level == 0.0 or level == 0.0:
        return speech
    return speech + noise * np.float32(level / noise_level * 10.0 ** (-snr_db / 20.0))


def excerpt(sounds: Sequence[Sound], length: int, random: np.random.Generator) -> Samples:
    """`length` samples of a random sound (none is empty) from a random position, repeated if it is too short."""
    sound = sounds[int(random.integers(len(sounds)))]
    start = int(random.integers(len(sound)))
    repeats = (start + length) // len(sound) + 1
    return np.tile(sound[:], repeats)[start : start + length] if repeats > 1 else sound[start : start + length]


def change_speed(samples: Samples, factor: float) -> Samples:
    """Samples played faster (factor above 1) or slower; the pitch changes too."""
    changed: Samples = soxr.resample(samples, SAMPLE_RATE * factor, SAMPLE_RATE, quality="MQ")
    return changed


def in_room(samples: Samples, room: Samples) -> Samples:
    """A sound convolved with a room's impulse response; its length and the time of the direct sound do not change."""
    size = next_fast_len(len(samples) + len(room) - 1, real=True)
    wet = irfft(rfft(samples, size) * rfft(room, size), size)
    return np.asarray(wet[: len(samples)], np.float32)


def tilt(samples: Samples, slope_db: float) -> Samples:
    """Samples with a spectral slope of `slope_db` over the band, around 1 kHz."""
    return np.asarray(irfft(rfft(samples) * 10.0 ** (slope_db * _octaves(len(samples)) / 7.0 / 20.0), len(samples)), np.float32)


@lru_cache(4)
def _octaves(length: int) -> Samples:
    """The octaves above 1 kHz of the frequencies of a spectrum."""
    octaves: Samples = np.log2(np.maximum(rfftfreq(length, 1.0 / SAMPLE_RATE), 60.0).astype(np.float32) / 1000.0)
    return octaves


class Augmenter:
    """Applies a room, noise, and the tilt and level of a microphone, each with its probability."""

    def __init__(self, noises: Sequence[Sound], rooms: Sequence[Samples], settings: AugmentSettings | None = None) -> None:
        self.noises = [noise for noise in noises if len(noise)]
        self.rooms = rooms
        self.settings = settings or AugmentSettings()

    def __call__(self, samples: Samples, random: np.random.Generator, behind: Drawing | None = None) -> Samples:
        """An augmented copy of the same length; `behind` draws backgrounds instead of `noises`."""
        chosen = self.settings
        level = active_level(samples)
        behind = behind or (self._noise if self.noises else None)
        if self.rooms and random.random() < chosen.room_probability:
            samples = in_room(samples, self.rooms[int(random.integers(len(self.rooms)))])
        if behind and random.random() < chosen.noise_probability:
            background, snr_db = behind(len(samples), random)
            samples = mix(samples, background, snr_db, level)
        samples = tilt(samples, random.uniform(-chosen.tilt_db, chosen.tilt_db))
        return set_level(samples, random.uniform(*chosen.level_dbfs))

    def _noise(self, length: int, random: np.random.Generator) -> tuple[Samples, float]:
        return excerpt(self.noises, length, random), random.uniform(*self.settings.snr_db)

    def speed(self, random: np.random.Generator) -> float:
        """A random factor for `change_speed`; often 1."""
        return float(random.uniform(*self.settings.speed)) if random.random() < self.settings.speed_probability else 1.0

    def word_speed(self, random: np.random.Generator) -> float:
        """A random factor for a word: further from 1 than for other speech, and uniform on a logarithmic scale."""
        slow, fast = np.log(self.settings.word_speed)
        own = float(np.exp(random.uniform(slow, fast))) if random.random() < self.settings.speed_probability else 1.0
        return own * self.speed(random)


def set_level(samples: Samples, dbfs: float) -> Samples:
    """Samples with an active level of `dbfs` (0 dBFS is a full-scale square wave), clipped at full scale."""
    changed: Samples = np.clip(at_level(samples, dbfs), -1.0, 1.0)
    return changed


def at_level(samples: Samples, dbfs: float) -> Samples:
    """Samples with an active level of `dbfs`, without clipping; silence stays silence."""
    level = active_level(samples)
    return samples * np.float32(10.0 ** (dbfs / 20.0) / level) if level > 0.0 else samples


def mask(features: Samples | Tensor, random: np.random.Generator, *, bands: int, frames: int, moments: int = 1) -> None:
    """Set a group of bands and some moments of every example to its mean, in place (SpecAugment, Park et al. 2019).

    `features` are `(examples, frames, bands)`; at most `bands` and `frames` are masked at a time.
    """
    for example in features:
        mean = example.mean()
        width = int(random.integers(bands + 1))
        low = int(random.integers(example.shape[1] - width))
        example[:, low : low + width] = mean
        for _ in range(moments):
            length = int(random.integers(frames + 1))
            start = int(random.integers(example.shape[0] - length))
            example[start : start + length] = mean


def simulate_rooms(count: int, seed: int) -> list[Samples]:
    """Impulse responses of random furnished rooms, from a bathroom to a hall, at up to the length of the room from the talker.

    Early reflections come from the image-source method (Allen and Berkley 1979), late ones are decaying noise (Moorer 1979).
    """
    return [_simulate_room(np.random.default_rng([seed, index])) for index in range(count)]


def _simulate_room(random: np.random.Generator) -> Samples:
    import pyroomacoustics

    size = random.uniform([2.5, 2.5, 2.3], [10.0, 8.0, 3.5])
    reverberation = random.uniform(0.15, 0.9)
    try:
        absorption, order = pyroomacoustics.inverse_sabine(reverberation, size)
    except ValueError:  # the room is too large for that reverberation time
        absorption, order = 0.9, 3
    order = min(order, REFLECTIONS)
    room = pyroomacoustics.ShoeBox(size, fs=SAMPLE_RATE, materials=pyroomacoustics.Material(absorption), max_order=order)
    source, microphone = random.uniform(0.3, size - 0.3), random.uniform(0.3, size - 0.3)
    room.add_source(source)
    room.add_microphone(microphone)
    room.compute_rir()
    direct = np.linalg.norm(source - microphone) / pyroomacoustics.constants.get("c")
    complete = direct + order * size.min() / pyroomacoustics.constants.get("c")  # until then all reflections are there
    return normalize_room(_with_late_reflections(np.asarray(room.rir[0][0]), complete, reverberation, random))


def _with_late_reflections(response: Doubles, start: float, reverberation: float, random: np.random.Generator) -> Doubles:
    """A response that goes on from `start` (seconds) as noise, which decays by 60 dB in `reverberation` seconds, faster above 2 kHz."""
    first = min(int(start * SAMPLE_RATE), len(response))
    level = np.sqrt(np.mean(response[max(first - LATE_WINDOW, 0) : first] ** 2))
    count = first + int(ROOM_SECONDS * SAMPLE_RATE)
    time = np.arange(count - first) / SAMPLE_RATE
    spectrum = rfft(random.standard_normal(len(time)))
    is_low = rfftfreq(len(time), 1.0 / SAMPLE_RATE) < 2000.0
    low, high = irfft(spectrum * is_low, len(time)), irfft(spectrum * ~is_low, len(time))
    late = level * (low * 10.0 ** (-3.0 * time / reverberation) + high * 10.0 ** (-3.0 * time / (HIGH_DECAY * reverberation)))
    return np.concatenate([response[:first], late])


def normalize_room(response: npt.ArrayLike) -> Samples:
    """An impulse response that starts with its direct sound, is at most half a second long, and has unit energy."""
    response = np.asarray(response, np.float32)
    first = int(np.argmax(np.abs(response)))
    kept = response[max(first - 16, 0) :][: int(ROOM_SECONDS * SAMPLE_RATE)]
    return np.asarray(kept / np.sqrt(np.sum(kept**2)), np.float32)
