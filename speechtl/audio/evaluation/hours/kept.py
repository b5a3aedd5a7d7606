"""What was heard so far, in a folder of the cache that is named after everything the outcome depends on.

An evaluation that was interrupted continues when it is started again with the same model, recordings and settings.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from speechtl.audio.evaluation.hours import parts
from speechtl.audio.evaluation.hours.parts import Heard
from speechtl.errors import SpeechtlError
from speechtl.files import cache_if_any, locked
from speechtl.progress import Log

FOLDER = "evaluations"
DAYS = 30.0  # that what was heard is kept


@contextmanager
def workshop(note: Log) -> Iterator[Path]:
    """A folder for evaluations: in the cache, or a temporary one where there is no cache."""
    folder = _in_cache()
    if folder is not None:
        yield folder
        return
    note("There is no folder for a cache (SPEECHTL_CACHE names one), so an evaluation that is interrupted begins again.")
    with tempfile.TemporaryDirectory(prefix="speechtl-") as temporary:
        yield Path(temporary)


def _in_cache() -> Path | None:
    cache = cache_if_any()
    if cache is None:
        return None
    folder = cache / FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.iterdir():
            if time.time() - old.stat().st_mtime > DAYS * 86_400.0:
                shutil.rmtree(old, ignore_errors=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return None
    return folder


@contextmanager
def alone_with(folder: Path, number: int) -> Iterator[Kept]:
    """What is kept of a number of parts; the folder is locked, and removed when the block ends without an error."""
    with locked(folder.with_suffix(".lock"), "The same evaluation is at work", "give it other recordings or another model"):
        yield Kept(folder, number)
        shutil.rmtree(folder, ignore_errors=True)


class Kept:
    """What was heard of each part."""

    def __init__(self, folder: Path, number: int) -> None:
        self._folder = folder
        self._number = number

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:07}.npz"

    def missing(self) -> list[int]:
        """The numbers of the parts that were not heard yet, or without recordings that had gone away and may be back."""
        return [number for number in range(self._number) if (heard := parts.load(self._path(number))) is None or not heard.whole]

    def add(self, heard: Heard) -> None:
        """Keep what was heard of a part."""
        parts.save(self._path(heard.number), heard)

    def __iter__(self) -> Iterator[Heard]:
        """What was heard of each part, in order."""
        for number in range(self._number):
            heard = parts.load(self._path(number))
            if heard is None:
                raise SpeechtlError(f"{self._path(number)} is damaged or was removed; start the same evaluation again.")
            yield heard
