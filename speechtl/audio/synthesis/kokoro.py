"""Kokoro-82M as a speech synthesiser: 54 natural voices, and blends of any two, speak English. Its files: see `kokoro_files`.

A voice is a vector of style for each number of phonemes; the weighted mean of two vectors sounds like a third person. The voices of
other languages speak English with more or less of an accent. Takes that cannot be right raise `UnlikelyTakeError`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import chain, zip_longest
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from speechtl.audio.pronunciation import is_pronunciation, tied
from speechtl.audio.scripts import ENGLISH
from speechtl.audio.synthesis import kokoro_files
from speechtl.audio.synthesis.base import BLEND, KOKORO, RawSpeech, SpokenText, Synthesizer, UnlikelyTakeError, Voice, speak_alone
from speechtl.audio.synthesis.espeak import EspeakLibrary, find_espeak
from speechtl.audio.synthesis.kokoro_phonemes import AMERICAN, BRITISH, SILENT, clauses, respelled, tokens
from speechtl.errors import AudioError
from speechtl.runtime.engine.onnx import load_graph
from speechtl.runtime.samples import Samples

SAMPLE_RATE = 24_000
PARTS = (25, 35, 45)  # per cent of the second voice in a blend
_LOADING = Lock()
_TIMBRE = re.compile(rf"(\w+)(?:{re.escape(BLEND)}(\w+):(\d\d))?")

# Limits of takes. 330 takes of words, letters and sentences by as many blends were all within them; what is outside went wrong.
QUIETEST, LOUDEST = 0.02, 2.0  # the peak
HEARD = 10 ** (-35 / 20)  # of the loudest 10 ms: where speech begins and ends
CUT = 0.01  # seconds at both ends that no speech reaches
PHONEME_SECONDS = (0.045, 0.12)  # at the voice's own rate
OTHER_SECONDS = (0.1, 0.6)  # that a text takes besides its phonemes
PAUSE_SECONDS = 0.6  # after a clause, at most


class Kokoro:
    """The network and voices of two published files, and eSpeak NG, which knows how words are said."""

    name = KOKORO

    def __init__(self, network: Path, styles: Path, espeak: EspeakLibrary) -> None:
        self._network = network
        self._styles = styles
        self._espeak = espeak

    def voices(self, language: str = ENGLISH) -> list[Voice]:
        """Every voice, and then every one with each other one in the background; all of them speak English."""
        return list(_blends(tuple(_styles(self._styles)))) if language == ENGLISH else []

    def speak(self, utterance: SpokenText) -> RawSpeech:
        """24 kHz samples."""
        return speak_alone(self, utterance)

    def speak_many(self, utterances: Iterable[SpokenText]) -> list[RawSpeech | AudioError]:
        """Speak one after the other; the same utterance gives the same samples, whatever is spoken with it.

        Raises `WeightsError` where a file is not the published one.
        """
        wanted = list(utterances)
        try:
            transcribed = self._phonemes(wanted)
        except AudioError as error:  # of one of the texts
            half = len(wanted) // 2
            return [*self.speak_many(wanted[:half]), *self.speak_many(wanted[half:])] if half else [error]
        spoken: list[RawSpeech | AudioError] = []
        for utterance, phonemes in zip(wanted, transcribed, strict=True):
            try:
                spoken.append((self._say(utterance, phonemes), _rate(utterance)))
            except AudioError as error:
                spoken.append(error)
        return spoken

    def _say(self, utterance: SpokenText, phonemes: str) -> Samples:
        parts = _parts(utterance.voice, _styles(self._styles))
        numbers = tokens(phonemes)
        style = sum(part * values[min(len(numbers), len(values)) - 1] for values, part in parts)
        # The network cannot change its pitch: it speaks slower or faster, and the rate of the samples makes up for it.
        speed = utterance.rate / utterance.pitch
        given = {
            "tokens": np.array([[0, *numbers, 0]], np.int64),
            "style": np.asarray(style, np.float32)[None],
            "speed": np.array([speed], np.float32),
        }
        speech: Samples = _network(self._network).run(None, given)[0].ravel()
        check_take(speech, phonemes, speed, utterance)
        return speech

    def _phonemes(self, utterances: Sequence[SpokenText]) -> list[str]:
        """The phonemes of every text, with the marks between its clauses, from one process for each accent."""
        cut = [[] if is_pronunciation(utterance.text) else clauses(utterance.text) for utterance in utterances]
        known: dict[tuple[str, str], str] = {}
        for accent in (AMERICAN, BRITISH):
            own = (pieces for utterance, pieces in zip(utterances, cut, strict=True) if utterance.voice.accent == accent)
            if texts := sorted({text for text, _ in chain.from_iterable(own)}):
                transcribed = self._espeak.transcribe(texts, accent)
                known |= {(accent, text): respelled(ipa, accent) for text, ipa in zip(texts, transcribed, strict=True)}
        return [
            " ".join(f"{known.get((utterance.voice.accent, text), '')}{mark}" for text, mark in pieces)
            if pieces or not is_pronunciation(utterance.text)
            else f"{respelled(tied(utterance.text), utterance.voice.accent)}."
            for utterance, pieces in zip(utterances, cut, strict=True)
        ]


def find_kokoro() -> Synthesizer | None:
    """Kokoro, or None where its files or the library of eSpeak NG are not on this machine."""
    files, espeak = kokoro_files.paths(), find_espeak()
    return Kokoro(*files, espeak) if files and isinstance(espeak, EspeakLibrary) else None


def check_take(speech: Samples, phonemes: str, speed: float, utterance: SpokenText) -> None:
    """Raise `UnlikelyTakeError` for 24 kHz samples that are silent, overdriven, cut off, or too short or long for the phonemes."""
    reason = _silent_or_overdriven(speech) or _cut_or_absurd(speech, phonemes, speed)
    if reason:
        raise UnlikelyTakeError(f"The voice {utterance.voice.name} cannot have said {utterance.text!r}: {reason}.")


def _silent_or_overdriven(speech: Samples) -> str | None:
    peak = float(np.abs(speech).max(initial=0.0))
    if not QUIETEST <= peak <= LOUDEST:  # also where it is not a number
        return f"its peak is {peak:.2g} of full scale"
    return None


def _cut_or_absurd(speech: Samples, phonemes: str, speed: float) -> str | None:
    step = round(CUT * SAMPLE_RATE)
    if len(speech) < 3 * step:
        return "it is cut off"
    frames = speech[: len(speech) // step * step].reshape(-1, step)
    loudness = np.sqrt(np.mean(np.square(frames), axis=1))
    heard = np.flatnonzero(loudness > HEARD * loudness.max())
    if heard[0] == 0 or heard[-1] == len(frames) - 1:
        return "it is cut off"
    seconds = (heard[-1] - heard[0] + 1) * CUT * speed
    count = sum(sign not in SILENT for sign in phonemes)
    pauses = PAUSE_SECONDS * max(len(re.findall(r"[;:,.!?]", phonemes)) - 1, 0)
    shortest, longest = (count * each + other for each, other in zip(PHONEME_SECONDS, OTHER_SECONDS, strict=True))
    if not shortest <= seconds <= longest + pauses:
        return f"{seconds / speed:.2f} s for {count} phonemes"
    return None


def _rate(utterance: SpokenText) -> int:
    return round(SAMPLE_RATE * utterance.pitch)


def _network(path: Path) -> Any:
    with _LOADING:  # once, however many threads ask for it
        return _loaded(path)


@lru_cache(maxsize=1)
def _loaded(path: Path) -> Any:
    return load_graph(kokoro_files.NETWORK.check(path).read_bytes())


@lru_cache(maxsize=1)
def _styles(path: Path) -> dict[str, np.ndarray]:
    """The styles `(phonemes, values)` of every voice."""
    with np.load(kokoro_files.VOICES.check(path)) as voices:
        return {name: voices[name].reshape(len(voices[name]), -1) for name in sorted(voices.files)}


def _parts(voice: Voice, styles: Mapping[str, np.ndarray]) -> list[tuple[np.ndarray, float]]:
    """The styles that make up a voice, and the part of each; raises `AudioError` for an unknown voice."""
    matched = _TIMBRE.fullmatch(voice.timbre)
    names = [name for name in matched.groups()[:2] if name] if matched else []
    if not matched or voice.accent not in (AMERICAN, BRITISH) or not set(names) <= set(styles):
        raise AudioError(f"Kokoro has no voice {voice.timbre!r} with the accent {voice.accent!r}.")
    second = int(matched[3] or 0) / 100
    return [(styles[name], part) for name, part in zip(names, (1 - second, second), strict=False)]


def _blends(names: Sequence[str]) -> Iterable[Voice]:
    """The voices of these names, so that languages and sexes alternate, and the blends of each with every other one."""
    kinds: dict[str, list[str]] = {}
    for name in names:
        kinds.setdefault(name.partition("_")[0], []).append(name)
    mixed = [name for turn in zip_longest(*kinds.values()) for name in turn if name]
    for distance in range(len(mixed)):
        for position, name in enumerate(mixed):
            other = mixed[(position + distance) % len(mixed)]
            timbre = f"{name}{BLEND}{other}:{PARTS[(position + distance) % len(PARTS)]}" if distance else name
            yield Voice(KOKORO, _accent(name, position + distance), timbre)


def _accent(name: str, turn: int) -> str:
    """The accent of a voice: its own, or either in turn where it is not English."""
    return {"a": AMERICAN, "b": BRITISH}.get(name[0], (AMERICAN, BRITISH)[turn % 2])
