"""Kinds of people that voices lack: children, old people, deep voices, foreign accents.

A voice is changed by what distinguishes these people: the pitch and the resonances of a child's vocal tract are a fifth to a third
higher (Peterson and Barney 1952; Lee et al. 1999), old voices tremble at 4 to 7 Hz, are breathy and slow. An accent replaces sounds
that a speaker's own language lacks.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.fft import irfft, rfft
from scipy.signal import istft, stft

from speechtl.audio.pronunciation import phonemes
from speechtl.audio.synthesis.base import Range
from speechtl.runtime.samples import SAMPLE_RATE, Samples

WINDOW = 512  # samples: 32 ms
LIFTER = 24  # cepstral coefficients of the resonances; finer ones are of the pitch
TREMOR_HZ = (4.0, 7.0)
NARROWEST = 0.02  # of a change of resonances; less is not heard


@dataclass(frozen=True)
class Manner:
    """How a person speaks: factors on tempo, pitch and resonances, and the depth of tremor and breath from 0 to 1."""

    person: str = "adult"
    rate: float = 1.0
    pitch: float = 1.0
    resonances: float = 1.0
    tremor: float = 0.0
    breath: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Kind:
    """A kind of people: its share, and the range of each factor."""

    name: str
    share: float
    rate: Range
    pitch: Range
    resonances: Range = (1.0, 1.0)
    tremor: Range = (0.0, 0.0)
    breath: Range = (0.0, 0.0)


KINDS = (
    Kind("adult", 0.55, (0.8, 1.25), (0.92, 1.09), (0.96, 1.04)),
    Kind("child", 0.18, (0.75, 1.1), (1.15, 1.4), (0.95, 1.12)),
    Kind("old", 0.15, (0.65, 0.95), (0.9, 1.1), (0.95, 1.05), (0.3, 1.0), (0.2, 1.0)),
    Kind("deep", 0.12, (0.75, 1.1), (0.8, 0.92), (0.92, 1.0)),
)


def draw_manner(random: np.random.Generator) -> Manner:
    """The manner of a person of a random kind."""
    kind = KINDS[int(random.choice(len(KINDS), p=[each.share for each in KINDS]))]
    factors = {name: float(np.exp(random.uniform(*np.log(getattr(kind, name))))) for name in ("rate", "pitch", "resonances")}
    depths = {name: float(random.uniform(*getattr(kind, name))) for name in ("tremor", "breath")}
    return Manner(kind.name, **factors, **depths)


def changed(speech: Samples, manner: Manner, random: np.random.Generator) -> Samples:
    """Speech with the resonances, tremor and breath of a manner; its rate and pitch are the synthesiser's part. The length stays."""
    if abs(manner.resonances - 1.0) > NARROWEST:
        speech = with_resonances(speech, manner.resonances)
    if manner.tremor > 0.0:
        speech = _trembling(speech, manner.tremor, random)
    if manner.breath > 0.0:
        speech = _breathy(speech, manner.breath, random)
    return speech


def with_resonances(speech: Samples, factor: float) -> Samples:
    """Speech whose resonances are `factor` times as high, at its own pitch: the envelope of each spectrum is stretched."""
    if len(speech) < WINDOW:
        return speech
    _, _, spectra = stft(speech, nperseg=WINDOW)
    levels = np.log(np.abs(spectra) + 1e-5)
    cepstra = irfft(levels, axis=0)
    cepstra[LIFTER : len(cepstra) - LIFTER + 1] = 0.0
    envelope = rfft(cepstra, axis=0).real
    bins = np.arange(len(envelope))
    places = np.clip(bins / factor, 0, len(envelope) - 1)
    below = np.minimum(places.astype(int), len(envelope) - 2)
    part = (places - below)[:, None]
    stretched = (1 - part) * envelope[below] + part * envelope[below + 1]
    _, changed = istft(spectra * np.exp(np.clip(stretched - envelope, -4.0, 4.0)), nperseg=WINDOW)
    return np.asarray(np.pad(changed, (0, max(len(speech) - len(changed), 0)))[: len(speech)], np.float32)


def _trembling(speech: Samples, depth: float, random: np.random.Generator) -> Samples:
    """Speech whose pitch and loudness sway."""
    times = np.arange(len(speech)) / SAMPLE_RATE
    hertz = random.uniform(*TREMOR_HZ)
    phase = 2 * np.pi * hertz * times + random.uniform(0, 2 * np.pi)
    sway = 0.03 * depth / (2 * np.pi * hertz) * SAMPLE_RATE  # samples: the pitch sways by 3 % at most
    moved = np.interp(np.arange(len(speech)) + sway * np.sin(phase), np.arange(len(speech)), speech)
    return np.asarray(moved * (1.0 + 0.25 * depth * np.sin(phase + 1.0)), np.float32)


def _breathy(speech: Samples, depth: float, random: np.random.Generator) -> Samples:
    """Speech with noise of its own loudness, moment by moment, 12 to 30 dB below it."""
    smooth = np.hanning(SAMPLE_RATE // 50)
    loudness = np.sqrt(np.convolve(speech**2, smooth / smooth.sum(), "same")[: len(speech)])
    noise = np.diff(random.standard_normal(len(speech) + 1)) / np.sqrt(2.0)  # 6 dB more to the octave, as breath
    return np.asarray(speech + loudness * noise * 10 ** ((-30 + 18 * depth) / 20), np.float32)


# Sounds of English that speakers of a language replace, by the first letter of Kokoro's voices of that language.

ACCENTS: dict[str, dict[str, str]] = {
    "e": {"ɪ": "i", "iː": "i", "z": "s", "v": "b", "ʌ": "a", "æ": "a", "ʃ": "tʃ", "ð": "d", "ə": "e", "uː": "u"},  # Spanish
    "f": {"h": "", "θ": "s", "ð": "z", "ɪ": "i", "tʃ": "ʃ", "dʒ": "ʒ", "ʊ": "u", "æ": "a", "ŋ": "n"},  # French
    "h": {"w": "v", "θ": "t", "ð": "d", "æ": "ɛ", "ʒ": "dʒ", "ɔː": "ɑː"},  # Hindi
    "i": {"h": "", "ɪ": "i", "θ": "t", "ð": "d", "ʌ": "a", "æ": "ɛ", "ŋ": "n", "ə": "a"},  # Italian
    "j": {"l": "ɹ", "θ": "s", "ð": "z", "v": "b", "æ": "a", "ɜː": "ɑː", "ɪ": "i", "ʌ": "a"},  # Japanese
    "p": {"ɪ": "i", "θ": "t", "ð": "d", "æ": "ɛ", "ʊ": "u", "ɹ": "h"},  # Portuguese
    "z": {"θ": "s", "ð": "z", "v": "w", "æ": "ɛ", "ɪ": "i", "z": "s"},  # Mandarin Chinese
}
REPLACED = 0.6  # probability of each replacement: accents are stronger and weaker


def accented(pronunciation: str, language: str, random: np.random.Generator) -> str:
    """An English pronunciation as a speaker of another language says it; the same for a language without rules."""
    rules = {sign: other for sign, other in ACCENTS.get(language, {}).items() if random.random() < REPLACED}
    return f"/{''.join(rules.get(sign, sign) for sign in phonemes(pronunciation))}/"
