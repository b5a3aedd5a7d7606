"""Golden audio: a few generated seconds with the scores of the PyTorch network, so that a device can verify its graphs."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from speechtl.audio.network.model import WakeWordNetwork, scorer_of
from speechtl.errors import SpeechtlError
from speechtl.progress import say
from speechtl.runtime.samples import SAMPLE_RATE, Doubles, Samples, from_int16, to_int16, to_symmetric_int16

Words = npt.NDArray[np.int64]

SEED = 20
VOICES = 3


def golden_audio(phrases: Sequence[str]) -> tuple[Samples, Words]:
    """Samples that int16 holds exactly (noise, a voice-like sweep, and synthesised phrases if a synthesiser is installed), and word limits.

    The limits `(spoken phrases, 2)` are the first sample of a phrase and the first one after it.
    """
    random = np.random.default_rng(SEED)
    quiet = random.standard_normal(SAMPLE_RATE // 2) * 1e-3
    parts = [quiet, _sweep(random), quiet]
    words = []
    for spoken in _spoken(phrases):
        start = sum(map(len, parts))
        words.append((start, start + len(spoken)))
        parts += [spoken.astype(np.float64), quiet]
    samples = np.concatenate([*parts, random.standard_normal(SAMPLE_RATE // 2) * 0.05])
    audio = from_int16(to_symmetric_int16(samples))
    return audio, np.array(words, np.int64).reshape(-1, 2)


def golden(networks: Sequence[WakeWordNetwork], phrases: Sequence[str]) -> bytes:
    """The file `golden.npz`: audio (int16), expected scores `(steps, words)`, and limits of spoken phrases (samples)."""
    audio, words = golden_audio(phrases)
    file = io.BytesIO()
    scores = np.concatenate([scorer_of(network).feed(audio) for network in networks], axis=1)
    np.savez_compressed(file, audio=to_int16(audio), scores=scores, words=words)
    return file.getvalue()


def _sweep(random: np.random.Generator) -> Doubles:
    """A buzz of 120 Hz with two moving resonances, as in vowels."""
    time = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    sound = np.zeros(len(time))
    for harmonic in range(1, 30):
        hertz = 120.0 * harmonic
        near = sum(np.exp(-(((hertz - centre) / 150.0) ** 2)) for centre in (500 + 250 * np.sin(9 * time), 1700 + 600 * np.cos(7 * time)))
        sound += near * np.sin(2 * np.pi * hertz * time + random.uniform(0, 6.28))
    return np.asarray(0.2 * sound / np.abs(sound).max() * np.sin(np.pi * time) ** 0.5)


def _spoken(phrases: Sequence[str]) -> list[Samples]:
    """The phrases, each spoken by several synthetic voices of its script; those that cannot be spoken are left out."""
    from speechtl.audio.synthesis.positives import speak, voices_for

    spoken = []
    for phrase in phrases:
        try:
            chosen = voices_for(phrase)
            spoken += [speak(phrase, voice) for voice in chosen[:: max(len(chosen) // VOICES, 1)][:VOICES]]
        except SpeechtlError as error:
            say(f"The golden audio does not contain {phrase!r}, so verify is less sensitive for int8 graphs: {error}")
    return spoken
