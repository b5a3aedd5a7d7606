"""The speech synthesisers at hand: eSpeak NG (from PyPI or on PATH) and flite (on PATH).

The shared library of `espeakng-loader` comes before the program `espeak-ng`: it is one known version, and its noise is seeded, so
that the same text gives the same samples on every machine.
"""

from __future__ import annotations

import importlib
import math
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from speechtl.audio import espeak
from speechtl.audio.sentences import plain
from speechtl.errors import AudioError, MissingExtraError
from speechtl.runtime.samples import SAMPLE_RATE

WORDS_PER_MINUTE = 175  # eSpeak NG's own rate
PITCH_CENTRE, PITCH_PER_OCTAVE = 50, 75  # eSpeak NG's scale of 0 to 99; measured, it bends a little
SECONDS_TO_WAIT = 60.0
WIDEST_RATES = (0.5, 2.0)
WIDEST_PITCHES = (0.7, 1.6)
SILENCE = 0.003  # of the peak (-50 dB): below any fricative, above the synthesisers' rounding noise

Samples = npt.NDArray[np.float32]
RawSpeech = tuple[Samples, int]

ACCENTS = ("en-us", "en-gb", "en-gb-scotland", "en-us-nyc", "en-gb-x-rp", "en-029", "en-gb-x-gbclan", "en-gb-x-gbcwmd")
PLAIN = "plain"  # the timbre of a voice without a variant

# Left out: robots and echoes (robosoft, UniRobot, announcer, RicishayMax, Demonic), near copies of others (Gene2, steph2, iven3,
# klatt6), variants without a voice (caleb), and one that clips (antonio). Ordered so that men, women and unusual voices alternate.
TIMBRES = (
    *(PLAIN, "f1", "m1", "f2", "Alex", "m2", "f3", "m3", "Annie", "klatt2", "m4", "f4", "Mike", "belinda", "m5", "Reed", "f5", "m7"),
    *("aunty", "Andy", "john", "linda", "croak", "Gene", "steph", "m8", "grandma", "david", "shelby", "Diogo", "Alicia", "m6", "Denis"),
    *("Andrea", "edward", "Jacky", "anika", "Lee", "Mario", "whisper", "Michael", "Nguyen", "Storm", "zac", "benjamin"),
    *("boris", "ed", "whisperf", "grandpa", "gustave", "Henrique", "Hugo", "ian", "iven2", "klatt4", "marcelo", "max", "mike2"),
    *("norbert", "pablo", "paul", "pedro", "quincy", "rob", "sandro", "travis", "victor", "miguel", "adam", "michel", "AnxiousAndy"),
)
FLITE_ACCENTS = {"slt": "en-us", "rms": "en-us", "awb": "en-gb-scotland", "kal16": "en-us", "kal": "en-us"}


@dataclass(frozen=True)
class Voice:
    """A way of speaking. `name` is stable and serves as speaker; voices of one `timbre` sound like one person in several accents."""

    synthesizer: str
    accent: str
    timbre: str

    @property
    def name(self) -> str:
        """Return the name of the speaker, such as `espeak:en-us+f3` or `flite:slt`."""
        if self.synthesizer == "flite":
            return f"flite:{self.timbre}"
        return f"{self.synthesizer}:{self.accent}" + ("" if self.timbre == PLAIN else f"+{self.timbre}")

    @property
    def variant(self) -> str:
        """Return what eSpeak NG is to be asked for, such as `en-us+f3`."""
        # British English goes by the name of its file: asked for `en-gb+f3`, eSpeak NG leaves the timbre out without a word.
        accent = "en" if self.accent == "en-gb" else self.accent
        return accent if self.timbre == PLAIN else f"{accent}+{self.timbre}"

    @property
    def person(self) -> str:
        """Return what must not stand in two splits: the timbre, whatever its accent."""
        return f"{self.synthesizer}:{self.timbre}"


class Synthesizer(Protocol):
    """A program that speaks."""

    name: str

    def voices(self) -> list[Voice]:
        """Return the voices that are present, the most different ones first."""

    def speak(self, text: str, voice: Voice, rate: float, pitch: float) -> RawSpeech:
        """Return samples and their rate; `rate` and `pitch` are factors."""


class EspeakLibrary:
    """eSpeak NG as the shared library that `espeakng-loader` carries; runs `espeak.py` in a process for each text."""

    name = "espeak"

    def __init__(self, library: Path, data: Path) -> None:
        # The data is named relative to its parent: eSpeak NG cuts paths at 160 characters.
        self._command = [sys.executable, "-I", "-S", str(Path(espeak.__file__).resolve()), str(library), data.name]
        self._folder = data.parent

    def voices(self) -> list[Voice]:
        """Return accents crossed with timbres."""
        accents, timbres = (line.split() for line in _run(self._command, "", self._folder).decode().splitlines())
        return _spread(accents, timbres)

    def speak(self, text: str, voice: Voice, rate: float, pitch: float) -> RawSpeech:
        """Return 22.05 kHz samples."""
        command = [*self._command, voice.variant, *_espeak_settings(rate, pitch)]
        sample_rate, _, sound = _run(command, text, self._folder).partition(b"\n")
        return _from_int16(sound), int(sample_rate)


class EspeakProgram:
    """The program `espeak-ng` on PATH; from version 1.52 on, breathy voices differ a little from run to run."""

    name = "espeak"

    def __init__(self, program: str) -> None:
        self._program = program

    def voices(self) -> list[Voice]:
        """Return accents crossed with timbres."""
        accents = [columns[1] for columns in self._table("en")]
        timbres = [column.removeprefix("!v/") for columns in self._table("variant") for column in columns if column.startswith("!v/")]
        return _spread(accents, timbres)

    def speak(self, text: str, voice: Voice, rate: float, pitch: float) -> RawSpeech:
        """Return 22.05 kHz samples."""
        words_per_minute, pitch_setting = _espeak_settings(rate, pitch)
        settings = ["-v", voice.variant, "-s", words_per_minute, "-p", pitch_setting, "-a", str(espeak.VOLUME)]
        wave = _run([self._program, *settings, "--stdin", "--stdout"], text)
        # The header announces 2 GB, since its writer could not know the length: read the rate and skip to the samples.
        start = wave.find(b"data") + 8
        return _from_int16(wave[start:]), int.from_bytes(wave[24:28], "little")

    def _table(self, language: str) -> list[list[str]]:
        return [line.split() for line in _run([self._program, f"--voices={language}"], "").decode().splitlines()[1:]]


class Flite:
    """The program `flite` on PATH, with its voices of recorded people; `rms` keeps its pitch whatever is asked."""

    name = "flite"

    def __init__(self, program: str) -> None:
        self._program = program

    def voices(self) -> list[Voice]:
        """Return the voices compiled into the program."""
        present = _run([self._program, "-lv"], "").decode().split()
        kept = [timbre for timbre in FLITE_ACCENTS if timbre in present and not (timbre == "kal" and "kal16" in present)]
        return [Voice(self.name, FLITE_ACCENTS[timbre], timbre) for timbre in kept]

    def speak(self, text: str, voice: Voice, rate: float, pitch: float) -> RawSpeech:
        """Return samples at 8 or 16 kHz, as the voice has them."""
        settings = ["--setf", f"duration_stretch={1 / rate:.4f}", "--setf", f"f0_shift={pitch:.4f}"]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "speech.wav"
            _run([self._program, "-voice", voice.timbre, *settings, "-t", text, "-o", str(path)], "")
            samples, sample_rate = soundfile.read(path, dtype="float32")
        return samples, sample_rate


def find_synthesizers() -> list[Synthesizer]:
    """Return the synthesisers on this machine; raises `MissingExtraError` when there is none."""
    finders: list[Callable[[], Synthesizer | None]] = [_find_espeak, _find_flite]
    found = [synthesizer for find in finders if (synthesizer := find()) is not None]
    if not found:
        raise MissingExtraError("Speech synthesis without espeak-ng on PATH (on Debian and Ubuntu: apt install espeak-ng)", "synthesis")
    return found


def voices() -> list[Voice]:
    """Return every voice on this machine, the most different ones first; raises `MissingExtraError` when there is none."""
    by_synthesizer = [synthesizer.voices() for synthesizer in find_synthesizers()]
    return [voice for found in reversed(by_synthesizer) for voice in found]


def synthesizer_of(voice: Voice) -> Synthesizer:
    """Return the synthesiser that has this voice; raises `AudioError` when it is not on this machine."""
    for synthesizer in find_synthesizers():
        if synthesizer.name == voice.synthesizer:
            return synthesizer
    raise AudioError(f"The voice {voice.name} needs {voice.synthesizer}, which is not on this machine.")


def speak(text: str, voice: Voice, *, rate: float = 1.0, pitch: float = 1.0) -> Samples:
    """Return speech as float32 samples `(samples,)` at 16 kHz, without silence around it.

    `rate` (0.5 to 2) and `pitch` (0.7 to 1.6) are factors on the voice's own. Raises `AudioError` when there is nothing to say or the
    synthesis fails, and `MissingExtraError` when no synthesiser is on this machine.
    """
    spoken = "".join(character if character.isprintable() else " " for character in text).strip()
    if not plain(spoken):
        raise AudioError(f"There is nothing to say in {text!r}; give at least one word.")
    _check_within("rate", rate, WIDEST_RATES)
    _check_within("pitch", pitch, WIDEST_PITCHES)
    samples, sample_rate = synthesizer_of(voice).speak(spoken, voice, rate, pitch)
    if sample_rate != SAMPLE_RATE and len(samples):
        samples = soxr.resample(samples, sample_rate, SAMPLE_RATE)
    trimmed = _trim(samples)
    if not len(trimmed):
        raise AudioError(f"The voice {voice.name} gave no sound for {text!r}.")
    return trimmed


def _find_espeak() -> Synthesizer | None:
    try:
        loader = importlib.import_module("espeakng_loader")
        library, data = Path(loader.get_library_path()), Path(loader.get_data_path())
    except (ImportError, RuntimeError):
        library = data = Path()
    if library.is_file() and data.is_dir():
        return EspeakLibrary(library, data)
    program = shutil.which("espeak-ng")
    return EspeakProgram(program) if program else None


def _find_flite() -> Synthesizer | None:
    program = shutil.which("flite")
    return Flite(program) if program else None


def _trim(samples: Samples) -> Samples:
    if not len(samples):
        return samples
    loud = np.flatnonzero(np.abs(samples) > SILENCE * np.abs(samples).max())
    return samples[loud[0] : loud[-1] + 1] if len(loud) else samples[:0]


def _check_within(what: str, value: float, limits: tuple[float, float]) -> None:
    if not limits[0] <= value <= limits[1]:
        raise AudioError(f"{what} must lie between {limits[0]:g} and {limits[1]:g}, 1 being the voice's own; got {value:g}.")


def _spread(accents: Sequence[str], timbres: Sequence[str]) -> list[Voice]:
    """Cross accents with timbres; every timbre comes once, in accents that rotate, before any comes a second time."""
    known_accents = [accent for accent in ACCENTS if accent in accents]
    known_timbres = [timbre for timbre in TIMBRES if timbre == PLAIN or timbre in timbres]
    turns = range(len(known_accents))
    return [
        Voice("espeak", known_accents[(turn + position) % len(known_accents)], timbre)
        for turn in turns
        for position, timbre in enumerate(known_timbres)
    ]


def _espeak_settings(rate: float, pitch: float) -> tuple[str, str]:
    pitch_setting = min(max(round(PITCH_CENTRE + PITCH_PER_OCTAVE * math.log2(pitch)), 0), 99)
    return str(round(WORDS_PER_MINUTE * rate)), str(pitch_setting)


def _from_int16(sound: bytes) -> Samples:
    return np.frombuffer(sound[: len(sound) // 2 * 2], "<i2").astype(np.float32) / np.float32(32768.0)


def _run(command: list[str], text: str, folder: Path | None = None) -> bytes:
    try:
        done = subprocess.run(command, input=text.encode(), capture_output=True, cwd=folder, timeout=SECONDS_TO_WAIT, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise AudioError(f"The speech synthesiser {command[0]} could not be run: {error}") from error
    if done.returncode != 0:
        reason = done.stderr.decode(errors="replace").strip() or f"it ended with exit code {done.returncode}."
        raise AudioError(f"The speech synthesiser {command[0]} failed: {reason}")
    return done.stdout
