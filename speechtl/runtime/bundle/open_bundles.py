"""The open bundles of a service: files, and folders whose *.wake files may be added, changed and removed while it runs.

An open bundle stays in use until its replacement was opened: a file that is damaged, or only half copied, changes nothing.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from speechtl.errors import BundleError, SpeechtlError, os_sentence
from speechtl.runtime import ready
from speechtl.runtime.bundle.choice import Choice

LOOK_SECONDS = 1.0  # between two checks of the folders
ENDING = ".wake"
RUN = "run.json"  # in a run folder, which is not a folder of bundles

Stamp = tuple[int, int, int, int]  # times, size and inode of a file
NEVER: Stamp = (0, 0, 0, 0)


class Named(Protocol):
    """An open bundle with its words."""

    @property
    def names(self) -> Collection[str]:
        """The words."""


Opened = TypeVar("Opened", bound=Named)


class OpenBundles(Generic[Opened]):
    """The results of `open_one` for each bundle; `log` receives a sentence for each change, and for each bundle that cannot be opened.

    `places` are files, which must exist, ready words, and folders, which may be empty. Raises `SpeechtlError` for a file that cannot be
    opened, and for two bundles with the same word.
    """

    def __init__(self, places: Sequence[Path], open_one: Callable[[Path], Opened], log: Callable[[str], None]) -> None:
        places = ready.together(places)
        self.folders = [place for place in places if place.is_dir() and not (place / RUN).exists()]
        self._files = [place for place in places if place not in self.folders]
        self._open_one = open_one
        self._log = log
        self._opened: dict[Path, Opened] = {}
        self._tried: dict[Path, Stamp] = {}  # the files of folders at the last attempt to open them
        self._clashing: set[Path] = set()  # files of folders with a word that another bundle has
        self._seen: dict[Path, Stamp] = {}
        self._unreadable: set[Path] = set()
        self.reload()

    @property
    def opened(self) -> list[Opened]:
        """All open bundles, files first."""
        return list(self._opened.values())

    @property
    def names(self) -> list[str]:
        """All words of the open bundles."""
        return [name for one in self._opened.values() for name in one.names]

    @property
    def described(self) -> str:
        """The words, for people."""
        return ", ".join(self.names) or f"no word yet (waiting for *{ENDING} files in {', '.join(map(str, self.folders))})"

    def expect(self, choice: Choice) -> None:
        """Raise `SpeechtlError` for an unknown word in a choice; log it instead where a folder may still bring a bundle with that word."""
        if not self.folders:
            choice.check(self.names)
        for sentence in choice.unknown(self.names):
            self._log(sentence)

    def reload(self) -> None:
        """Open everything again; raise `SpeechtlError`, and change nothing, where that fails for a bundle given as a file."""
        before, self._opened = self._opened, {}
        try:
            for path in self._files:
                self._add(path)
        except BaseException:
            self._opened = before
            raise
        self._clashing.clear()
        self._seen = self._look()
        self._tried = dict(self._seen)
        for path in self._seen:
            self._try(path, before.get(path), logged=False)

    def look(self) -> bool:
        """Check the folders for changes; true where the open bundles have changed.

        A file is opened when two checks in a row found it unchanged, and one file a check, because sound is waiting meanwhile.
        """
        if not self.folders:
            return False
        before, self._seen = self._seen, self._look()
        gone = [path for path in self._tried if path not in self._seen and path not in before]
        for path in gone:
            self._remove(path)
        for path, stamp in self._seen.items():
            if before.get(path) == stamp and stamp != self._tried.get(path):
                self._tried[path] = stamp
                return self._try(path, self._opened.get(path)) or bool(gone)
        return bool(gone)

    def _look(self) -> dict[Path, Stamp]:
        """The bundles in the folders; those of a folder that cannot be read count as unchanged."""
        found: dict[Path, Stamp] = {}
        for folder in self.folders:
            try:
                found |= dict(_bundles(folder))
                self._unreadable.discard(folder)
            except OSError as error:
                found |= {path: stamp for path, stamp in self._seen.items() if path.parent == folder}
                if folder not in self._unreadable:
                    self._log(f"{folder} cannot be read ({error.strerror or error}); the open bundles stay in use.")
                self._unreadable.add(folder)
        named = {path.absolute() for path in self._files}
        return {path: found[path] for path in sorted(found) if path.absolute() not in named}

    def _add(self, path: Path) -> None:
        one = self._open_one(path)
        if duplicate := self._duplicate(path, one):
            raise DuplicateWordError(duplicate)
        self._opened[path] = one

    def _duplicate(self, path: Path, one: Opened) -> str:
        """An error message where another open bundle has one of the words, else an empty text."""
        for other, already in self._opened.items():
            for name in one.names:
                if name in already.names:
                    return (
                        f"Two bundles have the word {name!r}, {other} and {path}, so its events could not be distinguished. "
                        "Leave one of them out."
                    )
        return ""

    def _try(self, path: Path, before: Opened | None, logged: bool = True) -> bool:
        """Open a file of a folder; keep the bundle that was open before where that fails."""
        self._opened.pop(path, None)
        self._clashing.discard(path)
        try:
            self._add(path)
        except (SpeechtlError, OSError) as error:
            if isinstance(error, DuplicateWordError):
                self._clashing.add(path)
            self._keep(path, before, os_sentence(error) if isinstance(error, OSError) else str(error))
            return False
        self._retry_clashing()
        if logged:
            self._log(f"{path} was {'opened' if before is None else 'reloaded'}: {', '.join(self._opened[path].names)}.")
        return True

    def _keep(self, path: Path, before: Opened | None, trouble: str) -> None:
        if before is None or self._duplicate(path, before):
            self._log(f"{path} was not opened, and is tried again when it changes: {trouble}")
        else:
            self._opened[path] = before
            self._log(f"{path} was not reloaded, and its old version stays in use: {trouble}")

    def _retry_clashing(self) -> None:
        for path in self._clashing:
            self._tried[path] = NEVER

    def _remove(self, path: Path) -> None:
        del self._tried[path]
        self._clashing.discard(path)
        one = self._opened.pop(path, None)
        if one is not None:
            self._log(f"{path} was removed, and with it: {', '.join(one.names)}.")
            self._retry_clashing()


class DuplicateWordError(BundleError):
    """Two bundles have a word of the same name, so their events could not be distinguished."""


def _bundles(folder: Path) -> Iterator[tuple[Path, Stamp]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.endswith(ENDING) or entry.name.startswith("."):
                continue
            try:
                about = entry.stat()
            except FileNotFoundError:  # removed since, or a broken link
                continue
            if stat.S_ISREG(about.st_mode):
                yield folder / entry.name, (about.st_mtime_ns, about.st_ctime_ns, about.st_size, about.st_ino)
