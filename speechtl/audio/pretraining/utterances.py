"""What an encoder is pretrained on: recordings with the phones that are said in them, or without."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from speechtl.audio.data.manifest import Clip, fault, read_manifests
from speechtl.audio.pretraining.phones import numbers, transcribe
from speechtl.audio.synthesis.base import SYNTHESISED
from speechtl.audio.synthesis.sentences import plain
from speechtl.errors import AudioError, ManifestError
from speechtl.runtime.sound.files import read_audio
from speechtl.text import counted, none_can_be_used

SHORTEST = 0.2  # seconds of a recording that is of use
OFTEN = 10  # times that a word is said alone to become a class
KEPT = "they, or whoever speaks in them, are kept for tests"
PHONES_A_SECOND = 25.0  # more cannot be said: the text is another's

Note = Callable[[str], None]


@dataclass(frozen=True)
class Utterance:
    """A recording of one piece of speech; `phones` are classes of CTC, or None where nobody wrote down what is said.

    `word` is the class of the one word that is all of it, None for everything else.
    """

    clip: Clip
    phones: tuple[int, ...] | None
    word: int | None = None

    def pcm(self) -> npt.NDArray[np.float32]:
        """Decode the recording: samples in [-1, 1] at 16 kHz."""
        assert self.clip.path is not None
        return read_audio(self.clip.path, self.clip.offset, self.clip.duration)


def read_utterances(
    transcribed: Sequence[Path], unlabelled: Sequence[Path], *, longest: float, note: Note, tested: Sequence[Utterance] = ()
) -> list[Utterance]:
    """Return the utterances of manifests, without lines of split "test" and without whoever speaks in those, or in what is `tested`.

    `longest` (seconds) is what a window holds. What cannot be used - too long or short, without a text or with one that
    cannot be said, missing or broken - is counted and reported to `note`. Raises `ManifestError` when nothing is left.
    """
    clips = {kind: read_manifests(paths) if paths else [] for kind, paths in (("transcribed", transcribed), ("unlabelled", unlabelled))}
    for_tests = {clip.person for several in clips.values() for clip in several if clip.split == "test"}
    for_tests = (for_tests | {one.clip.person for one in tested}) - {None}
    phones = dict.fromkeys(clip.text for clip in clips["transcribed"] if clip.text)
    spoken = dict(zip(phones, transcribe(list(phones)), strict=True)) if phones else {}
    left_out: Counter[str] = Counter()
    found: list[Utterance] = []
    for kind, several in clips.items():
        for clip in several:
            said = spoken.get(clip.text or "") if kind == "transcribed" else None
            problem = KEPT if clip.split == "test" or clip.person in for_tests else _problem(clip, kind, said, longest)
            if problem:
                left_out[problem] += 1
            else:
                found.append(Utterance(clip, tuple(numbers(said)) if said is not None else None))
    sound = _sound(found, left_out, note)
    if not sound:
        raise ManifestError(f"{none_can_be_used(sum(map(len, clips.values())), 'recording')} for pretraining.")
    return sound


def read_tested(manifests: Sequence[Path], *, longest: float, note: Note) -> list[Utterance]:
    """Return the utterances of split "test", of which nothing may have been learned; what cannot be used is reported to `note`."""
    clips = [clip for clip in read_manifests(manifests) if clip.split == "test"]
    if not clips:
        note(f'No error rate on test speakers: no line of {" or ".join(map(str, manifests))} is of split "test".')
    phones = transcribe([clip.text or "" for clip in clips])
    left_out: Counter[str] = Counter()
    found: list[Utterance] = []
    for clip, said in zip(clips, phones, strict=True):
        problem = _problem(clip, "transcribed", said, longest)
        if problem:
            left_out[problem] += 1
        else:
            found.append(Utterance(clip, tuple(numbers(said))))
    return _sound(found, left_out, note, of="test ")


def word_classes(utterances: Sequence[Utterance]) -> dict[str, int]:
    """Return the words that are said alone often enough to be told apart, each with its class."""
    said = Counter(filter(None, map(_only_word, utterances)))
    return {word: number for number, word in enumerate(sorted(word for word, times in said.items() if times >= OFTEN))}


def with_words(utterances: Sequence[Utterance], classes: dict[str, int]) -> list[Utterance]:
    """Return the utterances, those of a single known word with its class."""
    return [replace(utterance, word=classes.get(_only_word(utterance) or "")) for utterance in utterances]


def _only_word(utterance: Utterance) -> str | None:
    text = plain(utterance.clip.text or "") if utterance.phones else ""
    return text if text and " " not in text else None


def _problem(clip: Clip, kind: str, phones: Sequence[str] | None, longest: float) -> str | None:
    if clip.duration < SHORTEST:
        return f"shorter than {SHORTEST:g} s"
    if clip.duration > longest:
        return f"longer than the {longest:g} s that a window holds"
    if kind == "unlabelled":
        return None
    if not clip.text:
        return "no text"
    if not phones:
        return "a text without words, or with signs or sounds that English does not have"
    if len(phones) > PHONES_A_SECOND * clip.duration:
        return "a text that is too long for the recording"
    return None


def _fault(utterance: Utterance) -> str | None:
    """Say why a recording cannot be heard; all of it is decoded, unless it is our own."""
    problem = fault(utterance.clip)
    if problem is None and utterance.clip.source != SYNTHESISED:
        try:
            utterance.pcm()
        except AudioError as error:
            return str(error)
    return problem


def _sound(utterances: Sequence[Utterance], left_out: Counter[str], note: Note, of: str = "") -> list[Utterance]:
    """Return those whose recording is there and whole; report the others, and what was left out before."""
    with ThreadPoolExecutor(4) as pool:
        faults = list(pool.map(_fault, utterances))
    for problem in faults:
        if problem:
            left_out[f"missing or broken (the first: {problem.rstrip('.')})"] = sum(map(bool, faults))
            break
    for problem, count in left_out.items():
        note(f"Left out {counted(count, f'{of}recording')}: {problem}.")
    return [utterance for utterance, problem in zip(utterances, faults, strict=True) if not problem]
