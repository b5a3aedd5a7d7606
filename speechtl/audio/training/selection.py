"""The training and validation recordings of a recipe, with no speaker in both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from speechtl.audio.data.clips import is_marked, named, read_clips, says
from speechtl.audio.data.manifest import Clip
from speechtl.audio.data.recordings import Recording, heard_only, load_recordings, log_cuts
from speechtl.audio.recipe import Recipe
from speechtl.audio.synthesis.base import SYNTHESISED
from speechtl.audio.training.hours.listing import HELD_OUT_SPLITS, Listing, Mine, reasons_against
from speechtl.audio.training.kinds import shares
from speechtl.errors import ManifestError
from speechtl.progress import Log
from speechtl.text import are, counted, first_few, were

NEEDED = ("positives", "negatives")
MIN_POSITIVES = 5
MIN_NEGATIVE_SECONDS = 30.0
SHORTEST_PART = 30.0  # seconds taken from a recording that is too long to take whole
ROUNDING = 1e-6  # seconds

FOLDS = 4
EVERYONE = FOLDS  # the fold of recordings that every member of the ensemble learns from
HELD_OUT = 0  # the validation fold, where not every fold is validated
VALIDATED_SECONDS = 4 * 3600.0  # of negatives as they are: calibration takes minutes, no matter how many there are
VALIDATION_NOISE = 0.2  # share of the files of noise, and of music, that only validation uses
SHORTEST_PIECE = 5.0  # seconds, when one recording is divided between folds


@dataclass(frozen=True)
class Data:
    """All recordings of a training; each positive and negative belongs to a fold, together with the others of its speaker."""

    positives: list[Recording]
    negatives: list[Recording]
    noise: list[Recording]
    validation_noise: list[Recording]
    music: list[Recording]
    validation_music: list[Recording]
    rooms: list[Recording]
    marked: bool  # the manifests mark the validation recordings; these are the held-out fold
    unlearned: list[Recording] = field(default_factory=list)  # negatives for validation alone, in the folds of their speakers
    mine: Mine | None = None

    @property
    def apart(self) -> bool:
        """Whether every speaker of the word is named and in one fold only."""
        places = {(recording.clip.person, recording.fold) for recording in self.positives}
        return named([recording.clip for recording in self.positives]) and len(places) == len({speaker for speaker, _ in places})

    def clips(self) -> list[Clip]:
        """Every clip used, for provenance."""
        kinds = (
            self.positives,
            self.negatives,
            self.unlearned,
            self.noise,
            self.validation_noise,
            self.music,
            self.validation_music,
            self.rooms,
        )
        return [recording.clip for kind in kinds for recording in kind]


def prepare(recipe: Recipe, log: Log) -> Data:
    """Select and load the recordings of a recipe; whatever is left out goes to the log.

    Lines with split "test" are never used. Without calibration there is one fold, unless the manifests mark validation recordings.
    Raises `ManifestError` when too little is left.
    """
    random = np.random.default_rng([recipe.train.seed, 1])
    given = _read(recipe, log)
    listing = Listing(recipe.data.mine, log) if recipe.data.mine else None
    usable = _for_training(given | {"mine": [clip for clip in listing.held_out if clip.split == "test"] if listing else []}, log)
    others = _without(usable["negatives"], recipe.spoken, log)
    negatives = _draw(others, recipe.data.negative_minutes, random, log)
    words = heard_only(_load(usable["positives"], recipe, log, find_words=True), "a word", log)
    log_cuts(words, log)
    positives = [recording.clip for recording in words]
    marked = is_marked(positives)
    folds: dict[str, int] = {}
    if recipe.calibrate.enabled or marked:
        folds, negatives = _folds(positives, negatives, recipe.train.seed, log)
    words = _in_folds(words, folds)
    unlearned = _unlearned(others, negatives, folds, recipe.train.seed) if recipe.calibrate.enabled and not marked else []
    random = np.random.default_rng([recipe.train.seed, 3])  # the same for every word
    noise, music = (heard_only(_load(_enough_files(usable[kind]), recipe, log), "any sound", log) for kind in ("noise", "music"))
    data = Data(
        _spread(words) if folds and not marked else words,
        _in_folds(_load(negatives, recipe, log), folds),
        *_divided(noise, random),
        *_divided(music, random),
        heard_only(_load(usable["rooms"], recipe, log), "any sound", log),
        marked,
        _in_folds(_load(unlearned, recipe, log), folds),
    )
    _check_amounts(data)
    if listing is None:
        return data
    held_out = [clip for clips in (*given.values(), listing.held_out) for clip in clips if clip.split in HELD_OUT_SPLITS]
    reasons = reasons_against(held_out, data.clips(), recipe.spoken)
    return replace(data, mine=Mine.of(listing, lambda clip: folds.get(_key(clip, folds), EVERYONE), reasons, log))


def _read(recipe: Recipe, log: Log) -> dict[str, list[Clip]]:
    rooms = recipe.data.rooms if isinstance(recipe.data.rooms, list) else []
    names = ("positives", "negatives", "noise", "music")
    kinds: dict[str, list[Path]] = {name: getattr(recipe.data, name) for name in names} | {"rooms": rooms}
    return {kind: read_clips(paths, log) for kind, paths in kinds.items()}


def _load(clips: Sequence[Clip], recipe: Recipe, log: Log, *, find_words: bool = False) -> list[Recording]:
    skipped: list[str] = []
    recordings = load_recordings(clips, find_words=find_words, phrases=recipe.spoken, on_skip=skipped.append)
    for problem in first_few(skipped):
        log(f"Skipped: {problem}")
    return recordings


def _in_folds(recordings: Sequence[Recording], folds: Mapping[str, int]) -> list[Recording]:
    return [replace(recording, fold=folds.get(_key(recording.clip, folds), 0)) for recording in recordings]


def _folds(positives: Sequence[Clip], negatives: Sequence[Clip], seed: int, log: Log) -> tuple[dict[str, int], list[Clip]]:
    """The fold of every speaker, and the negatives, divided into parts where there are too few speakers to fill the folds.

    Folds have similar lengths. If positives have lines with split "validation", these are the held-out fold, and all others are
    training data. The folds of recorded negatives are the same for every word, and those of synthesised ones follow.
    """
    recorded = [clip for clip in negatives if clip.source != SYNTHESISED] or negatives
    spoken = [clip for clip in negatives if clip.source == SYNTHESISED] if recorded is not negatives else []
    negatives = recorded
    marked = is_marked(positives)
    speakers = _speakers(positives)
    divided = speakers if len(speakers) < FOLDS and not marked else set()
    if not named(positives):
        log("Some positives name no speaker, so speakers may be in both training and validation; use one sub-folder per speaker.")
    if divided:
        advice = " Voices of other people are added with --synthesise." if all(clip.source != SYNTHESISED for clip in positives) else ""
        log(
            f"The positives have fewer than {FOLDS} speakers, so validation uses other clips of the same speakers; "
            f"expect worse results for new speakers.{advice}"
        )

    def key(clip: Clip) -> str:
        return _file_key(clip) if _speaker_key(clip) in divided else _speaker_key(clip)

    folds = _deal(positives, key, {}, marked, np.random.default_rng([seed, 1]))
    validated = {HELD_OUT} if marked else set(folds.values())
    for unit, key_of in _UNITS.items():
        if unit == "part":
            negatives = [part for clip in negatives for part in (equal_parts(clip, FOLDS) if key(clip) not in folds else [clip])]
        settled = {clip: key(clip) if unit == "speaker" or key(clip) in folds else key_of(clip) for clip in negatives}
        dealt = _deal(negatives, settled.__getitem__, folds, marked, np.random.default_rng([seed, 2]))
        if (marked and is_marked(negatives)) or _is_enough(negatives, settled.__getitem__, dealt, validated):
            break
    if unit != "speaker" and _is_enough(negatives, settled.__getitem__, dealt, validated):
        log(f"The negatives have too few speakers to hold speakers out, so each {unit} is either in training or in validation.")
    dealt = _deal(spoken, key, dealt, marked, np.random.default_rng([seed, 4]))
    return dealt, [*negatives, *spoken]


def _deal(
    clips: Sequence[Clip], key: Callable[[Clip], str], known: Mapping[str, int], marked: bool, random: np.random.Generator
) -> dict[str, int]:
    """Add folds for the clips that have none, so that all folds have similar lengths."""
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
    """Spread takes cut from one file over all folds if there are fewer files or speakers than folds."""
    if len(_speakers([recording.clip for recording in words])) >= FOLDS:
        return words
    return [replace(one, fold=index % FOLDS) if one.times > 1 else one for index, one in enumerate(words)]


def _is_enough(negatives: Sequence[Clip], key: Callable[[Clip], str], folds: Mapping[str, int], validated: set[int]) -> bool:
    """Whether every validation fold has enough negatives."""
    seconds = dict.fromkeys(validated, 0.0)
    for clip in negatives:
        fold = folds[key(clip)]
        seconds[fold] = seconds.get(fold, 0.0) + clip.duration
    return all(seconds[fold] >= MIN_NEGATIVE_SECONDS for fold in validated)


def equal_parts(clip: Clip, number: int) -> list[Clip]:
    """A clip in equal parts, cut at whole seconds; a short clip stays whole."""
    if number < 2 or clip.duration < number * SHORTEST_PIECE:
        return [clip]
    cuts = [*(float(int(index * clip.duration / number)) for index in range(number)), clip.duration]
    return [replace(clip, offset=clip.offset + start, duration=end - start) for start, end in pairwise(cuts)]


def _enough_files(clips: Sequence[Clip]) -> list[Clip]:
    """Clips of noise or music, cut into parts if they are too few to hold one out for validation."""
    if round(VALIDATION_NOISE * len(clips)) > 0:
        return list(clips)
    return [part for clip in clips for part in equal_parts(clip, round(1 / VALIDATION_NOISE))]


def _divided(recordings: Sequence[Recording], random: np.random.Generator) -> tuple[list[Recording], list[Recording]]:
    """The recordings of noise or music for training, and those for validation."""
    held_out = set(random.permutation(len(recordings))[: round(VALIDATION_NOISE * len(recordings))])
    kept = [recording for index, recording in enumerate(recordings) if index not in held_out]
    return kept, [recording for index, recording in enumerate(recordings) if index in held_out]


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


def _speakers(clips: Sequence[Clip]) -> set[str]:
    """The people who speak; the voices where there are no people."""
    return {_speaker_key(clip) for clip in [clip for clip in clips if clip.source != SYNTHESISED] or clips}


def _file_key(clip: Clip) -> str:
    return f"file {clip.sha256 or clip.path or clip.audio_filepath}"


# Units that folds do not divide, from the largest to the smallest.
_UNITS: dict[str, Callable[[Clip], str]] = {"speaker": _speaker_key, "folder": _folder_key, "file": _file_key, "part": _part_key}


def _for_training(given: Mapping[str, Sequence[Clip]], log: Log) -> dict[str, list[Clip]]:
    """The clips without test lines, without speakers and recordings of test lines in any manifest, and without duplicates."""
    tested = [clip for clips in given.values() for clip in clips if clip.split == "test"]
    people = {clip.person for clip in tested if clip.person}
    recordings = {name for clip in tested for name in clip.names}
    known: set[tuple[str, float, int | None]] = set()
    usable = {}
    for kind, clips in given.items():
        rest = [clip for clip in clips if clip.split != "test"]
        rest = _present(rest, log) or (rest if kind in NEEDED else [])  # nothing at all is an error where recordings are needed
        fresh = [clip for clip in rest if clip.person not in people and recordings.isdisjoint(clip.names)]
        if len(fresh) < len(rest):
            log(f"Left out {_kind(len(rest) - len(fresh), kind)} whose speaker or recording is also in split 'test'.")
        usable[kind] = [clip for clip in fresh if not _seen(clip, known)]
        if len(usable[kind]) < len(fresh):
            number = len(fresh) - len(usable[kind])
            log(f"Left out {_kind(number, kind)} that {were(number)} already given, in another line or as another kind.")
    return usable


def _present(clips: Sequence[Clip], log: Log) -> list[Clip]:
    """The clips whose recordings are on this machine; the others are counted for each manifest."""
    lines, absent = (Counter(clip.manifest for clip in some) for some in (clips, (clip for clip in clips if clip.path is None)))
    for manifest, number in absent.items():
        log(
            f"Left out {number} of {counted(lines[manifest], 'line')} of {manifest} without a recording on this machine. "
            f"Fetch it with: speechtl data pull {manifest}"
        )
    return [clip for clip in clips if clip.path is not None]


def _kind(number: int, kind: str) -> str:
    return counted(number, f"{kind} recording") if kind in ("noise", "music") else counted(number, kind.removesuffix("s"), kind)


def _seen(clip: Clip, known: set[tuple[str, float, int | None]]) -> bool:
    """Whether the same part of the same recording has been seen; from now on it has."""
    parts = {(name, clip.offset, clip.channel) for name in clip.names}
    seen = not known.isdisjoint(parts)
    known |= parts
    return seen


def _without(clips: Sequence[Clip], phrases: Sequence[str], log: Log) -> list[Clip]:
    """The negatives whose text and label do not contain a phrase."""
    others = [clip for clip in clips if not says(clip, phrases)]
    if len(others) < len(clips):
        log(f"Left out {_kind(len(clips) - len(others), 'negatives')} whose text contains {' or '.join(map(repr, phrases))}.")
    return others


def _draw(clips: Sequence[Clip], minutes: float | None, random: np.random.Generator, log: Log) -> list[Clip]:
    """Random clips of at most `minutes` in total, with a share for every kind; all of them without a limit."""
    if minutes is None:
        return list(clips)
    kinds: dict[Path, list[Clip]] = {}
    for clip in clips:
        kinds.setdefault(clip.manifest, []).append(clip)
    seconds = shares({kind: sum(clip.duration for clip in own) for kind, own in kinds.items()}, minutes * 60.0)
    chosen = []
    for kind, own in kinds.items():
        whole, parts = _draw_kind(own, seconds[kind] + ROUNDING, random)
        chosen += [*whole, *parts]
        for part in parts:
            log(f"Took {part.duration / 60.0:.1f} minutes of {part.where}, to stay within {minutes:g} minutes of negatives.")
    return chosen


def _unlearned(others: Sequence[Clip], drawn: Sequence[Clip], folds: Mapping[str, int], seed: int) -> list[Clip]:
    """Clips for validation beside those that were drawn for training, of speakers whose fold says which heads know them."""
    names = {name for clip in drawn for name in clip.names}
    rest = [clip for clip in others if _speaker_key(clip) in folds and names.isdisjoint(clip.names)]
    left = VALIDATED_SECONDS - sum(clip.duration for clip in drawn if clip.source != SYNTHESISED)
    return _draw(rest, left / 60.0, np.random.default_rng([seed, 5]), lambda _: None) if left > 0.0 else []


def _draw_kind(clips: Sequence[Clip], seconds: float, random: np.random.Generator) -> tuple[list[Clip], list[Clip]]:
    """Random clips of at most `seconds` in total, and the parts of longer clips that fill what whole clips leave."""
    drawn: list[Clip] = []
    too_long: list[Clip] = []
    left = seconds
    for index in random.permutation(len(clips)):
        if clips[index].duration > left:
            too_long.append(clips[index])
            continue
        left -= clips[index].duration
        drawn.append(clips[index])
    parts = []
    for clip in too_long[: int(left / SHORTEST_PART)]:
        length = max(left / len(too_long), SHORTEST_PART)
        parts.append(replace(clip, offset=clip.offset + random.uniform(0.0, clip.duration - length), duration=length))
    return drawn, parts


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
                f"There are {total:.0f} s of negatives, of which one fold has {seconds:.0f} s for validation; "
                f"at least {MIN_NEGATIVE_SECONDS:.0f} s are needed. Give more negatives."
            )
