"""Labelled clips of where a detector listens: the word, or something else that it took for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path

from speechtl.audio.data.clips import read_clips, says
from speechtl.audio.data.folder import left_out
from speechtl.audio.data.manifest import Clip
from speechtl.audio.data.recordings import OnDisk, Recording, load_recordings
from speechtl.errors import ManifestError, SpeechtlError
from speechtl.folders import SOUNDS, look_into
from speechtl.progress import Log, tracked
from speechtl.runtime.listen.clips import NOT_WORD, UNSURE, VERDICTS, WORD, ClipName, in_file_name
from speechtl.runtime.samples import SAMPLE_RATE
from speechtl.runtime.sound.files import readable
from speechtl.text import counted, first_few

PIECE_SECONDS = 30.0  # of a longer recording without the word
TOGETHER_SECONDS = 60.0  # clips that follow each other within this time are of one occasion
QUARTERS = 4


@dataclass(frozen=True)
class Labelled:
    """A recording with its label; clips of one `occasion` are held back together."""

    recording: Recording
    is_word: bool
    occasion: str


@dataclass(frozen=True)
class Wanted:
    """The word that clips are of: its phrases, and the names of the words that the same detector hears beside it."""

    phrases: Sequence[str]
    other_words: Sequence[str] = ()


@dataclass
class Inbox:
    """The clips to learn from, and the number of those that are not used."""

    clips: list[Labelled] = field(default_factory=list)
    unsure: int = 0
    unlabelled: int = 0
    of_other_words: int = 0
    contradicting: int = 0
    repeated: int = 0
    problems: list[str] = field(default_factory=list)  # of clips that cannot be used

    @property
    def folds(self) -> list[int]:
        """The fold of each clip: those of one occasion in one, each label spread over all."""
        fold_of: dict[str, int] = {}
        for is_word in (True, False):
            for occasion in dict.fromkeys(clip.occasion for clip in self.clips if clip.is_word == is_word):
                fold_of.setdefault(occasion, len(fold_of) % QUARTERS)
        return [fold_of[clip.occasion] for clip in self.clips]

    @property
    def held_back(self) -> bool:
        """Whether clips can be held back: those of one occasion alone cannot."""
        return len({clip.occasion for clip in self.clips}) > 1

    def tell(self, log: Log) -> None:
        """Log what is used and what is not."""
        words = sum(clip.is_word for clip in self.clips)
        log(f"{counted(words, 'clip')} of the word and {len(self.clips) - words} of anything else.")
        reasons = {
            "labelled unsure": self.unsure,
            "without a label": self.unlabelled,
            "of another word": self.of_other_words,
            "labelled both ways": self.contradicting,
            "given twice": self.repeated,
            "that cannot be used": len(self.problems),
        }
        for why, number in reasons.items():
            if number:
                log(f"Left out {counted(number, 'clip')} {why}.")
        for problem in first_few(self.problems):
            log(problem)


def read_inbox(folder: Path | None, manifest: Path | None, wanted: Wanted, log: Log) -> Inbox:
    """The labelled clips of a folder with the sub-folders word, not-word and unsure, and of a manifest with labels.

    Clips that were saved for another word of the detector are left out: their labels are about that word.

    Raises `SpeechtlError` where none is left.
    """
    inbox = Inbox()
    labelled: list[tuple[Clip, str | None]] = []
    if folder is not None:
        labelled += _of_folder(folder, log)
    if manifest is not None:
        labelled += [(clip, _label(clip, wanted.phrases)) for clip in read_clips([manifest], log)]
    clips = _distinct(_of_word(labelled, wanted, inbox), inbox)
    for clip, label in tracked("reading clips", clips, len(clips)):
        for recording in _load(clip, inbox):
            inbox.clips += _cut(Labelled(recording, label == WORD, ""))
    inbox.clips = _with_occasions(inbox.clips)
    inbox.tell(log)
    if not inbox.clips:
        raise SpeechtlError(
            f"There is no labelled clip to learn from in {folder or manifest}. Move clips into its sub-folders {WORD} and {NOT_WORD}, "
            f'or give a manifest whose lines have "label": "{WORD}" or "{NOT_WORD}".'
        )
    return inbox


def _of_folder(folder: Path, log: Log) -> list[tuple[Clip, str | None]]:
    """The clips of the sub-folders with their labels, and those beside them without one; files that are skipped are logged."""
    if not folder.is_dir():
        raise SpeechtlError(f"{folder} is not a folder; give the one of listen --save-clips.")
    found: list[tuple[Clip, str | None]] = []
    for label in (label for label in VERDICTS if (folder / label).is_dir()):
        inside = look_into(folder / label, readable(), SOUNDS)
        if inside.files:
            found += [(clip, label) for clip in read_clips([inside.path], log)]
        elif inside.left_out:
            log(left_out(inside))
    beside = [path for path in sorted(folder.iterdir()) if path.is_file() and path.suffix.lower() in readable()]
    return found + [(Clip(path.name, 0.0, manifest=folder, line=1, path=path), None) for path in beside]


def _label(clip: Clip, phrases: Sequence[str]) -> str | None:
    """The label of a line: as written, or by whether its text has the word; None for a label that is neither."""
    if clip.label in VERDICTS:
        return clip.label
    if says(clip, phrases):
        return WORD
    return NOT_WORD if clip.text and not clip.label else None


def _of_word(labelled: Sequence[tuple[Clip, str | None]], wanted: Wanted, inbox: Inbox) -> list[tuple[Clip, str | None]]:
    """The clips without those that were saved for another word, which are counted."""
    others = {in_file_name(name) for name in wanted.other_words}
    saved = [ClipName.of(Path(clip.audio_filepath).name) for clip, _ in labelled]
    own = [pair for pair, told in zip(labelled, saved, strict=True) if told is None or told.word not in others]
    inbox.of_other_words = len(labelled) - len(own)
    return own


def _distinct(labelled: Sequence[tuple[Clip, str | None]], inbox: Inbox) -> list[tuple[Clip, str]]:
    """The clips with a label that says something, each once; the others are counted."""
    by_part: dict[tuple[str, float], list[tuple[Clip, str]]] = {}
    for clip, label in labelled:
        if label is None:
            inbox.unlabelled += 1
        elif label == UNSURE:
            inbox.unsure += 1
        else:
            by_part.setdefault((clip.sha256 or clip.where, clip.offset), []).append((clip, label))
    chosen = []
    for same in by_part.values():
        if len({label for _, label in same}) > 1:
            inbox.contradicting += len(same)
            continue
        inbox.repeated += len(same) - 1
        chosen.append(same[0])
    return chosen


def _load(clip: Clip, inbox: Inbox) -> list[Recording]:
    try:
        loaded = load_recordings([clip], on_skip=inbox.problems.append)
    except ManifestError as error:
        inbox.problems += error.problems or [error.message]
        return []
    heard = [recording for recording in loaded if recording.heard]
    inbox.problems += [f"{recording.clip.where} is silent." for recording in loaded if not recording.heard]
    return heard


def _cut(clip: Labelled) -> list[Labelled]:
    """A long recording without the word in pieces, of which those of a quarter are one occasion."""
    recording = clip.recording
    if clip.is_word or recording.seconds <= 2 * PIECE_SECONDS:
        return [clip]
    length = round(PIECE_SECONDS * SAMPLE_RATE)
    starts = range(0, len(recording.pcm) - length // 2, length)
    pieces = []
    for number, start in enumerate(starts):
        piece = _part(recording, start, min(start + length, len(recording.pcm)))
        pieces.append(replace(clip, recording=piece, occasion=f"{recording.clip.where} {number * QUARTERS // len(starts)}"))
    return pieces


def _part(recording: Recording, start: int, end: int) -> Recording:
    """A part of a recording, read when it is used where the recording is."""
    offset, seconds = recording.clip.offset + start / SAMPLE_RATE, (end - start) / SAMPLE_RATE
    pcm = recording.pcm
    part = replace(pcm, offset=offset, duration=seconds, length=end - start) if isinstance(pcm, OnDisk) else pcm[start:end]
    return replace(recording, clip=replace(recording.clip, offset=offset, duration=seconds), pcm=part, word=(0.0, seconds))


def _with_occasions(clips: Sequence[Labelled]) -> list[Labelled]:
    """The clips with their occasions: clips of a minute are one, and those of a speaker; each is its own where all are of one."""
    last, number = datetime.min.replace(tzinfo=timezone.utc), 0
    named = []
    for clip in sorted(clips, key=lambda clip: Path(clip.recording.clip.audio_filepath).name):
        saved = ClipName.of(Path(clip.recording.clip.audio_filepath).name)
        if saved is not None and not clip.occasion:
            number += (saved.at - last).total_seconds() > TOGETHER_SECONDS
            last = saved.at
            clip = replace(clip, occasion=f"occasion {number}")
        named.append(replace(clip, occasion=clip.occasion or _speaker(clip)))
    if len({clip.occasion for clip in named}) > 1:
        return named
    return [replace(clip, occasion=f"clip {index}") for index, clip in enumerate(named)]


def _speaker(clip: Labelled) -> str:
    of = clip.recording.clip
    from_folder = of.manifest.is_dir() and of.speaker in VERDICTS
    return of.speaker if of.speaker and not from_folder else f"{of.where} {of.offset}"


def tell_unlike(clips: Sequence[Labelled], log: Log) -> None:
    """Log clips of the word that resemble it at no moment."""
    if clips:
        log(f"Left out {counted(len(clips), 'clip')} of the word in which nothing resembles it; listen again to: {_names(clips)}.")


def tell_alike(clips: Sequence[Labelled], log: Log) -> None:
    """Log clips of anything else that sound like the word itself."""
    if clips:
        what = f"{counted(len(clips), 'clip')} of anything else that {'sounds' if len(clips) == 1 else 'sound'} like the word itself"
        log(f"Left out {what}; listen again to: {_names(clips)}.")


def _names(clips: Sequence[Labelled]) -> str:
    return ", ".join(first_few([clip.recording.clip.audio_filepath for clip in clips]))
