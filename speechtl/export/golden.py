"""Golden audio: a few seconds that the program makes itself, with the scores that the torch network gives them."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from speechtl.audio.network.model import WakeWordNetwork, scorer_of
from speechtl.errors import SpeechtlError
from speechtl.progress import say
from speechtl.runtime.samples import SAMPLE_RATE, Samples, from_int16, to_int16, to_symmetric_int16

Words = npt.NDArray[np.int64]

SEED = 20
VOICES = 3


def golden_audio(phrases: Sequence[str]) -> tuple[Samples, Words]:
    """Return int16-exact samples: noise, a voice-like sweep, and the phrases by synthesised voices where those are installed.

    Beside them the limits `(phrases spoken, 2)` of what is spoken: its first sample, and the first one behind it.
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
    """Return `golden.npz`: the audio (int16), the scores `(steps, words)` expected of it, and where it is spoken in (samples)."""
    audio, words = golden_audio(phrases)
    file = io.BytesIO()
    scores = np.concatenate([scorer_of(network).feed(audio) for network in networks], axis=1)
    np.savez_compressed(file, audio=to_int16(audio), scores=scores, words=words)
    return file.getvalue()


def _sweep(random: np.random.Generator) -> npt.NDArray[np.float64]:
    """A buzz of 120 Hz whose two resonances move as in vowels."""
    time = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    sound = np.zeros(len(time))
    for harmonic in range(1, 30):
        hertz = 120.0 * harmonic
        near = sum(np.exp(-(((hertz - centre) / 150.0) ** 2)) for centre in (500 + 250 * np.sin(9 * time), 1700 + 600 * np.cos(7 * time)))
        sound += near * np.sin(2 * np.pi * hertz * time + random.uniform(0, 6.28))
    return np.asarray(0.2 * sound / np.abs(sound).max() * np.sin(np.pi * time) ** 0.5)


def _spoken(phrases: Sequence[str]) -> list[Samples]:
    """The phrases that a synthesiser can say, each by several voices of its script."""
    from speechtl.audio.synthesis.positives import speak, voices_for

    spoken = []
    for phrase in phrases:
        try:
            chosen = voices_for(phrase)
            spoken += [speak(phrase, voice) for voice in chosen[:: max(len(chosen) // VOICES, 1)][:VOICES]]
        except SpeechtlError as error:
            say(f"{phrase!r} is not said in the golden audio, so that verify tells less of int8 graphs: {error}")
    return spoken
