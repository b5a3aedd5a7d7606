"""What a spoken corpus consists of: which voices say which texts, how fast and how high, drawn from a seed."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from speechtl.audio.synthesis.base import PLAIN, Synthesizer, Utterance, Voice
from speechtl.audio.synthesis.sentences import sentences
from speechtl.audio.synthesis.speak import find_synthesizers
from speechtl.audio.synthesis.texts import single_words, spoken_texts, usable_words
from speechtl.errors import SpeechtlError

RATES = (0.8, 1.3)
PITCHES = (0.85, 1.2)
RECIPE = 1  # raise it when the same settings give another corpus

# Recorded people sound natural and get more than their number; those joined of pieces less than those made of statistics.
RECORDED = {"flite:slt": 5.0, "flite:rms": 6.5, "flite:awb": 6.5, "festival:slt": 5.0, "flite:kal16": 1.5, "festival:ked": 2.0}
RECORDED |= {"festival:kal": 1.5, "flite:kal": 1.5}
ACCENTS = {"en-us": 28.0, "en-us-nyc": 12.0, "en-gb": 10.0, "en-gb-x-rp": 6.0, "en-gb-scotland": 6.0, "en-029": 4.0}
ACCENTS |= {"en-gb-x-gbclan": 3.0, "en-gb-x-gbcwmd": 3.0}
TIMBRES = {PLAIN: 6.0, "whisper": 0.5, "whisperf": 0.5, "croak": 0.5}  # others 1


@dataclass(frozen=True)
class CorpusPlan:
    """Everything that decides what the shards of a corpus hold."""

    seed: int
    words: tuple[str, ...]
    without: tuple[str, ...]
    alone: bool  # single words only
    synthesizers: tuple[Synthesizer, ...]
    voices: tuple[Voice, ...]
    shares: tuple[float, ...]  # of the voices, adding up to 1

    def settings(self) -> dict[str, Any]:
        """Return what a corpus must have in common with another to be continued by it."""
        digest = hashlib.sha256("\n".join((*self.words, "", *self.without, "", *(voice.name for voice in self.voices))).encode())
        names = sorted(synthesizer.name for synthesizer in self.synthesizers)
        return {
            "recipe": RECIPE,
            "seed": self.seed,
            "alone": self.alone,
            "synthesizers": names,
            "voices": len(self.voices),
            "drawn_from": digest.hexdigest(),
        }

    def utterances(self, index: int, count: int) -> list[Utterance]:
        """Return the utterances of a shard."""
        random = np.random.default_rng([self.seed, index])
        texts = single_words(random, self.words) if self.alone else spoken_texts(random, self.words, self.without)
        return [self._utterance(text, random) for text in itertools.islice(texts, count)]

    def _utterance(self, text: str, random: np.random.Generator) -> Utterance:
        voice = self.voices[int(random.choice(len(self.voices), p=self.shares))]
        rate, pitch = (float(np.exp(random.uniform(*np.log(limits)))) for limits in (RATES, PITCHES))
        return Utterance(text, voice, rate, pitch)


def draw_plan(seed: int, words: Collection[str], without: Sequence[str], *, alone: bool = False) -> CorpusPlan:
    """Return the plan for these settings and the synthesisers on this machine; raises `SpeechtlError` when they cannot be met."""
    if seed < 0:
        raise SpeechtlError(f"seed must be 0 or more; got {seed}.")
    if isinstance(words, str) or isinstance(without, str):
        raise SpeechtlError("words and without must be lists, with one word or phrase in each place; got a single text.")
    random = np.random.default_rng(seed)
    for texts in (sentences(random, without), spoken_texts(random, words, without)):
        next(texts)  # complains before any work is done
    usable = tuple(usable_words(words, without))
    if alone and not usable:
        raise SpeechtlError("A corpus of single words needs words: give a vocabulary.")
    synthesizers = tuple(find_synthesizers())
    shares = used_voices(synthesizers)
    return CorpusPlan(seed, usable, tuple(without), alone, synthesizers, tuple(shares), tuple(shares.values()))


def used_voices(synthesizers: Sequence[Synthesizer] | None = None) -> dict[Voice, float]:
    """Return the voices of a corpus with their shares, which add up to 1; raises `MissingExtraError` without a synthesiser."""
    found = find_synthesizers() if synthesizers is None else synthesizers
    weights = {voice: _weight(voice) for synthesizer in found for voice in synthesizer.voices()}
    espeak = sum(weight for voice, weight in weights.items() if voice.synthesizer == "espeak")
    scale = sum(ACCENTS.values()) / espeak if espeak else 1.0
    weights = {voice: weight * (scale if voice.synthesizer == "espeak" else 1.0) for voice, weight in weights.items()}
    total = sum(weights.values())
    return {voice: weight / total for voice, weight in weights.items()}


def _weight(voice: Voice) -> float:
    if voice.synthesizer == "espeak":
        return ACCENTS[voice.accent] * TIMBRES.get(voice.timbre, 1.0)
    return RECORDED.get(voice.name, 1.0)
