"""The program `flite` as a speech synthesiser, with its voices of recorded people."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from speechtl.audio.scripts import ENGLISH
from speechtl.audio.synthesis.base import RawSpeech, Synthesizer, Utterance, Voice, read_speech, run, speak_singly
from speechtl.errors import AudioError

ACCENTS = {"slt": "en-us", "rms": "en-us", "awb": "en-gb-scotland", "kal16": "en-us", "kal": "en-us"}
FIXED_PITCH = ("rms",)


class Flite:
    """The program `flite` on PATH."""

    name = "flite"

    def __init__(self, program: str) -> None:
        self._program = program

    def voices(self, language: str = ENGLISH) -> list[Voice]:
        """Return the voices compiled into the program; all of them are English."""
        if language != ENGLISH:
            return []
        present = run([self._program, "-lv"], "").decode().split()
        kept = [timbre for timbre in ACCENTS if timbre in present and not (timbre == "kal" and "kal16" in present)]
        return [Voice(self.name, ACCENTS[timbre], timbre) for timbre in kept]

    def speak(self, utterance: Utterance) -> RawSpeech:
        """Return samples at 8 or 16 kHz, as the voice has them."""
        if utterance.voice.timbre not in ACCENTS:  # flite would take another without a word
            raise AudioError(f"flite has no voice {utterance.voice.timbre!r}.")
        # A voice that keeps its pitch is made slower or faster, and the rate of the samples makes up for it.
        shift = utterance.pitch if utterance.voice.timbre in FIXED_PITCH else 1.0
        settings = ["--setf", f"duration_stretch={shift / utterance.rate:.4f}", "--setf", f"f0_shift={utterance.pitch:.4f}"]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "speech.wav"
            run([self._program, "-voice", utterance.voice.timbre, *settings, "-t", utterance.text, "-o", str(path)], "")
            samples, sample_rate = read_speech(path, utterance)
        return samples, round(sample_rate * shift)

    def speak_many(self, utterances: Iterable[Utterance]) -> list[RawSpeech | AudioError]:
        """Speak each text in a process of its own, which starts in milliseconds."""
        return speak_singly(self, utterances)


def find_flite() -> Synthesizer | None:
    """Return flite, or None when it is not on PATH."""
    program = shutil.which("flite")
    return Flite(program) if program else None
