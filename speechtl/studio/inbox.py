"""Clips that devices saved around events and near misses, and what people say of them: word, not the word, or unsure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from speechtl.runtime.listen.clips import VERDICTS, ClipName
from speechtl.studio.project import Word, inside
from speechtl.studio.refusals import RefusedError, conflict, missing

PAGE = 50  # clips listed at a time
MOST_WAITING = 10_000  # clips without a label, beyond which devices add none: whoever has a stolen key cannot fill the disk


@dataclass(frozen=True)
class Door:
    """Where devices reach the studio, with the key that they need and the fingerprint of its certificate (empty without encryption)."""

    origin: str
    key: str
    sha256: str = ""

    def address(self, word: Word) -> str:
        """The address of the inbox of a word, as `speechtl listen --send-clips` reads it."""
        mark = f"&sha256={self.sha256}" if self.sha256 else ""
        return f"{self.origin}/api/words/{quote(word.name)}/inbox/#key={self.key}{mark}"


def listed(word: Word, before: str = "") -> dict[str, Any]:
    """The newest clips that have no label, those whose names come before another one, and how many there are."""
    names = _names(word.clips)
    page = [name for name in names if not before or name < before][:PAGE]
    labelled = {label: len(_names(word.clips / label)) for label in VERDICTS}
    return {"clips": [describe(name) for name in page], "total": len(names), "labelled": labelled, "folder": str(word.clips)}


def describe(name: str) -> dict[str, Any]:
    """What the name of a clip tells: time (UTC), whether it was a near miss, score."""
    told = ClipName.of(name)
    if told is None:
        return {"name": name, "at": None, "near": False, "score": None}
    return {"name": name, "at": f"{told.at:%Y-%m-%dT%H:%M:%SZ}", "near": told.near, "score": told.score}


def clip(word: Word, name: str) -> Path:
    """A clip, with or without a label."""
    for folder in _folders(word):
        if folder.is_dir() and name in _names(folder):
            return inside(folder, name)
    raise missing(f"The clip {name!r}")


def is_known(word: Word, name: str) -> bool:
    """Whether a clip came already, with or without a label."""
    return any((folder / name).is_file() for folder in _folders(word))


def check_waiting(word: Word) -> None:
    """Raise `RefusedError` where so many clips wait for a label that a device may not add any more."""
    if len(_names(word.clips)) >= MOST_WAITING:
        raise RefusedError(507, f"{MOST_WAITING:,} clips wait in the inbox; label some, or delete them in {word.name}/{word.clips.name}.")


def clip_name(name: str) -> str:
    """The name of a clip that a device sends; raises `RefusedError` for names that `listen --save-clips` does not give."""
    if ClipName.of(name) is None or Path(name).name != name or "\\" in name or not name.isprintable():
        raise RefusedError(422, "A clip must have the name that `speechtl listen --save-clips` gave it.")
    return name


def label(word: Word, name: str, given: str, expected: str = "") -> None:
    """Move a clip to its label; `expected` is the label that the window shows, '' for a clip in the inbox, as also for `given`.

    Raises `RefusedError` where another window labelled it otherwise in the meantime.
    """
    if given not in ("", *VERDICTS) or expected not in ("", *VERDICTS):
        raise RefusedError(422, f"A label must be one of {', '.join(VERDICTS)}; got {given!r}.")
    path = clip(word, name)
    now = path.parent.name if path.parent != word.clips else ""
    if now == given:
        return
    if now != expected:
        raise conflict(f"Another window labelled this clip {now.replace('-', ' ')!r}; it keeps that label.")
    target = word.clips / given / name
    target.parent.mkdir(parents=True, exist_ok=True)
    path.rename(target)


def _folders(word: Word) -> list[Path]:
    """The folders of its clips: without a label, and with each."""
    return [word.clips, *(word.clips / label for label in VERDICTS)]


def _names(folder: Path) -> list[str]:
    """The names of the clips in a folder, the newest first; their names begin with the time."""
    if not folder.is_dir():
        return []
    names = (path.name for path in folder.iterdir() if path.suffix == ".wav" and path.name[0] != ".")
    return sorted((name for name in names if name.isprintable()), reverse=True)  # no page can name the others
