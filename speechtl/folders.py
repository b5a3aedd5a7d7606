"""Recordings or pictures in a folder, and a count of its other contents by kind."""

from __future__ import annotations

import os
import shlex
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from speechtl.text import counted

# Folders that systems and programs create; people keep no recordings or pictures in them.
SYSTEM_FOLDERS = {"__macosx", "@eadir", "#recycle", "#snapshot", "@recycle", "$recycle.bin", "lost+found", "system volume information"}
SOUNDS = {
    ".3g2",
    ".3ga",
    ".3gp",
    ".3gpp",
    ".aac",
    ".ac3",
    ".amr",
    ".ape",
    ".awb",
    ".m4a",
    ".m4b",
    ".mka",
    ".mkv",
    ".mov",
    ".mp4",
    ".webm",
    ".wma",
    ".wv",
}
PICTURES = {".avif", ".bmp", ".gif", ".heic", ".heif", ".jpeg", ".jpg", ".jxl", ".png", ".svg", ".tif", ".tiff", ".webp"}
TEXTS = {".csv", ".htm", ".html", ".json", ".jsonl", ".md", ".pdf", ".rtf", ".toml", ".tsv", ".txt", ".xml"}


@dataclass
class Folder:
    """Contents of a folder: the wanted `files` in order, and the others counted by kind."""

    path: Path
    files: list[Path] = field(default_factory=list)
    unread: Counter[str] = field(default_factory=Counter)  # endings of recordings or pictures that have to be converted
    others: Counter[tuple[str, str]] = field(default_factory=Counter)  # kinds, in singular and plural

    @property
    def left_out(self) -> list[str]:
        """Skipped contents, such as `9 .m4a files`."""
        unread = [counted(number, f"{ending} file") for ending, number in sorted(self.unread.items())]
        return unread + [counted(number, *kind) for kind, number in sorted(self.others.items())]


def look_into(folder: Path, wanted: Collection[str], convertible: Collection[str] = (), manifest: str = "") -> Folder:
    """Find the files below a folder whose endings are `wanted`, each once; links to folders are followed, hidden ones are not.

    Endings that are `convertible` are counted as unread, unless a converted file is beside them. The folder's own
    `manifest` is not counted. Nothing odd in a folder stops the search.
    """
    found = Folder(folder)
    seen: set[str] = set()
    for path in _files(folder, found, set()):
        ending = path.suffix.lower()
        if manifest and path == folder / manifest:
            continue
        if path.name.startswith("._"):
            found.others["file of macOS (._)", "files of macOS (._)"] += 1
        elif path.name.startswith("."):
            found.others["hidden file", "hidden files"] += 1
        elif ending in wanted:
            _take(path, found, seen)
        elif ending in convertible:
            found.unread[ending] += not _is_converted(path, wanted)
        else:
            found.others[_kind(ending)] += 1
    found.unread += Counter()  # without zeros
    found.files.sort()
    return found


def conversion(folder: Path, endings: Collection[str], to: str = ".wav") -> str:
    """The command that converts files below a folder; each result is written beside its original."""
    names = " -o ".join(f"-iname '*{ending}'" for ending in sorted(endings))
    program = 'ffmpeg -nostdin -n -i "$1" ' + f'"$1{to}"'
    return f"find -L {shlex.quote(str(folder))} -type f \\( {names} \\) ! -name '._*' -exec sh -c '{program}' sh {{}} \\;"


def _take(path: Path, found: Folder, seen: set[str]) -> None:
    target = os.path.realpath(path)
    if target in seen:
        found.others["duplicate link to a file", "duplicate links to files"] += 1
    else:
        seen.add(target)
        found.files.append(path)


def _files(folder: Path, found: Folder, above: set[str]) -> Iterator[Path]:
    """Yield regular files, also through links; count contents that cannot be opened."""
    target = os.path.realpath(folder)
    if target in above:
        return  # a link to a folder that was read already
    above.add(target)
    try:
        inside = sorted(folder.iterdir())
    except OSError:
        found.others["folder that cannot be read", "folders that cannot be read"] += 1
        return
    for path in inside:
        if _is(path, "is_dir"):
            if is_passed_over(path):
                found.others["hidden or system folder", "hidden or system folders"] += 1
            else:
                yield from _files(path, found, above)
        elif _is(path, "is_file"):
            yield path
        elif path.is_symlink():
            found.others["broken link", "broken links"] += 1
        else:
            found.others["pipe, socket or device", "pipes, sockets or devices"] += 1


def is_passed_over(folder: Path) -> bool:
    """Whether a folder is hidden, or created by a system."""
    return folder.name.startswith(".") or folder.name.lower() in SYSTEM_FOLDERS


def is_file(path: Path) -> bool:
    """Whether a file exists; False for names that are too long or invalid in the file system."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _is(path: Path, question: str) -> bool:
    try:
        return bool(getattr(path, question)())
    except OSError:  # a loop of links, or no permission
        return False


def _is_converted(path: Path, wanted: Collection[str]) -> bool:
    names = (candidate for ending in wanted for candidate in (Path(f"{path}{ending}"), path.with_suffix(ending)))
    return any(_is(name, "is_file") for name in names)


def _kind(ending: str) -> tuple[str, str]:
    for kind, endings in (("picture", PICTURES), ("text", TEXTS), ("recording or film", SOUNDS)):
        if ending in endings:
            return f"{kind} ({ending})", f"{kind}s ({ending})" if kind != "recording or film" else f"recordings or films ({ending})"
    return (f"{ending} file", f"{ending} files") if ending else ("file without an ending", "files without an ending")
