"""eSpeak NG as a speech synthesiser: accents and languages crossed with timbres, from its shared library or its program."""

from __future__ import annotations

import importlib
import math
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from speechtl.audio.pronunciation import is_pronunciation, mnemonics
from speechtl.audio.scripts import ENGLISH
from speechtl.audio.synthesis import espeak_process as espeak
from speechtl.audio.synthesis.base import PLAIN, SECONDS_TO_WAIT, RawSpeech, SpokenText, Synthesizer, Voice, run, run_partly, speak_singly
from speechtl.errors import AudioError
from speechtl.runtime.samples import Samples, from_int16

WORDS_PER_MINUTE = 175  # eSpeak NG's own rate
PITCH_CENTRE, PITCH_PER_OCTAVE = 50, 75  # eSpeak NG's scale of 0 to 99; measured, it bends a little

ACCENTS = ("en-us", "en-gb", "en-gb-scotland", "en-us-nyc", "en-gb-x-rp", "en-029", "en-gb-x-gbclan", "en-gb-x-gbcwmd")

# Left out: robots and echoes (robosoft, UniRobot, announcer, RicishayMax, Demonic), near copies of others (Gene2, steph2, iven3,
# klatt6), variants without a voice (caleb), and one that clips (antonio). Ordered so that men, women and unusual voices alternate.
TIMBRES = (
    *(PLAIN, "f1", "m1", "f2", "Alex", "m2", "f3", "m3", "Annie", "klatt2", "m4", "f4", "Mike", "belinda", "m5", "Reed", "f5", "m7"),
    *("aunty", "Andy", "john", "linda", "croak", "Gene", "steph", "m8", "grandma", "david", "shelby", "Diogo", "Alicia", "m6", "Denis"),
    *("Andrea", "edward", "Jacky", "anika", "Lee", "Mario", "whisper", "Michael", "Nguyen", "Storm", "zac", "benjamin"),
    *("boris", "ed", "whisperf", "grandpa", "gustave", "Henrique", "Hugo", "ian", "iven2", "klatt4", "marcelo", "max", "mike2"),
    *("norbert", "pablo", "paul", "pedro", "quincy", "rob", "sandro", "travis", "victor", "miguel", "adam", "michel", "AnxiousAndy"),
)


class EspeakLibrary:
    """eSpeak NG as the shared library that `espeakng-loader` carries; runs `espeak_process.py` in a process of its own."""

    name = "espeak"

    def __init__(self, library: Path, data: Path) -> None:
        # The data is named relative to its parent: eSpeak NG cuts paths at 160 characters.
        self._command = [sys.executable, "-I", "-S", str(Path(espeak.__file__).resolve()), str(library), data.name]
        self._folder = data.parent

    def voices(self, language: str = ENGLISH) -> list[Voice]:
        """The accents of a language crossed with timbres."""
        accents, timbres = (line.split() for line in run(self._command, "", self._folder).decode().splitlines())
        return _spread(language, accents, timbres)

    def speak(self, utterance: SpokenText) -> RawSpeech:
        """22.05 kHz samples."""
        command = [*self._command, utterance.voice.variant, *_settings(utterance)]
        sample_rate, _, sound = run(command, _read_out(utterance), self._folder).partition(b"\n")
        return _samples(sound), int(sample_rate)

    def speak_many(self, utterances: Iterable[SpokenText]) -> list[RawSpeech | AudioError]:
        """Speak one after the other in one process, and in a new one after a text on which it fails.

        The same list gives the same samples, but not those of `speak`: the library keeps state from one text to the next.
        """
        left = list(utterances)
        spoken: list[RawSpeech | AudioError] = []
        while left:
            lines = ["\t".join((each.voice.variant, *_settings(each), " ".join(_read_out(each).split()))) for each in left]
            output, failure = run_partly([*self._command, espeak.MANY], "\n".join(lines), self._folder, SECONDS_TO_WAIT + len(left))
            answers = _answers(output)[: len(left)]
            if len(answers) < len(left):
                answers.append(failure or AudioError("The speech synthesiser eSpeak NG gave no answer."))
            spoken += answers
            left = left[len(answers) :]
        return spoken

    def transcribe(self, texts: Sequence[str], accent: str) -> list[str]:
        """The phonemes of every text in the International Phonetic Alphabet, with `^` within a phoneme of several signs."""
        lines = "\n".join(" ".join(text.split()) for text in texts)
        command = [*self._command, Voice(self.name, accent, PLAIN).variant, espeak.IPA]
        written = run(command, lines, self._folder, SECONDS_TO_WAIT + len(texts)).decode().split("\n")[:-1]
        if len(written) != len(texts):
            raise AudioError(f"eSpeak NG gave the phonemes of {len(written)} texts for {len(texts)}.")
        return written


class EspeakProgram:
    """The program `espeak-ng` on PATH; from version 1.52 on, breathy voices differ a little from run to run."""

    name = "espeak"

    def __init__(self, program: str) -> None:
        self._program = program

    def voices(self, language: str = ENGLISH) -> list[Voice]:
        """The accents of a language crossed with timbres."""
        accents = [columns[1] for columns in self._table(language)]
        timbres = [column.removeprefix("!v/") for columns in self._table("variant") for column in columns if column.startswith("!v/")]
        return _spread(language, accents, timbres)

    def speak(self, utterance: SpokenText) -> RawSpeech:
        """22.05 kHz samples."""
        words_per_minute, pitch_setting = _settings(utterance)
        settings = ["-v", utterance.voice.variant, "-s", words_per_minute, "-p", pitch_setting, "-a", str(espeak.VOLUME)]
        wave = run([self._program, *settings, "--stdin", "--stdout"], _read_out(utterance))
        # The header announces 2 GB, since its writer could not know the length: read the rate and skip to the samples.
        start = wave.find(b"data") + 8
        return _samples(wave[start:]), int.from_bytes(wave[24:28], "little")

    def speak_many(self, utterances: Iterable[SpokenText]) -> list[RawSpeech | AudioError]:
        """Speak each text in a process of its own."""
        return speak_singly(self, utterances)

    def _table(self, language: str) -> list[list[str]]:
        return [line.split() for line in run([self._program, f"--voices={language}"], "").decode().splitlines()[1:]]


def find_espeak() -> Synthesizer | None:
    """eSpeak NG, from PyPI before the program on PATH, or None when there is neither."""
    try:
        loader = importlib.import_module("espeakng_loader")
        library, data = Path(loader.get_library_path()), Path(loader.get_data_path())
    except (ImportError, RuntimeError):
        library = data = Path()
    if library.is_file() and data.is_dir():
        return EspeakLibrary(library, data)
    program = shutil.which("espeak-ng")
    return EspeakProgram(program) if program else None


def _spread(language: str, accents: Sequence[str], timbres: Sequence[str]) -> list[Voice]:
    """Cross the accents of a language with timbres; every timbre comes once, in accents that rotate, before any comes a second time."""
    known_accents = [accent for accent in (ACCENTS if language == ENGLISH else (language,)) if accent in accents]
    known_timbres = [timbre for timbre in TIMBRES if timbre == PLAIN or timbre in timbres]
    turns = range(len(known_accents))
    return [
        Voice("espeak", known_accents[(turn + position) % len(known_accents)], timbre)
        for turn in turns
        for position, timbre in enumerate(known_timbres)
    ]


def _read_out(utterance: SpokenText) -> str:
    """What eSpeak NG is given to read: a text, or the mnemonics of a pronunciation."""
    return mnemonics(utterance.text) if is_pronunciation(utterance.text) else utterance.text


def _settings(utterance: SpokenText) -> tuple[str, str]:
    pitch_setting = min(max(round(PITCH_CENTRE + PITCH_PER_OCTAVE * math.log2(utterance.pitch)), 0), 99)
    return str(round(WORDS_PER_MINUTE * utterance.rate)), str(pitch_setting)


def _answers(output: bytes) -> list[RawSpeech | AudioError]:
    """Parse the output of `espeak_process.py` for many texts; an answer that was cut short is left out."""
    answers: list[RawSpeech | AudioError] = []
    start = 0
    while (end := output.find(b"\n", start)) >= 0:
        sample_rate, size = (int(word) for word in output[start:end].split())
        start = end + 1 + size
        if start > len(output):
            break
        answers.append((_samples(output[end + 1 : start]), sample_rate))
    return answers


def _samples(sound: bytes) -> Samples:
    return from_int16(np.frombuffer(sound, "<i2", len(sound) // 2))
