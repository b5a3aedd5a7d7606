"""The bundles that a service has open: files, and folders whose *.wake files come, change and go while it runs.

What is open stays in use until something better was opened: a file that is damaged, or half copied, changes nothing.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from speechtl.errors import BundleError, SpeechtlError, os_sentence
from speechtl.runtime.bundle.choice import Choice

LOOK_SECONDS = 1.0  # between two looks at the folders
ENDING = ".wake"
RUN = "run.json"  # in a folder that is a run: nothing to listen for, and nothing to wait for

Stamp = tuple[int, int, int, int]  # what changes when a file does
NEVER: Stamp = (0, 0, 0, 0)


class Named(Protocol):
    """Something that was opened, and the words in it."""

    @property
    def names(self) -> Collection[str]:
        """The words."""


Opened = TypeVar("Opened", bound=Named)


class OpenBundles(Generic[Opened]):
    """What `open_one` makes of each bundle; `note` gets a sentence for all that changes, and for all that cannot be taken up.

    `places` are files, which must be there, and folders, which may be empty. Raises `SpeechtlError` for a file that cannot be
    opened, and for two with one word.
    """

    def __init__(self, places: Sequence[Path], open_one: Callable[[Path], Opened], note: Callable[[str], None]) -> None:
        self.folders = [place for place in places if place.is_dir() and not (place / RUN).exists()]
        self._files = [place for place in places if place not in self.folders]
        self._open_one = open_one
        self._note = note
        self._opened: dict[Path, Opened] = {}
        self._tried: dict[Path, Stamp] = {}  # the files of folders as they were when they were last opened, or could not be
        self._clashing: set[Path] = set()  # of them, those whose words others have
        self._seen: dict[Path, Stamp] = {}
        self._unreadable: set[Path] = set()
        self.reload()

    @property
    def opened(self) -> list[Opened]:
        """What is open, files first."""
        return list(self._opened.values())

    @property
    def names(self) -> list[str]:
        """All words."""
        return [name for one in self._opened.values() for name in one.names]

    @property
    def described(self) -> str:
        """The words, for people."""
        return ", ".join(self.names) or f"no word yet (waiting for *{ENDING} files in {', '.join(map(str, self.folders))})"

    def expect(self, choice: Choice) -> None:
        """Raise `SpeechtlError` for a choice of words that are not there; note it where a folder may still bring them."""
        if not self.folders:
            choice.check(self.names)
        for sentence in choice.unknown(self.names):
            self._note(sentence)

    def reload(self) -> None:
        """Open everything again; raise `SpeechtlError`, and change nothing, where that fails for a file that was named."""
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
            self._try(path, before.get(path), told=False)

    def look(self) -> bool:
        """Look at the folders; tell whether anything else is open now.

        A file counts when two looks found it the same, and one is opened a look, because sound is waiting meanwhile.
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
        """The bundles in the folders; those of a folder that cannot be looked into count as unchanged."""
        found: dict[Path, Stamp] = {}
        for folder in self.folders:
            try:
                found |= dict(_bundles(folder))
                self._unreadable.discard(folder)
            except OSError as error:
                found |= {path: stamp for path, stamp in self._seen.items() if path.parent == folder}
                if folder not in self._unreadable:
                    self._note(f"{folder} cannot be looked into ({error.strerror or error}); what is open stays in use.")
                self._unreadable.add(folder)
        named = {path.absolute() for path in self._files}
        return {path: found[path] for path in sorted(found) if path.absolute() not in named}

    def _add(self, path: Path) -> None:
        one = self._open_one(path)
        if twin := self._twin(path, one):
            raise TwinError(twin)
        self._opened[path] = one

    def _twin(self, path: Path, one: Opened) -> str:
        """A sentence where a word of one is in another that is open, else nothing."""
        for other, already in self._opened.items():
            for name in one.names:
                if name in already.names:
                    return (
                        f"Two of the bundles have a word {name!r}, {other} and {path}: its events could not be told apart. Leave one out."
                    )
        return ""

    def _try(self, path: Path, before: Opened | None, told: bool = True) -> bool:
        """Open a file of a folder; keep what was open before where that fails."""
        self._opened.pop(path, None)
        self._clashing.discard(path)
        try:
            self._add(path)
        except (SpeechtlError, OSError) as error:
            if isinstance(error, TwinError):
                self._clashing.add(path)
            self._keep(path, before, os_sentence(error) if isinstance(error, OSError) else str(error))
            return False
        self._try_clashing_again()
        if told:
            self._note(f"{path} was {'taken up' if before is None else 'opened again'}: {', '.join(self._opened[path].names)}.")
        return True

    def _keep(self, path: Path, before: Opened | None, trouble: str) -> None:
        if before is None or self._twin(path, before):
            self._note(f"{path} is not taken up until that changes: {trouble}")
        else:
            self._opened[path] = before
            self._note(f"{path} was not opened again, and the one before stays in use: {trouble}")

    def _try_clashing_again(self) -> None:
        for path in self._clashing:
            self._tried[path] = NEVER

    def _remove(self, path: Path) -> None:
        del self._tried[path]
        self._clashing.discard(path)
        one = self._opened.pop(path, None)
        if one is not None:
            self._note(f"{path} is gone, and with it: {', '.join(one.names)}.")
            self._try_clashing_again()


class TwinError(BundleError):
    """Two bundles have a word of one name, whose events could not be told apart."""


def _bundles(folder: Path) -> Iterator[tuple[Path, Stamp]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.endswith(ENDING) or entry.name.startswith("."):
                continue
            try:
                about = entry.stat()
            except FileNotFoundError:  # it went just now, or is a link to nothing
                continue
            if stat.S_ISREG(about.st_mode):
                yield folder / entry.name, (about.st_mtime_ns, about.st_ctime_ns, about.st_size, about.st_ino)
