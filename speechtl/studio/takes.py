"""Recordings that come from the browser: stored whole or not at all, removed with a way back, moved to the test and from it."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.concurrency import run_in_threadpool

from speechtl.audio.recording.folder import Circumstances, Speaker, TakeFolder, speaker_name
from speechtl.errors import AudioError
from speechtl.files import check_room, in_megabytes, sha256_of
from speechtl.runtime.sound.files import describe, readable
from speechtl.studio.project import KINDS, TRASH, Word, inside, new_name
from speechtl.studio.refusals import RefusedError, conflict, missing

MOST_BYTES = 1_000_000_000  # of one upload
OTHER_SIDE = {"word": "kept-word", "kept-word": "word", "other": "kept-other", "kept-other": "other"}
_coming: set[Path] = set()  # files that are being uploaded


def place_for(word: Word, kind: str, speaker: str, name: str) -> Path:
    """The file for a new recording of a speaker."""
    return word.kind(kind) / speaker_name(speaker) / file_name(name)


def file_name(name: str) -> str:
    """A safe name for a new recording; raises `RefusedError` for other files."""
    stem, _, ending = name.rpartition(".")
    suffix = f".{ending.lower()}"
    if not stem or suffix not in readable():
        raise RefusedError(415, f"{name!r} is not a recording that can be read here ({', '.join(sorted(readable()))}).")
    return new_name(stem, "The name of a file") + suffix


async def store(target: Path, announced: int, body: AsyncIterator[bytes], most: int = MOST_BYTES) -> bool:
    """Store an upload; False where the same recording was there already, so that a repeated request does no harm."""
    if announced > most:
        raise _too_large(most)
    if target in _coming:
        raise conflict(f"{target.name} is being uploaded by another window at this moment.")
    check_room(target, announced)
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.stem}.part{target.suffix}")
    _coming.add(target)
    try:
        await _receive(beside, body, most)
        await run_in_threadpool(_check_sound, beside, target)
        known = target.exists()
        if known and sha256_of(beside) != sha256_of(target):
            raise conflict(f"There is another recording of the name {target.name} already; rename the new one.")
        beside.replace(target)
        return not known
    finally:
        _coming.discard(target)
        beside.unlink(missing_ok=True)


async def _receive(path: Path, body: AsyncIterator[bytes], most: int) -> None:
    size = 0
    with path.open("wb") as file:
        async for part in body:
            size += len(part)
            if size > most:
                raise _too_large(most)
            file.write(part)
        file.flush()
        os.fsync(file.fileno())


def _too_large(most: int) -> RefusedError:
    return RefusedError(413, f"A recording may have {in_megabytes(most)} at most; cut it, or copy it into the folder yourself.")


def _check_sound(beside: Path, target: Path) -> None:
    """Raise `RefusedError` for a file that is no sound."""
    try:
        describe(beside)
    except AudioError as error:
        raise RefusedError(415, str(error).replace(str(beside), target.name)) from error


def note(word: Word, kind: str, path: Path, device: str, rate: int) -> None:
    """Note in the manifest who agreed to a take that was recorded here, and how it was recorded."""
    label = word.about["phrases"][0] if kind.endswith("word") else None
    TakeFolder(word.kind(kind), label).describe(path, Speaker(path.parent.name), Circumstances(device, rate))


def remove(word: Word, kind: str, speaker: str, name: str) -> None:
    """Move a recording to the trash of the word."""
    _move(word.file(kind, speaker, name), word.folder / TRASH / KINDS[kind] / speaker / name)


def restore(word: Word, kind: str, speaker: str, name: str) -> None:
    """Move a recording back from the trash; nothing to do where it is there."""
    trash, place = word.folder / TRASH / KINDS[kind], word.kind(kind)
    if (place / speaker).is_dir() and (place / speaker / name).is_file():
        word.file(kind, speaker, name)
        return
    if not trash.is_dir():
        raise missing(f"The recording {name!r}")
    _move(inside(inside(trash, speaker), name), place / speaker / name)


def change_side(word: Word, kind: str, speaker: str) -> None:
    """Move a speaker from training to the test, or back."""
    source, target = inside(word.kind(kind), speaker), word.kind(OTHER_SIDE[kind]) / speaker
    if target.exists():
        raise conflict(f"{speaker} is on both sides; join the two folders {source} and {target} yourself.")
    _move(source, target)


def _move(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_file():
        target.unlink()
    shutil.move(source, target)
