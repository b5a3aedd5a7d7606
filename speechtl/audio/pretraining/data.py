"""Utterances with or without their phones, and windows of one length that are packed with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from speechtl.audio.augment import Augmenter, at_level, change_speed, in_room
from speechtl.audio.data.align import find_word
from speechtl.audio.data.manifest import Clip, fault, read_manifests
from speechtl.audio.evaluation.streams import quiet
from speechtl.audio.pretraining.phones import numbers, transcribe
from speechtl.audio.synthesis.base import SYNTHESISED
from speechtl.audio.synthesis.sentences import plain
from speechtl.errors import AudioError, ManifestError
from speechtl.progress import Log
from speechtl.runtime.features import LogMel, LogMelSettings
from speechtl.runtime.samples import SAMPLE_RATE, Floats, Samples
from speechtl.runtime.sound.files import read_audio
from speechtl.text import counted, none_can_be_used

SHORTEST = 0.2  # seconds of a recording that is of use
OFTEN = 10  # times that a word must occur alone to become a class
KEPT = "they, or their speakers, are in the test split"
PHONES_A_SECOND = 25.0  # nobody speaks faster: the text belongs to another recording


@dataclass(frozen=True)
class Utterance:
    """A recording of one piece of speech; `phones` are classes of CTC, or None without a transcript.

    `word` is the class of the one word that is all of it, None for everything else.
    """

    clip: Clip
    phones: tuple[int, ...] | None
    word: int | None = None

    def pcm(self) -> Samples:
        """Decode the recording: samples in [-1, 1] at 16 kHz."""
        assert self.clip.path is not None
        return read_audio(self.clip.path, self.clip.offset, self.clip.duration, self.clip.channel)


def read_utterances(
    transcribed: Sequence[Path], unlabelled: Sequence[Path], *, longest: float, log: Log, tested: Sequence[Utterance] = ()
) -> list[Utterance]:
    """The utterances of manifests, without split "test" and without the speakers of that split or of `tested`.

    `longest` (seconds) is what a window holds. What cannot be used - too long or short, without a text or with one that
    cannot be said, missing or broken - is counted and reported to `log`. Raises `ManifestError` when nothing is left.
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
    sound = _sound(found, left_out, log)
    if not sound:
        raise ManifestError(f"{none_can_be_used(sum(map(len, clips.values())), 'recording')} for pretraining.")
    return sound


def read_tested(manifests: Sequence[Path], *, longest: float, log: Log) -> list[Utterance]:
    """The utterances of split "test", which are never trained on; those that cannot be used are reported to `log`."""
    clips = [clip for clip in read_manifests(manifests) if clip.split == "test"]
    if not clips:
        log(f'No error rate on test speakers: no line of {" or ".join(map(str, manifests))} has split "test".')
    phones = transcribe([clip.text or "" for clip in clips])
    left_out: Counter[str] = Counter()
    found: list[Utterance] = []
    for clip, said in zip(clips, phones, strict=True):
        problem = _problem(clip, "transcribed", said, longest)
        if problem:
            left_out[problem] += 1
        else:
            found.append(Utterance(clip, tuple(numbers(said))))
    return _sound(found, left_out, log, of="test ")


def word_classes(utterances: Sequence[Utterance]) -> dict[str, int]:
    """The words that are said alone often enough to become classes, with their class numbers."""
    said = Counter(filter(None, map(_only_word, utterances)))
    return {word: number for number, word in enumerate(sorted(word for word, times in said.items() if times >= OFTEN))}


def with_words(utterances: Sequence[Utterance], classes: dict[str, int]) -> list[Utterance]:
    """The utterances, with the class of those that are a single known word."""
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
    """The reason why a recording cannot be read, if there is one; all of it is decoded, unless we synthesised it."""
    problem = fault(utterance.clip)
    if problem is None and utterance.clip.source != SYNTHESISED:
        try:
            utterance.pcm()
        except AudioError as error:
            return str(error)
    return problem


def _sound(utterances: Sequence[Utterance], left_out: Counter[str], log: Log, of: str = "") -> list[Utterance]:
    """The utterances whose recording exists and can be read; the others, and those left out before, are reported."""
    with ThreadPoolExecutor(4) as pool:
        faults = list(pool.map(_fault, utterances))
    for problem in faults:
        if problem:
            left_out[f"missing or broken (the first: {problem.rstrip('.')})"] = sum(map(bool, faults))
            break
    for problem, count in left_out.items():
        log(f"Left out {counted(count, f'{of}recording')}: {problem}.")
    return [utterance for utterance, problem in zip(utterances, faults, strict=True) if not problem]


Words = list[tuple[int, int]]  # classes and the log-mel frames at which they end
Teacher = Callable[[Samples], Floats]  # samples to embeddings (steps, size)

LEAD = 1.5  # seconds before the first utterance: what the first outputs see
SECONDS = 20.0  # of a window
PAUSES = (0.05, 0.45)  # seconds between two utterances
LEVELS = (-29.0, -23.0)  # dB of full scale, of an utterance's active parts
LONGEST = (SECONDS - LEAD) / 1.15  # seconds of an utterance, with room for slower speech


@dataclass(frozen=True)
class Window:
    """Utterances that follow each other; `phones` are all of theirs, or None where one has none."""

    utterances: tuple[Utterance, ...]
    seed: tuple[int, ...]

    @property
    def phones(self) -> list[int] | None:
        """The phones of all utterances in order."""
        if any(utterance.phones is None for utterance in self.utterances):
            return None
        return [phone for utterance in self.utterances for phone in utterance.phones or ()]


@dataclass(frozen=True)
class Rendered:
    """A window as training data: features `(copies, frames, bands)`, the first of them dry, the others in rooms; the teacher's
    embeddings `(steps, size)`, phones and words.
    """

    features: Floats
    heard: Floats
    phones: list[int] | None
    words: Words


def pack(utterances: Sequence[Utterance], repeats: Callable[[Utterance], int], seed: int, number: int) -> list[Window]:
    """Windows that hold every utterance `repeats` times, in an order that depends on seed and number."""
    windows: list[Window] = []
    for kind in (True, False):
        several = [utterance for utterance in utterances if (utterance.phones is not None) is kind for _ in range(repeats(utterance))]
        random = np.random.default_rng([seed, number, kind])
        held: list[Utterance] = []
        seconds = LEAD
        for index in random.permutation(len(several)):
            needed = several[index].clip.duration * 1.05 + sum(PAUSES) / 2
            if held and seconds + needed > SECONDS:
                windows.append(Window(tuple(held), (seed, number, len(windows))))
                held, seconds = [], LEAD
            held.append(several[index])
            seconds += needed
        if held:
            windows.append(Window(tuple(held), (seed, number, len(windows))))
    order = np.random.default_rng([seed, number, 2]).permutation(len(windows))
    return [windows[index] for index in order]


class Renderer:
    """Make a window's features, dry and in rooms, and the teacher's embeddings of the dry sound."""

    def __init__(self, augmenter: Augmenter, features: LogMelSettings, teacher: Teacher | None, copies: int, on_skip: Log) -> None:
        self.augmenter = augmenter
        self.log_mel = LogMel(features)
        self.teacher = teacher
        self.copies = copies
        self.on_skip = on_skip

    def __call__(self, window: Window) -> Rendered:
        """The features, embeddings and labels of a window.

        An utterance that a faster or slower voice pushes over the window's end takes the phones of the window with it.
        """
        random = np.random.default_rng(window.seed)
        tape, phones, words = self._tape(window, random)
        heard = self.teacher(tape) if self.teacher else np.zeros((0, 0), np.float32)
        copies = [tape, *(self._in_room(tape, random) for _ in range(1, self.copies))]
        return Rendered(np.stack([self.log_mel.compute(copy) for copy in copies]), heard, phones, words)

    def _in_room(self, tape: Samples, random: np.random.Generator) -> Samples:
        rooms = self.augmenter.rooms
        return in_room(tape, rooms[int(random.integers(len(rooms)))]) if rooms else tape

    def _tape(self, window: Window, random: np.random.Generator) -> tuple[Samples, list[int] | None, Words]:
        tape = quiet(int(SECONDS * SAMPLE_RATE), random)
        at = int(LEAD * SAMPLE_RATE)
        phones = window.phones
        words: Words = []
        for utterance in window.utterances:
            try:
                samples = utterance.pcm()
            except AudioError as error:  # the window stays, without its text
                self.on_skip(str(error))
                phones = None
                continue
            sound = change_speed(samples, self.augmenter.speed(random))
            if utterance.word is not None and (limits := find_word(samples)):
                end = at + limits[1] * SAMPLE_RATE * len(sound) / len(samples)
                if end < len(tape):
                    words.append((utterance.word, round(end / self.log_mel.settings.hop)))
            if at + len(sound) > len(tape):
                sound, phones = sound[: len(tape) - at], None
            tape[at : at + len(sound)] += at_level(sound, random.uniform(*LEVELS))
            at += len(sound) + int(random.uniform(*PAUSES) * SAMPLE_RATE)
            if at >= len(tape):
                break
        return np.clip(tape, -1.0, 1.0), phones, words
