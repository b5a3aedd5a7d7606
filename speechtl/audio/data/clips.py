"""The clips of manifests, folders and single recordings."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from speechtl.audio.data.folder import read_folder, read_recording
from speechtl.audio.data.manifest import Clip, read_manifests
from speechtl.audio.phrases import contains
from speechtl.errors import ManifestError
from speechtl.files import sha256_of
from speechtl.progress import Log
from speechtl.runtime.sound.files import readable
from speechtl.text import one_line

_log = logging.getLogger("speechtl")


def _warn(sentence: str) -> None:
    _log.warning("%s", one_line(sentence))


def check_sources(paths: Iterable[Path]) -> None:
    """Raise `ManifestError` for a path that does not exist and is not the name of a manifest."""
    for path in paths:
        if not path.exists() and path.suffix != ".jsonl":
            raise ManifestError(f"{path} does not exist; give a folder of recordings or a manifest (a .jsonl file).")


def read_clips(paths: Sequence[Path], log: Log = _warn) -> list[Clip]:
    """The clips of manifests, folders of recordings and single recordings; files that are skipped in folders are logged."""
    check_sources(paths)
    recordings = [path for path in paths if path.suffix.lower() in readable() and path.is_file()]
    manifests = [path for path in paths if not path.is_dir() and path not in recordings]
    clips = _with_hashes(read_manifests(manifests)) if manifests else []
    for path in paths:
        if path.is_dir():
            clips += read_folder(path, log)
    return clips + [read_recording(path) for path in recordings]


def _with_hashes(clips: Sequence[Clip]) -> list[Clip]:
    """The clips with the hashes that their manifests leave out."""
    unknown = {clip.path for clip in clips if clip.path is not None and clip.sha256 is None}
    hashes = {path: sha256_of(path) for path in sorted(unknown) if path.is_file()}
    return [replace(clip, sha256=hashes[clip.path]) if clip.sha256 is None and clip.path in hashes else clip for clip in clips]


def named(clips: Sequence[Clip]) -> bool:
    """Whether every clip has a speaker."""
    return all(clip.person for clip in clips)


def is_marked(clips: Sequence[Clip]) -> bool:
    """Whether the manifests mark validation recordings."""
    return any(clip.split == "validation" for clip in clips)


def says(clip: Clip, phrases: Sequence[str]) -> bool:
    """Whether the text or label of a clip contains one of the phrases, as in `phrases.contains`."""
    return any(contains(text, phrases) for text in (clip.text, clip.label) if text)
