"""Checks of one take of the word: its length, level, clipping and background, each problem with a remedy.

Only numpy is needed, so that a device without the packages of training can record.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from speechtl.audio.data.align import find_word
from speechtl.audio.data.folder_check import CLIPPED, FULL_SCALE, SILENT_DB
from speechtl.audio.data.takes import expected_seconds, has_word
from speechtl.runtime.samples import SAMPLE_RATE, Samples

# Chosen on 670 takes of four wake words, of which each of these flags at most 1 % (training/studies/takes.py).
QUIET_DB = -50.0  # dBFS of the word
NOISY_DB = 8.0  # dB of the word above its background
EDGE = 0.03  # seconds between the word and the start or end of the take
BACKGROUND = 0.1  # seconds needed around the word to measure its background
AROUND = 0.05  # seconds around the word that belong to neither


@dataclass(frozen=True)
class TakeProblem:
    """A problem of a take: its kind (`short`, `clipped`, ...), a sentence, and a sentence with the remedy."""

    kind: str
    sentence: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.sentence} {self.remedy}"


DIFFERENT = TakeProblem(
    "different", "The take sounds different from the others.", "Listen to it: was the whole word said, and nothing else?"
)


@dataclass(frozen=True)
class TakeCheck:
    """Measurements of a take (seconds, dBFS, dB, share of clipped samples) and its problems; `word` is None if none was found."""

    seconds: float
    word: tuple[float, float] | None
    peak_db: float
    level_db: float  # of the word; of the whole take where none was found
    snr_db: float | None  # of the word above its background; None where there is too little background
    clipped: float
    problems: tuple[TakeProblem, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether no problem was found."""
        return not self.problems

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of the problems."""
        return tuple(problem.kind for problem in self.problems)

    def with_problem(self, problem: TakeProblem) -> TakeCheck:
        """The check with one more problem."""
        return replace(self, problems=(*self.problems, problem))

    def to_json(self) -> dict[str, Any]:
        """The check for a program to read; levels of digital silence are null."""
        levels = {"peak_db": self.peak_db, "level_db": self.level_db, "snr_db": self.snr_db}
        return {
            "seconds": round(self.seconds, 3),
            "word": None if self.word is None else [round(time, 3) for time in self.word],
            **{name: None if value is None or not np.isfinite(value) else round(value, 1) for name, value in levels.items()},
            "clipped": round(self.clipped, 5),
            "problems": [{"kind": problem.kind, "sentence": problem.sentence, "remedy": problem.remedy} for problem in self.problems],
        }


def check_take(samples: Samples, phrases: Sequence[str], *, clipped: float | None = None) -> TakeCheck:
    """Check 16 kHz mono samples with one of the `phrases`.

    `clipped` is the share of clipped samples if it was measured before the rate was converted, which hides clipping.
    """
    loud = np.abs(samples)
    peak = float(loud.max(initial=0.0))
    word = find_word(samples) if has_word(samples) else None
    first, last = (0, len(samples)) if word is None else (round(word[0] * SAMPLE_RATE), round(word[1] * SAMPLE_RATE))
    if clipped is None:
        clipped = float(np.mean(loud[first:last] >= FULL_SCALE)) if last > first else 0.0
    level = _level_db(samples[first:last])
    check = TakeCheck(len(samples) / SAMPLE_RATE, word, _db(peak), level, _snr_db(samples, first, last, level), clipped)
    return replace(check, problems=tuple(_problems(check, phrases)))


def _problems(check: TakeCheck, phrases: Sequence[str]) -> Iterator[TakeProblem]:
    if check.peak_db <= SILENT_DB:
        yield TakeProblem("silent", "The take is silent.", "Is the microphone muted? See: alsamixer, F4, and its switch.")
        return
    if check.clipped > CLIPPED:
        share = f"{100 * check.clipped:.1f} % of the samples are clipped."
        yield TakeProblem("clipped", share, "Turn the gain of the microphone down, or move away from it.")
    if check.word is None:
        yield TakeProblem("no speech", "No speech was found in the take.", "Speak up, and nearer to the microphone.")
        return
    yield from _length_problems(check, check.word, phrases)
    if check.level_db < QUIET_DB:
        level = f"The word is quiet ({check.level_db:.0f} dBFS)."
        yield TakeProblem("quiet", level, "Turn the gain of the microphone up, or come nearer.")
    if check.snr_db is not None and check.snr_db < NOISY_DB:
        above = f"The word is only {max(check.snr_db, 0.0):.0f} dB louder than the background."
        yield TakeProblem("noisy", above, "Switch off what makes the noise, or come nearer to the microphone.")


def _length_problems(check: TakeCheck, word: tuple[float, float], phrases: Sequence[str]) -> Iterator[TakeProblem]:
    start, end = word
    shortest, longest = expected_seconds(phrases)
    length = end - start
    if length < shortest:
        sentence = f"What was said is {length:.2f} s long; the word takes at least {shortest:.2f} s."
        yield TakeProblem("short", sentence, "Say the whole word.")
    elif length > longest:
        sentence = f"What was said is {length:.2f} s long; the word takes at most {longest:.2f} s."
        yield TakeProblem("long", sentence, "Say the word once, and nothing else.")
    if start < EDGE:
        yield TakeProblem("cut off", "The word begins at the very start of the take.", "Wait for the signal before you speak.")
    elif check.seconds - end < EDGE:
        yield TakeProblem("cut off", "The word ends at the very end of the take.", "Speak as soon as the signal comes.")


def _snr_db(samples: Samples, first: int, last: int, level: float) -> float | None:
    """Level of the word above that of the rest, in dB."""
    margin = round(AROUND * SAMPLE_RATE)
    rest = np.concatenate([samples[: max(first - margin, 0)], samples[last + margin :]])
    rest = rest[rest != 0.0]  # padding
    if len(rest) < BACKGROUND * SAMPLE_RATE:
        return None
    background = _level_db(rest)
    # The word's own level contains the background.
    word = 10.0 ** (level / 10.0) - 10.0 ** (background / 10.0)
    return _db(np.sqrt(max(word, 1e-12))) - background


def _level_db(samples: Samples) -> float:
    return _db(float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))) if len(samples) else -np.inf


def _db(amplitude: float) -> float:
    return float(20.0 * np.log10(amplitude)) if amplitude > 0.0 else -np.inf
