"""The programs `festival` and `flite` as speech synthesisers, with their voices of recorded people.

Of festival's voices one is statistical (`slt`, from Debian's festvox-us-slt-hts) and two are joined from recorded pieces (`kal` and
`ked`, from festvox-kallpc16k and festvox-kdlpc16k).
"""

from __future__ import annotations

import json
import shutil
import tempfile
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from speechtl.audio.scripts import ENGLISH
from speechtl.audio.synthesis.base import (
    SECONDS_TO_WAIT,
    RawSpeech,
    SpokenText,
    Synthesizer,
    Voice,
    read_speech,
    run,
    run_partly,
    speak_alone,
    speak_singly,
)
from speechtl.errors import AudioError

VOICES = {"slt": "cmu_us_slt_arctic_hts", "ked": "ked_diphone", "kal": "kal_diphone"}
HEAP = ("--heap", "2000000")  # cells: filling the usual twenty million takes longer than a sentence
PITCHES = {"ked": (105, 15), "kal": (105, 14)}  # mean and standard deviation in hertz, as the voices set them

_DEFINITIONS = """
(define (say text path)
  (utt.save.wave (utt.synth (eval (list 'Utterance 'Text text))) path 'riff))
(define (bend mean deviation)
  (set! int_lr_params (list (list 'target_f0_mean mean) (list 'target_f0_std deviation)
                            '(model_f0_mean 170) '(model_f0_std 34))))
"""


class Festival:
    """The program `festival` on PATH."""

    name = "festival"

    def __init__(self, program: str) -> None:
        self._program = program

    def voices(self, language: str = ENGLISH) -> list[Voice]:
        """The known voices that are installed; all of them are English."""
        if language != ENGLISH:
            return []
        present = run([self._program, "--pipe"], "(print (voice.list))").decode().strip().strip("()").split()
        return [Voice(self.name, "en-us", timbre) for timbre, voice in VOICES.items() if voice in present]

    def speak(self, utterance: SpokenText) -> RawSpeech:
        """16 or 32 kHz samples."""
        return speak_alone(self, utterance)

    def speak_many(self, utterances: Iterable[SpokenText]) -> list[RawSpeech | AudioError]:
        """Speak one after the other in one process, which takes a quarter of a second to start, and in a new one after a crash."""
        left = list(utterances)
        spoken: list[RawSpeech | AudioError] = []
        while left:
            with tempfile.TemporaryDirectory() as folder:
                paths = [Path(folder) / f"{index}.wav" for index in range(len(left))]
                script = "\n".join([_DEFINITIONS, *map(_script, left, paths)])
                _, failure = run_partly([self._program, *HEAP, "--pipe"], script, seconds=SECONDS_TO_WAIT + len(left))
                done = len(left)
                if failure is not None:  # on the text after the last one that has a file
                    done = max((index + 2 for index, path in enumerate(paths) if path.exists()), default=1)
                spoken += [_read(path, utterance, failure) for path, utterance in zip(paths[:done], left, strict=False)]
            left = left[done:]
        return spoken


def find_festival() -> Synthesizer | None:
    """Festival, or None when it is not on PATH."""
    program = shutil.which("festival")
    return Festival(program) if program else None


def _script(utterance: SpokenText, path: Path) -> str:
    timbre = utterance.voice.timbre
    if timbre not in VOICES:
        return ""
    lines = [f"(voice_{VOICES[timbre]})"]
    if timbre in PITCHES:
        mean, deviation = (round(hertz * utterance.pitch, 2) for hertz in PITCHES[timbre])
        lines += [f"(Parameter.set 'Duration_Stretch {1 / utterance.rate:.4f})", f"(bend {mean} {deviation})"]
    else:
        speed = utterance.rate / utterance.pitch
        lines.append(f'(set! hts_engine_params (append hts_engine_params (list (list "-r" {speed:.4f}))))')
    return "\n".join([*lines, f"(say {_quoted(utterance.text)} {json.dumps(str(path))})"])


def _quoted(text: str) -> str:
    """A text as festival reads it: one line of ASCII in quotes."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return json.dumps(" ".join(plain.split()))


def _read(path: Path, utterance: SpokenText, failure: AudioError | None) -> RawSpeech | AudioError:
    if not path.exists():
        return failure or AudioError(f"The voice {utterance.voice.name} could not say {utterance.text!r}.")
    try:
        samples, sample_rate = read_speech(path, utterance)
    except AudioError as error:
        return error
    # The engine of statistical voices has no setting for the pitch: it speaks slower or faster, and the rate of the samples makes up.
    shifted = utterance.voice.timbre not in PITCHES
    return samples, round(sample_rate * utterance.pitch) if shifted else sample_rate


ACCENTS = {"slt": "en-us", "rms": "en-us", "awb": "en-gb-scotland", "kal16": "en-us", "kal": "en-us"}
FIXED_PITCH = ("rms",)


class Flite:
    """The program `flite` on PATH."""

    name = "flite"

    def __init__(self, program: str) -> None:
        self._program = program

    def voices(self, language: str = ENGLISH) -> list[Voice]:
        """The voices compiled into the program; all of them are English."""
        if language != ENGLISH:
            return []
        present = run([self._program, "-lv"], "").decode().split()
        kept = [timbre for timbre in ACCENTS if timbre in present and not (timbre == "kal" and "kal16" in present)]
        return [Voice(self.name, ACCENTS[timbre], timbre) for timbre in kept]

    def speak(self, utterance: SpokenText) -> RawSpeech:
        """Samples at 8 or 16 kHz, as the voice has them."""
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

    def speak_many(self, utterances: Iterable[SpokenText]) -> list[RawSpeech | AudioError]:
        """Speak each text in a process of its own, which starts in milliseconds."""
        return speak_singly(self, utterances)


def find_flite() -> Synthesizer | None:
    """Flite, or None when it is not on PATH."""
    program = shutil.which("flite")
    return Flite(program) if program else None
