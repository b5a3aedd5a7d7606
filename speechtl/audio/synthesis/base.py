"""Shared by all speech synthesisers: voices, texts, and running a program."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import soundfile

from speechtl.audio.scripts import ENGLISH
from speechtl.errors import AudioError
from speechtl.runtime.samples import Samples

PLAIN = "plain"  # the timbre of a voice without a variant
KOKORO = "kokoro"  # the synthesiser of natural voices
BLEND = "+"  # between the two voices of a blend, as in `af_heart+bm_lewis:35`; the second makes up 35 %
SECONDS_TO_WAIT = 60.0
SYNTHESISED = "synthesised"  # the source of recordings, in manifests
LEVELS = (-32.0, -20.0)  # dB of full scale, root mean square of the speech in recordings
PEAK = 0.95  # of full scale, at most
NATURAL_RATES, NATURAL_PITCHES = (0.85, 1.2), (0.93, 1.08)  # which keep a natural voice natural
OTHER_VOICES = 3  # that are tried where a take of a natural voice is not good

RawSpeech = tuple[Samples, int]  # samples and their rate
Range = tuple[float, float]


@dataclass(frozen=True)
class Voice:
    """A voice. `name` is stable and serves as speaker; voices of one `timbre` sound like one person in several accents."""

    synthesizer: str
    accent: str
    timbre: str

    @property
    def name(self) -> str:
        """The name of the speaker, such as `espeak:en-us+f3`, `flite:slt` or `kokoro:af_heart+bm_lewis:35`."""
        if self.synthesizer != "espeak":
            return f"{self.synthesizer}:{self.timbre}"
        return f"{self.synthesizer}:{self.accent}" + ("" if self.timbre == PLAIN else f"+{self.timbre}")

    @property
    def variant(self) -> str:
        """The voice name for eSpeak NG, such as `en-us+f3`."""
        # British English goes by the name of its file: asked for `en-gb+f3`, eSpeak NG leaves the timbre out without a word.
        accent = "en" if self.accent == "en-gb" else self.accent
        return accent if self.timbre == PLAIN else f"{accent}+{self.timbre}"

    @property
    def person(self) -> str:
        """The person that must not be in two splits: a timbre in any accent, or a recorded speaker in any program.

        Of a blend it is the voice that makes up most of it.
        """
        if self.synthesizer == "espeak":
            return f"espeak:{self.timbre}"
        return self.people[0] if self.is_natural else f"recorded:{self.timbre.removesuffix('16')}"

    @property
    def people(self) -> tuple[str, ...]:
        """Everybody who is heard in this voice: one person, or the two of a blend."""
        if not self.is_natural:
            return (self.person,)
        return tuple(f"{KOKORO}:{name}" for name in self.timbre.partition(":")[0].split(BLEND))

    @property
    def is_natural(self) -> bool:
        """Whether a network speaks that has learnt from people, and not a program of rules or pieces."""
        return self.synthesizer == KOKORO


@dataclass(frozen=True)
class SpokenText:
    """A text to be spoken by a voice; `rate` and `pitch` are factors on the voice's own."""

    text: str
    voice: Voice
    rate: float = 1.0
    pitch: float = 1.0


class UnlikelyTakeError(AudioError):
    """A voice said a text in a way that cannot be right; another voice may say it well."""


class Synthesizer(Protocol):
    """A program that speaks."""

    name: str

    def voices(self, language: str = ENGLISH) -> list[Voice]:
        """The installed voices of a language, the most different ones first."""

    def speak(self, utterance: SpokenText) -> RawSpeech:
        """The speech of a text; raises `AudioError`."""

    def speak_many(self, utterances: Iterable[SpokenText]) -> list[RawSpeech | AudioError]:
        """The speech of every text, or an error for it, in as few processes as the program allows."""


def speak_singly(synthesizer: Synthesizer, utterances: Iterable[SpokenText]) -> list[RawSpeech | AudioError]:
    """Speak utterances one after the other, each in a process of its own."""
    spoken: list[RawSpeech | AudioError] = []
    for utterance in utterances:
        try:
            spoken.append(synthesizer.speak(utterance))
        except AudioError as error:
            spoken.append(error)
    return spoken


def speak_alone(synthesizer: Synthesizer, utterance: SpokenText) -> RawSpeech:
    """The speech of one text by a synthesiser that speaks several at a time; raises `AudioError`."""
    speech = synthesizer.speak_many([utterance])[0]
    if isinstance(speech, AudioError):
        raise speech
    return speech


def read_speech(path: Path, utterance: SpokenText) -> RawSpeech:
    """Read the sound file that a program wrote for a text; raises `AudioError` where there is none, or no sound in it."""
    try:
        samples, sample_rate = soundfile.read(path, dtype="float32")
    except soundfile.SoundFileError as error:
        raise AudioError(f"The voice {utterance.voice.name} gave no sound for {utterance.text!r}: {error}") from error
    return samples, sample_rate


def run(command: list[str], text: str, folder: Path | None = None, seconds: float = SECONDS_TO_WAIT) -> bytes:
    """The output of a program for a text; raises `AudioError` with the program's own message when it fails."""
    output, failure = run_partly(command, text, folder, seconds)
    if failure is not None:
        raise failure
    return output


def run_partly(
    command: list[str], text: str, folder: Path | None = None, seconds: float = SECONDS_TO_WAIT
) -> tuple[bytes, AudioError | None]:
    """The output of a program, and the error if it failed."""
    try:
        done = subprocess.run(command, input=text.encode(), capture_output=True, cwd=folder, timeout=seconds, check=False)
    except subprocess.TimeoutExpired as error:
        return error.stdout or b"", AudioError(f"The speech synthesiser {command[0]} did not end within {seconds:g} s.")
    except OSError as error:
        return b"", AudioError(f"The speech synthesiser {command[0]} could not be run: {error}")
    if done.returncode == 0:
        return done.stdout, None
    reason = done.stderr.decode(errors="replace").strip() or f"it ended with exit code {done.returncode}."
    return done.stdout, AudioError(f"The speech synthesiser {command[0]} failed: {reason}")


def rate_and_pitch(random: np.random.Generator, voice: Voice, rates: Range, pitches: Range) -> tuple[float, float]:
    """A random rate and pitch for a voice, within the limits given or, for a natural voice, within narrower ones."""
    limits = (NATURAL_RATES, NATURAL_PITCHES) if voice.is_natural else (rates, pitches)
    rate, pitch = (float(np.exp(random.uniform(*np.log(each)))) for each in limits)
    return rate, pitch


def loudness_and_gain(speech: Samples, level: float) -> tuple[float, float]:
    """The root mean square of speech, and the gain to `level` dB of full scale, or less where the peak would clip."""
    loudness = float(np.sqrt(np.mean(np.square(speech))))
    return loudness, min(10 ** (level / 20) / loudness, PEAK / float(np.abs(speech).max()))
