"""From a recipe's manifests to the recordings to train on and those to validate on, with no speaker on both sides."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from speechtl.audio.data.clips import is_marked, named, read_clips, says
from speechtl.audio.data.folder import Note
from speechtl.audio.data.manifest import Clip
from speechtl.audio.data.recordings import Recording, heard_only, load_recordings, note_cuts
from speechtl.audio.recipe import Recipe
from speechtl.errors import ManifestError
from speechtl.text import are, counted, first_few, were

MIN_POSITIVES = 5
MIN_NEGATIVE_SECONDS = 30.0
SHORTEST_PART = 30.0  # seconds of a recording of which not all is taken

FOLDS = 4
HELD_OUT = 0  # the fold that is validated on where not every fold is
VALIDATION_NOISE = 0.2  # of the noise files, used in validation only
SHORTEST_NOISE_PART = 5.0  # seconds, where noise files are too few to keep one for validation


@dataclass(frozen=True)
class Data:
    """Everything a training run hears; every recording of a word or of speech belongs to a fold, with all of its speaker's."""

    positives: list[Recording]
    negatives: list[Recording]
    noise: list[Recording]
    validation_noise: list[Recording]
    rooms: list[Recording]
    marked: bool  # the manifests themselves say what to validate on; it is the held-out fold

    @property
    def apart(self) -> bool:
        """Whether everybody who says the word is named and in one fold only."""
        places = {(recording.clip.person, recording.fold) for recording in self.positives}
        return named([recording.clip for recording in self.positives]) and len(places) == len({speaker for speaker, _ in places})

    def clips(self) -> list[Clip]:
        """Return every clip used, for provenance."""
        kinds = (self.positives, self.negatives, self.noise, self.validation_noise, self.rooms)
        return [recording.clip for kind in kinds for recording in kind]


def prepare(recipe: Recipe, note: Note) -> Data:
    """Read, choose and load the recordings of a recipe; `note` hears of everything left out.

    Lines with split "test" are never used. Without calibration there is one fold, unless the manifests mark validation recordings.
    Raises `ManifestError` when too little is left.
    """
    random = np.random.default_rng([recipe.train.seed, 1])
    given = {kind: read_clips(getattr(recipe.data, kind), note) for kind in ("positives", "negatives", "noise")}
    given["rooms"] = read_clips(recipe.data.rooms, note) if isinstance(recipe.data.rooms, list) else []
    usable = _for_training(given, note)
    others = _without(usable["negatives"], recipe.spoken, note)
    negatives = _draw(others, recipe.data.negative_minutes, random, note)

    def load(clips: Sequence[Clip], word: bool = False) -> list[Recording]:
        skipped: list[str] = []
        recordings = load_recordings(clips, find_words=word, phrases=recipe.spoken, on_skip=skipped.append)
        for problem in first_few(skipped):
            note(f"Skipped: {problem}")
        return recordings

    words = heard_only(load(usable["positives"], word=True), "a word", note)
    note_cuts(words, note)
    positives = [recording.clip for recording in words]
    fold_of: dict[str, int] = {}
    if recipe.calibrate.enabled or is_marked(positives):
        fold_of, negatives = _folds(positives, negatives, random, note)

    def in_folds(recordings: Sequence[Recording]) -> list[Recording]:
        return [replace(recording, fold=fold_of.get(_key(recording.clip, fold_of), 0)) for recording in recordings]

    noise = heard_only(load(_enough_noise(usable["noise"])), "any sound", note)
    held_out = set(random.permutation(len(noise))[: round(VALIDATION_NOISE * len(noise))])
    data = Data(
        _spread(in_folds(words)) if fold_of and not is_marked(positives) else in_folds(words),
        in_folds(load(negatives)),
        [recording for index, recording in enumerate(noise) if index not in held_out],
        [recording for index, recording in enumerate(noise) if index in held_out],
        heard_only(load(usable["rooms"]), "any sound", note),
        is_marked(positives),
    )
    _check_amounts(data)
    return data


def _folds(
    positives: Sequence[Clip], negatives: Sequence[Clip], random: np.random.Generator, note: Note
) -> tuple[dict[str, int], list[Clip]]:
    """The fold of every speaker (or of less, where there are too few), alike in size for both kinds, and the negatives that are divided so.

    Where positives have lines with split "validation", those are the held-out fold, and all other lines are learned from.
    """
    marked = is_marked(positives)
    people = {_speaker_key(clip) for clip in positives}
    divided = people if len(people) < FOLDS and not marked else set()
    if not named(positives):
        note("Not all positives name a speaker, so validation may hear people who are learned from; put each person's into a sub-folder.")
    if divided:
        note(
            f"The positives are of fewer than {FOLDS} speakers, so validation hears other clips of the same people: expect worse of others."
        )

    def key(clip: Clip) -> str:
        return _file_key(clip) if _speaker_key(clip) in divided else _speaker_key(clip)

    folds = _deal(positives, key, {}, marked, random)
    validated = {HELD_OUT} if marked else set(folds.values())
    for way, key_of in _WAYS.items():
        if way == "part":
            negatives = [part for clip in negatives for part in (_parts(clip, FOLDS) if key(clip) not in folds else [clip])]
        settled = {clip: key(clip) if way == "speaker" or key(clip) in folds else key_of(clip) for clip in negatives}
        dealt = _deal(negatives, settled.__getitem__, folds, marked, random)
        if (marked and is_marked(negatives)) or _is_enough(negatives, settled.__getitem__, dealt, validated):
            break
    if way != "speaker" and _is_enough(negatives, settled.__getitem__, dealt, validated):
        note(f"The negatives are of too few speakers to keep speakers apart in validation, so each {way} is on one side only.")
    return dealt, list(negatives)


def _deal(
    clips: Sequence[Clip], key: Callable[[Clip], str], known: Mapping[str, int], marked: bool, random: np.random.Generator
) -> dict[str, int]:
    """Add the folds of clips to those that are known, so that all folds become alike in length."""
    folds = dict(known)
    if marked and is_marked(clips):
        folds |= {key(clip): HELD_OUT for clip in clips if clip.split == "validation"}
        folds = {key(clip): HELD_OUT + 1 for clip in clips} | folds
    seconds: dict[str, float] = {}
    for clip in clips:
        seconds[key(clip)] = seconds.get(key(clip), 0.0) + clip.duration
    filled = [sum(length for name, length in seconds.items() if folds.get(name) == fold) for fold in range(FOLDS)]
    names = sorted(seconds.keys() - folds.keys())
    for index in random.permutation(len(names)):
        fold = int(np.argmin(filled))
        folds[names[index]] = fold
        filled[fold] += seconds[names[index]]
    return folds


def _spread(words: list[Recording]) -> list[Recording]:
    """Spread takes that were cut from one file over all folds where there are fewer files or speakers than folds."""
    if len({_speaker_key(recording.clip) for recording in words}) >= FOLDS:
        return words
    return [replace(one, fold=index % FOLDS) if one.times > 1 else one for index, one in enumerate(words)]


def _is_enough(negatives: Sequence[Clip], key: Callable[[Clip], str], folds: Mapping[str, int], validated: set[int]) -> bool:
    """Whether every fold that is validated on has enough negatives."""
    seconds = dict.fromkeys(validated, 0.0)
    for clip in negatives:
        fold = folds[key(clip)]
        seconds[fold] = seconds.get(fold, 0.0) + clip.duration
    return all(seconds[fold] >= MIN_NEGATIVE_SECONDS for fold in validated)


def _parts(clip: Clip, number: int) -> list[Clip]:
    """A clip cut into equal parts, at whole seconds; a short one stays whole."""
    if clip.duration < number * SHORTEST_NOISE_PART:
        return [clip]
    cuts = [*(float(int(index * clip.duration / number)) for index in range(number)), clip.duration]
    return [replace(clip, offset=clip.offset + start, duration=end - start) for start, end in pairwise(cuts)]


def _enough_noise(noise: Sequence[Clip]) -> list[Clip]:
    """Noise of which some can be kept for validation alone: so few files that none would be are cut into parts."""
    if round(VALIDATION_NOISE * len(noise)) > 0:
        return list(noise)
    return [part for clip in noise for part in _parts(clip, round(1 / VALIDATION_NOISE))]


def _key(clip: Clip, folds: Mapping[str, int]) -> str:
    """The narrowest of a clip's keys that has a fold."""
    keys = (_part_key(clip), _file_key(clip), _folder_key(clip))
    return next((key for key in keys if key in folds), _speaker_key(clip))


def _part_key(clip: Clip) -> str:
    return f"from {clip.offset:.3f} of {_file_key(clip)}"


def _folder_key(clip: Clip) -> str:
    return f"folder {clip.path.parent}" if clip.path and clip.manifest.is_dir() else _file_key(clip)


def _speaker_key(clip: Clip) -> str:
    return f"speaker {clip.person}" if clip.person else _file_key(clip)


def _file_key(clip: Clip) -> str:
    return f"file {clip.sha256 or clip.path or clip.audio_filepath}"


# What is on one side only, as narrow as it has to be.
_WAYS: dict[str, Callable[[Clip], str]] = {"speaker": _speaker_key, "folder": _folder_key, "file": _file_key, "part": _part_key}


def _for_training(given: Mapping[str, Sequence[Clip]], note: Note) -> dict[str, list[Clip]]:
    """Leave out lines of split "test", whoever and whatever is tested on in any of the manifests, and recordings given before."""
    tested = [clip for clips in given.values() for clip in clips if clip.split == "test"]
    people = {clip.person for clip in tested if clip.person}
    recordings = {name for clip in tested for name in clip.names}
    known: set[tuple[str, float]] = set()
    usable = {}
    for kind, clips in given.items():
        rest = [clip for clip in clips if clip.split != "test"]
        fresh = [clip for clip in rest if clip.person not in people and recordings.isdisjoint(clip.names)]
        if len(fresh) < len(rest):
            note(f"Left out {_kind(len(rest) - len(fresh), kind)} whose speaker or recording another line has in split 'test'.")
        usable[kind] = [clip for clip in fresh if not _seen(clip, known)]
        if len(usable[kind]) < len(fresh):
            number = len(fresh) - len(usable[kind])
            note(f"Left out {_kind(number, kind)} that {were(number)} given before, as another line or another kind.")
    return usable


def _kind(number: int, kind: str) -> str:
    return counted(number, "noise recording") if kind == "noise" else counted(number, kind.removesuffix("s"), kind)


def _seen(clip: Clip, known: set[tuple[str, float]]) -> bool:
    """Say whether the same part of the same recording is known already; from now on it is."""
    parts = {(name, clip.offset) for name in clip.names}
    seen = not known.isdisjoint(parts)
    known |= parts
    return seen


def _without(clips: Sequence[Clip], phrases: Sequence[str], note: Note) -> list[Clip]:
    """Leave out negatives in which a phrase is said, as far as their text or label tells."""
    kept = [clip for clip in clips if not says(clip, phrases)]
    if len(kept) < len(clips):
        note(f"Left out {_kind(len(clips) - len(kept), 'negatives')} whose text has {' or '.join(map(repr, phrases))}.")
    return kept


def _draw(clips: Sequence[Clip], minutes: float, random: np.random.Generator, note: Note) -> list[Clip]:
    """Return clips of so many minutes at most; where whole ones leave room, parts of longer ones."""
    drawn: list[Clip] = []
    too_long: list[Clip] = []
    seconds = 0.0
    for index in random.permutation(len(clips)):
        if seconds + clips[index].duration > minutes * 60.0:
            too_long.append(clips[index])
            continue
        seconds += clips[index].duration
        drawn.append(clips[index])
    left = minutes * 60.0 - seconds
    for clip in too_long[: int(left / SHORTEST_PART)]:
        part = max(left / len(too_long), SHORTEST_PART)
        drawn.append(replace(clip, offset=clip.offset + random.uniform(0.0, clip.duration - part), duration=part))
        note(f"Took {part / 60.0:.1f} minutes of {clip.where}: all of it would be more than {minutes:g} minutes of negatives.")
    return drawn


def _check_amounts(data: Data) -> None:
    if len(data.positives) < MIN_POSITIVES:
        raise ManifestError(
            f"There {are(len(data.positives))} {counted(len(data.positives), 'positive recording')} to train on; "
            f"at least {MIN_POSITIVES} are needed. "
            'Give more positives (lines with split "test" are not used).'
        )
    for fold in {HELD_OUT} if data.marked else {recording.fold for recording in data.positives}:
        seconds = sum(recording.seconds for recording in data.negatives if recording.fold == fold)
        if seconds < MIN_NEGATIVE_SECONDS:
            total = sum(recording.seconds for recording in data.negatives)
            raise ManifestError(
                f"There are {total:.0f} s of negatives, of which {seconds:.0f} s could be validated on at a time; "
                f"at least {MIN_NEGATIVE_SECONDS:.0f} s are needed. Give more negatives."
            )
