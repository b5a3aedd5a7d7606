"""What an encoder is pretrained on: recordings with the phones that are said in them, or without."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from speechtl.audio.manifest import Clip, fault, read_manifests
from speechtl.audio.phones import numbers, transcribe_words
from speechtl.audio.sentences import plain
from speechtl.errors import ManifestError
from speechtl.runtime.audio import read_audio

SHORTEST = 0.2  # seconds of a recording that is of use
OFTEN = 10  # times that a word is said to become a class
LONG = 4  # phones of a word that counts inside a sentence; shorter ones are hardly said there
KEPT = "they, or whoever speaks in them, are kept for tests"
PHONES_A_SECOND = 25.0  # more cannot be said: the text is another's

Note = Callable[[str], None]


@dataclass(frozen=True)
class Utterance:
    """A recording of one piece of speech; `phones` are classes of CTC, or None where nobody wrote down what is said.

    `said` has the words of the text, each with the number of phones that are said when it ends; it is empty where the phones cannot
    be told apart by words. `words` has those that are to be known, as classes.
    """

    clip: Clip
    phones: tuple[int, ...] | None
    said: tuple[tuple[str, int], ...] = ()
    words: tuple[tuple[int, int], ...] = ()

    @property
    def alone(self) -> int | None:
        """The class of the one word that is all of it, None for everything else."""
        return self.words[0][0] if self.words and len(self.said) == 1 else None

    def pcm(self) -> npt.NDArray[np.float32]:
        """Decode the recording: samples in [-1, 1] at 16 kHz."""
        assert self.clip.path is not None
        return read_audio(self.clip.path, self.clip.offset, self.clip.duration)


def read_utterances(transcribed: Sequence[Path], unlabelled: Sequence[Path], *, longest: float, note: Note) -> list[Utterance]:
    """Return the utterances of manifests, without lines of split "test" and without whoever speaks in those.

    `longest` (seconds) is what a window holds. What cannot be used - too long or short, without a text or with one that
    cannot be said, missing or broken - is counted and reported to `note`. Raises `ManifestError` when nothing is left.
    """
    clips = {kind: read_manifests(paths) if paths else [] for kind, paths in (("transcribed", transcribed), ("unlabelled", unlabelled))}
    tested = {clip.speaker for several in clips.values() for clip in several if clip.split == "test"} - {None}
    texts = list(dict.fromkeys(clip.text for clip in clips["transcribed"] if clip.text))
    spoken = dict(zip(texts, transcribe_words(texts), strict=True)) if texts else {}
    left_out: Counter[str] = Counter()
    found: list[Utterance] = []
    for kind, several in clips.items():
        for clip in several:
            said = spoken.get(clip.text or "") if kind == "transcribed" else None
            problem = KEPT if clip.split == "test" or clip.speaker in tested else _problem(clip, kind, said, longest)
            if problem:
                left_out[problem] += 1
            else:
                found.append(_utterance(clip, said))
    sound = _sound(found, left_out, note)
    if not sound:
        raise ManifestError(f"None of the {sum(map(len, clips.values()))} recordings can be used for pretraining.")
    return sound


def read_tested(manifests: Sequence[Path], *, longest: float, note: Note) -> list[Utterance]:
    """Return the utterances of split "test", of which nothing may have been learned; what cannot be used is reported to `note`."""
    clips = [clip for clip in read_manifests(manifests) if clip.split == "test"]
    words = transcribe_words([clip.text or "" for clip in clips])
    left_out: Counter[str] = Counter()
    found: list[Utterance] = []
    for clip, said in zip(clips, words, strict=True):
        problem = _problem(clip, "transcribed", said, longest)
        if problem:
            left_out[problem] += 1
        else:
            found.append(_utterance(clip, said))
    return _sound(found, left_out, note, of="test ")


def word_classes(utterances: Sequence[Utterance]) -> dict[str, int]:
    """Return the words that are said often enough to be told apart, each with its class."""
    said = Counter(word for utterance in utterances for word, _ in _clear(utterance))
    return {word: number for number, word in enumerate(sorted(word for word, times in said.items() if times >= OFTEN))}


def with_words(utterances: Sequence[Utterance], classes: dict[str, int]) -> list[Utterance]:
    """Return the utterances with the classes of the known words in them."""
    known = (tuple((classes[word], end) for word, end in _clear(utterance) if word in classes) for utterance in utterances)
    return [replace(utterance, words=words) for utterance, words in zip(utterances, known, strict=True)]


def _clear(utterance: Utterance) -> list[tuple[str, int]]:
    """Return the words that can be made out: the only one, or the longer ones of a sentence."""
    begins = (0, *(end for _, end in utterance.said))
    alone = len(utterance.said) == 1
    return [(word, end) for (word, end), begin in zip(utterance.said, begins, strict=False) if alone or end - begin >= LONG]


def _utterance(clip: Clip, spoken: Sequence[Sequence[str]] | None) -> Utterance:
    """Return an utterance of which the phones are known by words, or nothing is."""
    if spoken is None:
        return Utterance(clip, None)
    words, ends = plain(clip.text or "").split(), itertools.accumulate(map(len, spoken))
    said = tuple(zip(words, ends, strict=True)) if len(words) == len(spoken) else ()
    return Utterance(clip, tuple(numbers([phone for word in spoken for phone in word])), said)


def _problem(clip: Clip, kind: str, spoken: Sequence[Sequence[str]] | None, longest: float) -> str | None:
    if clip.duration < SHORTEST:
        return f"shorter than {SHORTEST:g} s"
    if clip.duration > longest:
        return f"longer than the {longest:g} s that a window holds"
    if kind == "unlabelled":
        return None
    if not clip.text:
        return "no text"
    if not spoken:
        return "a text without words, or with sounds that English does not have"
    if sum(map(len, spoken)) > PHONES_A_SECOND * clip.duration:
        return "a text that is too long for the recording"
    return None


def _sound(utterances: Sequence[Utterance], left_out: Counter[str], note: Note, of: str = "") -> list[Utterance]:
    """Return those whose recording is there and whole; report the others, and what was left out before."""
    with ThreadPoolExecutor(4) as pool:
        faults = list(pool.map(lambda utterance: fault(utterance.clip), utterances))
    for problem in faults:
        if problem:
            left_out[f"missing or broken (the first: {problem.rstrip('.')})"] = sum(map(bool, faults))
            break
    for problem, count in left_out.items():
        note(f"Left out {count} {of}recordings: {problem}.")
    return [utterance for utterance, problem in zip(utterances, faults, strict=True) if not problem]
