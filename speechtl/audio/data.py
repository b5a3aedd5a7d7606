"""From a recipe's manifests to the recordings to train on and those to validate on, with no speaker on both sides."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speechtl.audio.manifest import Clip, read_manifests
from speechtl.audio.manifest_check import sha256_of
from speechtl.audio.recipe import Recipe
from speechtl.audio.recordings import Recording, load_recordings
from speechtl.errors import AudioError, ManifestError
from speechtl.runtime.audio import describe

SUFFIXES = {".wav", ".flac", ".mp3", ".ogg", ".opus", ".aiff", ".aif", ".au"}
MIN_POSITIVES = 5
MIN_NEGATIVE_SECONDS = 30.0

Note = Callable[[str], None]


@dataclass(frozen=True)
class Part:
    """Recordings of one side: for training or for validation."""

    positives: list[Recording]
    negatives: list[Recording]
    noise: list[Recording]


@dataclass(frozen=True)
class Data:
    """Everything a training run hears."""

    train: Part
    validation: Part
    rooms: list[Recording]

    def clips(self) -> list[Clip]:
        """Return every clip used, for provenance."""
        parts = (self.train, self.validation)
        return [recording.clip for part in parts for kind in (part.positives, part.negatives, part.noise) for recording in kind]


def prepare(recipe: Recipe, note: Note) -> Data:
    """Read, choose and load the recordings of a recipe; `note` hears of everything left out.

    Lines with split "test" are never used. Raises `ManifestError` when too little is left.
    """
    positives = _not_test(read_clips(recipe.data.positives))
    negatives = _without(_not_test(read_clips(recipe.data.negatives)), recipe.spoken, note)
    held_out = _validation_speakers(positives, negatives, recipe.data.validation_share, recipe.train.seed)
    if not held_out.whole_speakers:
        note("All positives are of one speaker, so validation uses other clips of that speaker: expect worse numbers from other people.")
    random = np.random.default_rng([recipe.train.seed, 1])
    minutes, share = recipe.data.negative_minutes, recipe.data.validation_share
    chosen = {
        "train": _draw([clip for clip in negatives if not held_out(clip)], minutes * (1 - share), random),
        "validation": _draw([clip for clip in negatives if held_out(clip)], minutes * share, random),
    }
    noise = _not_test(read_clips(recipe.data.noise)) if recipe.data.noise else []
    noise_held_out = _validation_speakers([], noise, share, recipe.train.seed, by_file=True)

    def load(clips: Sequence[Clip], word: bool = False) -> list[Recording]:
        return load_recordings(clips, find_words=word, on_skip=lambda problem: note(f"Skipped: {problem}"))

    train = Part(
        load([clip for clip in positives if not held_out(clip)], word=True),
        load(chosen["train"]),
        load([clip for clip in noise if not noise_held_out(clip)]),
    )
    validation = Part(
        load([clip for clip in positives if held_out(clip)], word=True),
        load(chosen["validation"]),
        load([clip for clip in noise if noise_held_out(clip)]),
    )
    rooms = load(_not_test(read_clips(recipe.data.rooms))) if isinstance(recipe.data.rooms, list) else []
    _check_amounts(train, validation)
    return Data(train, validation, rooms)


def read_clips(paths: Sequence[Path]) -> list[Clip]:
    """Return the clips of manifests, and of folders of recordings."""
    manifests = [path for path in paths if not path.is_dir()]
    clips = read_manifests(manifests) if manifests else []
    for path in paths:
        if path.is_dir():
            clips += _read_folder(path)
    return clips


def _read_folder(folder: Path) -> list[Clip]:
    """Return a clip for every recording below a folder; those in one sub-folder are one speaker's."""
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and not path.name.startswith("."))
    if not files:
        raise ManifestError(f"{folder} holds no recordings ({', '.join(sorted(SUFFIXES))}) and no manifest was given.")
    clips = []
    for number, path in enumerate(files, 1):
        try:
            duration = describe(path)[2]
        except AudioError:
            duration = 0.0  # loading it says what is wrong
        speaker = path.parent.name if path.parent != folder else None
        where = str(path.relative_to(folder))
        clips.append(Clip(where, duration, speaker=speaker, sha256=sha256_of(path), manifest=folder, line=number, path=path))
    return clips


@dataclass(frozen=True)
class _HeldOut:
    """Tells which clips are kept for validation."""

    keys: frozenset[str]
    marked: bool  # the manifests say so themselves
    whole_speakers: bool
    by_file: bool = False

    def __call__(self, clip: Clip) -> bool:
        if self.marked and clip.split is not None:
            return clip.split == "validation"
        return (_file_key(clip) if self.by_file or not self.whole_speakers else _speaker_key(clip)) in self.keys


def _validation_speakers(positives: Sequence[Clip], negatives: Sequence[Clip], share: float, seed: int, by_file: bool = False) -> _HeldOut:
    random = np.random.default_rng([seed, 0])
    marked = any(clip.split == "validation" for clip in positives)
    whole = by_file or not positives or len({_speaker_key(clip) for clip in positives}) > 1
    key = _speaker_key if whole and not by_file else _file_key
    keys: set[str] = set()
    for clips in (positives, negatives):
        total = sum(clip.duration for clip in clips)
        held = sum(clip.duration for clip in clips if key(clip) in keys)
        remaining = sorted({key(clip) for clip in clips} - keys)
        for candidate in random.permutation(remaining)[: max(len(remaining) - 1, 0)]:
            if held >= share * total:
                break
            keys.add(str(candidate))
            held += sum(clip.duration for clip in clips if key(clip) == candidate)
    return _HeldOut(frozenset(keys), marked, whole, by_file)


def _speaker_key(clip: Clip) -> str:
    return f"speaker {clip.speaker}" if clip.speaker else _file_key(clip)


def _file_key(clip: Clip) -> str:
    return f"file {clip.sha256 or clip.path or clip.audio_filepath}"


def _not_test(clips: Sequence[Clip]) -> list[Clip]:
    return [clip for clip in clips if clip.split != "test"]


def _without(clips: Sequence[Clip], phrases: Sequence[str], note: Note) -> list[Clip]:
    """Leave out negatives in which a phrase is said, as far as their text or label tells."""
    pattern = re.compile("|".join(rf"\b{re.escape(phrase.lower())}\b" for phrase in phrases))
    kept = [clip for clip in clips if not pattern.search(f"{clip.text or ''} . {clip.label or ''}".lower())]
    if len(kept) < len(clips):
        note(f"Left out {len(clips) - len(kept)} negatives whose text has {' or '.join(map(repr, phrases))}.")
    return kept


def _draw(clips: Sequence[Clip], minutes: float, random: np.random.Generator) -> list[Clip]:
    drawn: list[Clip] = []
    seconds = 0.0
    for index in random.permutation(len(clips)):
        if seconds + clips[index].duration > minutes * 60.0:
            break
        seconds += clips[index].duration
        drawn.append(clips[index])
    return drawn


def _check_amounts(train: Part, validation: Part) -> None:
    if len(train.positives) < MIN_POSITIVES or not validation.positives:
        raise ManifestError(
            f"There are {len(train.positives)} positive recordings to train on and {len(validation.positives)} to validate on; "
            f'at least {MIN_POSITIVES} and 1 are needed. Give more positives (lines with split "test" are not used).'
        )
    for what, part in (("train", train), ("validate", validation)):
        seconds = sum(recording.seconds for recording in part.negatives)
        if seconds < MIN_NEGATIVE_SECONDS:
            raise ManifestError(
                f"There are {seconds:.0f} s of negatives to {what} on; at least {MIN_NEGATIVE_SECONDS:.0f} s are needed. "
                "Give more negatives."
            )
