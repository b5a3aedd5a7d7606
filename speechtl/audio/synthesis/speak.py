"""The installed speech synthesisers: eSpeak NG (from PyPI or on PATH), flite and festival (on PATH), Kokoro (in the cache).

The shared library of `espeakng-loader` comes before the program `espeak-ng`: it is one known version, and its noise is seeded, so
that the same text gives the same samples on every machine.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import soxr

from speechtl.audio.scripts import ENGLISH, RECORD, language_of, longest, speakable
from speechtl.audio.synthesis.base import RawSpeech, SpokenText, Synthesizer, Voice
from speechtl.audio.synthesis.espeak import find_espeak
from speechtl.audio.synthesis.festival_flite import find_festival, find_flite
from speechtl.audio.synthesis.kokoro import find_kokoro
from speechtl.audio.synthesis.kokoro_files import COMMAND
from speechtl.audio.synthesis.sentences import plain
from speechtl.errors import AudioError, MissingExtraError
from speechtl.progress import say
from speechtl.runtime.samples import SAMPLE_RATE, Samples

WIDEST_RATES = (0.5, 2.0)
WIDEST_PITCHES = (0.7, 1.6)
SILENCE = 0.003  # of the peak (-50 dB): below any fricative, above the synthesisers' rounding noise

FINDERS: dict[str, Callable[[], Synthesizer | None]] = {
    "flite": find_flite,
    "festival": find_festival,
    "eSpeak NG": find_espeak,
    f"Kokoro (to get it: {COMMAND})": find_kokoro,
}


def find_synthesizers() -> list[Synthesizer]:
    """The synthesisers on this machine; raises `MissingExtraError` when there is none."""
    found = [synthesizer for find in FINDERS.values() if (synthesizer := find()) is not None]
    if not found:
        raise MissingExtraError("Speech synthesis without espeak-ng on PATH (on Debian and Ubuntu: apt install espeak-ng)", "synthesis")
    return found


def missing_synthesizers() -> list[str]:
    """The names of the synthesisers that are not installed."""
    return [name for name, find in FINDERS.items() if find() is None]


def voices(language: str = ENGLISH) -> list[Voice]:
    """Every voice of a language on this machine, every person once before any comes again.

    Raises `MissingExtraError` when there is no synthesiser.
    """
    turns: Counter[str] = Counter()
    ordered: list[tuple[int, Voice]] = []
    for voice in (voice for synthesizer in find_synthesizers() for voice in synthesizer.voices(language)):
        ordered.append((turns[voice.person], voice))
        turns[voice.person] += 1
    return [voice for _, voice in sorted(ordered, key=lambda pair: pair[0])]


def voices_for(phrase: str) -> list[Voice]:
    """The voices that read a phrase's script; raises `AudioError` where there is none, or where they spell the phrase out.

    A phrase in Latin letters that takes long is only noted: an abbreviation is spelled out on purpose.
    """
    language, name = language_of(phrase)
    found = voices(language)
    if not found:
        raise MissingExtraError(f"Saying {phrase!r} ({name}) without eSpeak NG's voice of {name}", "synthesis")
    limit = longest(phrase)
    seconds = len(speak(phrase, found[0])) / SAMPLE_RATE
    if seconds > limit:
        problem = f"The {name} voice takes {seconds:.1f} s for {phrase!r}, more than the {limit:.1f} s of a word: it spells the phrase out."
        if language != ENGLISH:
            raise AudioError(f"{problem} {RECORD.format(phrase=phrase)}")
        say(f"{problem} If people say it as a word, write it as it sounds.")
    return found


def synthesizer_of(voice: Voice) -> Synthesizer:
    """The synthesiser that has this voice; raises `AudioError` when it is not on this machine."""
    for synthesizer in find_synthesizers():
        if synthesizer.name == voice.synthesizer:
            return synthesizer
    how = f" Get it with: {COMMAND}" if voice.is_natural else ""
    raise AudioError(f"The voice {voice.name} needs {voice.synthesizer}, which is not on this machine.{how}")


def speak(text: str, voice: Voice, *, rate: float = 1.0, pitch: float = 1.0) -> Samples:
    """Speech as float32 samples `(samples,)` at 16 kHz, without silence around it.

    `rate` (0.5 to 2) and `pitch` (0.7 to 1.6) are factors on the voice's own. Raises `AudioError` when there is nothing to say or the
    synthesis fails, and `MissingExtraError` when no synthesiser is on this machine.
    """
    utterance = _checked(SpokenText(text, voice, rate, pitch))
    return _finished(utterance, synthesizer_of(voice).speak(utterance))


def speak_many(synthesizer: Synthesizer, utterances: Sequence[SpokenText]) -> list[Samples | AudioError]:
    """Speech as `speak` gives it, or an error for each text that failed; the texts of one synthesiser share processes where they can.

    The same list of utterances gives the same samples. Raises `AudioError` for an utterance that no synthesiser could say.
    """
    utterances = [_checked(utterance) for utterance in utterances]
    finished: list[Samples | AudioError] = []
    for utterance, speech in zip(utterances, synthesizer.speak_many(utterances), strict=True):
        try:
            finished.append(speech if isinstance(speech, AudioError) else _finished(utterance, speech))
        except AudioError as error:
            finished.append(error)
    return finished


def speak_all(utterances: Sequence[SpokenText], synthesizers: Sequence[Synthesizer]) -> dict[int, Samples | AudioError]:
    """The speech or error of every text by its index; each synthesiser speaks all of its texts in one call."""
    spoken: dict[int, Samples | AudioError] = {}
    for synthesizer in synthesizers:
        own = [number for number, utterance in enumerate(utterances) if utterance.voice.synthesizer == synthesizer.name]
        spoken |= zip(own, speak_many(synthesizer, [utterances[number] for number in own]), strict=True)
    return spoken


def _checked(utterance: SpokenText) -> SpokenText:
    spoken = "".join(character if character.isprintable() else " " for character in speakable(utterance.text)).strip()
    if not plain(spoken):
        raise AudioError(f"There is nothing to say in {utterance.text!r}; give at least one word.")
    _check_within("rate", utterance.rate, WIDEST_RATES)
    _check_within("pitch", utterance.pitch, WIDEST_PITCHES)
    return SpokenText(spoken, utterance.voice, utterance.rate, utterance.pitch)


def _finished(utterance: SpokenText, speech: RawSpeech) -> Samples:
    samples, sample_rate = speech
    if sample_rate != SAMPLE_RATE and len(samples):
        samples = soxr.resample(samples, sample_rate, SAMPLE_RATE)
    trimmed = _trim(samples)
    if not len(trimmed):
        raise AudioError(f"The voice {utterance.voice.name} gave no sound for {utterance.text!r}.")
    return trimmed


def _trim(samples: Samples) -> Samples:
    if not len(samples):
        return samples
    loud = np.flatnonzero(np.abs(samples) > SILENCE * np.abs(samples).max())
    return samples[loud[0] : loud[-1] + 1] if len(loud) else samples[:0]


def _check_within(what: str, value: float, limits: tuple[float, float]) -> None:
    if not limits[0] <= value <= limits[1]:
        raise AudioError(f"{what} must be between {limits[0]:g} and {limits[1]:g} (1: the voice's own); got {value:g}.")
