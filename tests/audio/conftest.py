"""Sounds like words, for tests of what finds them."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.signal import lfilter

RATE = 16_000
VOWELS = {"o": (500, 900), "u": (350, 800), "e": (450, 1900), "i": (300, 2300)}  # formants in hertz


def quantised(samples: np.ndarray) -> np.ndarray:
    return (np.clip(np.round(samples * 32768.0), -32768, 32767) / 32768.0).astype(np.float32)


def at_peak(samples: np.ndarray, dbfs: float) -> np.ndarray:
    return quantised(samples / np.abs(samples).max() * 10.0 ** (dbfs / 20.0))


def vowel(name: str, seconds: float, pitch: float) -> np.ndarray:
    pulses = np.zeros(round(seconds * RATE))
    pulses[:: round(RATE / pitch)] = 1.0
    for hertz in VOWELS[name]:
        pulses = lfilter([1.0], [1.0, -2 * 0.98 * np.cos(2 * np.pi * hertz / RATE), 0.98**2], pulses)
    time = np.arange(len(pulses)) / RATE
    return pulses / np.abs(pulses).max() * np.minimum(1.0, np.minimum(time / 0.02, (seconds - time) / 0.04)).clip(0.0)


def spoken(vowels: str = "oue", pitch: float = 120.0, speed: float = 1.0) -> np.ndarray:
    """Return syllables with a short closure between them, 0.6 s for three of them."""
    closure = np.zeros(round(0.03 * RATE))
    return np.concatenate([part for name in vowels for part in (vowel(name, 0.17 / speed, pitch), closure)])


def with_pauses(words: list[np.ndarray], pauses: list[float], snr_db: float, seed: int = 0) -> np.ndarray:
    parts = [np.zeros(RATE // 2)]
    for word, pause in zip(words, pauses, strict=True):
        parts += [word, np.zeros(round(pause * RATE))]
    samples = np.concatenate(parts)
    noise = np.random.default_rng(seed).standard_normal(len(samples)) * 10.0 ** (-snr_db / 20.0) * 0.2
    return at_peak(samples + noise, -6.0)


@pytest.fixture(scope="session")
def said():
    """Functions that make sounds like words, alone and with pauses, at a level."""
    return SimpleNamespace(spoken=spoken, with_pauses=with_pauses, at_peak=at_peak, quantised=quantised)
