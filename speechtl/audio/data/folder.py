"""Folders of recordings: which files are learned from, and whose they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from speechtl.audio.data.manifest import Clip
from speechtl.errors import AudioError, ManifestError
from speechtl.files import sha256_of
from speechtl.folders import SOUNDS, Folder, conversion, look_into
from speechtl.runtime.sound import media
from speechtl.runtime.sound.files import describe
from speechtl.text import are, counted

SUFFIXES = {".wav", ".wave", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".aiff", ".aif", ".aifc", ".au"}

Note = Callable[[str], None]


def readable() -> set[str]:
    """The endings of recordings that can be read here: with PyAV, those of phones, too."""
    return SUFFIXES | media.SUFFIXES if media.installed() else SUFFIXES


def recordings_in(folder: Path) -> Folder:
    """Find the recordings of a folder and count what else is in it; raises `ManifestError` where none can be read."""
    found = look_into(folder, readable(), SOUNDS)
    if not found.files:
        other = f" It has {', '.join(found.left_out)}." if found.left_out else ""
        raise ManifestError(
            f"{folder} holds no recordings that can be read ({', '.join(sorted(readable()))}) and no manifest was given."
            f"{other}{_convert(found)}"
        )
    return found


def read_folder(folder: Path, note: Note) -> list[Clip]:
    """A clip for every recording below a folder; `note` hears what is passed over.

    The first level of sub-folders of which there are several is taken for the speakers, else the first.
    """
    found = recordings_in(folder)
    if found.left_out:
        note(left_out(found))
    level = _level_of_speakers([path.relative_to(folder).parts[:-1] for path in found.files])
    clips = []
    for number, path in enumerate(found.files, 1):
        inside = path.relative_to(folder)
        above = inside.parts[:-1]
        speaker = _text(above[min(level, len(above) - 1)]) if above else None
        clips.append(replace(read_recording(path), audio_filepath=str(inside), speaker=speaker, manifest=folder, line=number))
    return clips


def read_recording(path: Path) -> Clip:
    """A clip for one recording that is given by itself."""
    try:
        duration, digest = describe(path)[2], sha256_of(path)
    except (AudioError, OSError):
        duration, digest = 0.0, None  # loading it says what is wrong
    return Clip(path.name, duration, sha256=digest, manifest=path.parent, line=1, path=path)


def left_out(found: Folder) -> str:
    """A sentence that counts what was passed over, with the command that converts recordings of other kinds."""
    number = len(found.files)
    return f"{found.path}: {counted(number, 'recording')} {are(number)} used; passed over: {', '.join(found.left_out)}.{_convert(found)}"


def _convert(found: Folder) -> str:
    if not found.unread:
        return ""
    install = "" if media.installed() or media.SUFFIXES.isdisjoint(found.unread) else " (or read them with: pip install 'speechtl[media]')"
    return f" Convert recordings of other kinds with: {conversion(found.path, found.unread)}{install}"


def _level_of_speakers(folders: Sequence[tuple[str, ...]]) -> int:
    """The first level at which recordings are in different folders, 0 where there is none."""
    deepest = max(map(len, folders), default=0)
    return next((level for level in range(deepest) if len({parts[level] for parts in folders if len(parts) > level}) > 1), 0)


def _text(name: str) -> str:
    """A name of which every character can be written down."""
    return name.encode("utf-8", "backslashreplace").decode()
