"""Folders of recordings: the files that are used, and their speakers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from speechtl.audio.data.manifest import Clip, read_manifest
from speechtl.errors import AudioError, ManifestError
from speechtl.files import sha256_of
from speechtl.folders import SOUNDS, Folder, conversion, look_into
from speechtl.progress import Log
from speechtl.runtime.sound import media
from speechtl.runtime.sound.files import describe, readable
from speechtl.text import are, counted

MANIFEST = "manifest.jsonl"  # in a folder of recordings: what is known about them


def recordings_in(folder: Path) -> Folder:
    """The recordings of a folder and the number of other files; raises `ManifestError` if it has no readable recording."""
    found = look_into(folder, readable(), SOUNDS, MANIFEST)
    if not found.files:
        other = f" It has {', '.join(found.left_out)}." if found.left_out else ""
        raise ManifestError(
            f"{folder} contains no recordings that can be read ({', '.join(sorted(readable()))}) and no manifest was given."
            f"{other}{_convert(found)}"
        )
    return found


def read_folder(folder: Path, log: Log) -> list[Clip]:
    """A clip for every recording in a folder and its sub-folders; files that are skipped are logged.

    The speakers are the first level with several sub-folders, otherwise the first level. Speaker, licence, text and limits of the word
    that a `manifest.jsonl` in the folder gives for one of its recordings are used.
    """
    found = recordings_in(folder)
    if found.left_out:
        log(left_out(found))
    level = _level_of_speakers([path.relative_to(folder).parts[:-1] for path in found.files])
    known = _described(folder, log)
    clips = []
    for number, path in enumerate(found.files, 1):
        inside = path.relative_to(folder)
        above = inside.parts[:-1]
        speaker = _text(above[min(level, len(above) - 1)]) if above else None
        clip = replace(read_recording(path), audio_filepath=str(inside), speaker=speaker, manifest=folder, line=number)
        clips.append(_with_line(clip, known.get(inside)))
    return clips


def _described(folder: Path, log: Log) -> dict[Path, Clip]:
    """The lines of the folder's own manifest by path; none where there is no manifest, or one that cannot be read, which is logged."""
    manifest = folder / MANIFEST
    if not manifest.is_file():
        return {}
    try:
        return {Path(clip.audio_filepath): clip for clip in read_manifest(manifest)}
    except ManifestError as error:
        log(f"{manifest} is left out, and only the recordings beside it are used: {error}")
        return {}


def _with_line(clip: Clip, line: Clip | None) -> Clip:
    """The clip with what the line says about it; the limits of the word only if the recording was not changed since."""
    if line is None:
        return clip
    known = {key: value for key in ("speaker", "license", "text", "label") if (value := getattr(line, key)) is not None}
    clip = replace(clip, extra=line.extra, **known)
    whole = line.offset == 0.0 and line.channel is None and clip.sha256 == line.sha256
    return replace(clip, word_start=line.word_start, word_end=line.word_end) if whole else clip


def read_recording(path: Path) -> Clip:
    """A clip for a single recording."""
    try:
        duration, digest = describe(path)[2], sha256_of(path)
    except (AudioError, OSError):
        duration, digest = 0.0, None  # loading reports the error
    return Clip(path.name, duration, sha256=digest, manifest=path.parent, line=1, path=path)


def left_out(found: Folder) -> str:
    """A sentence that counts skipped files, with the command that converts recordings of other formats."""
    number = len(found.files)
    return f"{found.path}: {counted(number, 'recording')} {are(number)} used; skipped: {', '.join(found.left_out)}.{_convert(found)}"


def _convert(found: Folder) -> str:
    if not found.unread:
        return ""
    install = "" if media.installed() or media.SUFFIXES.isdisjoint(found.unread) else " (or read them with: pip install 'speechtl[media]')"
    return f" Convert recordings of other formats with: {conversion(found.path, found.unread)}{install}"


def _level_of_speakers(folders: Sequence[tuple[str, ...]]) -> int:
    """The first level at which recordings are in different folders, 0 if there is none."""
    deepest = max(map(len, folders), default=0)
    return next((level for level in range(deepest) if len({parts[level] for parts in folders if len(parts) > level}) > 1), 0)


def _text(name: str) -> str:
    """A name that can be encoded as UTF-8."""
    return name.encode("utf-8", "backslashreplace").decode()
