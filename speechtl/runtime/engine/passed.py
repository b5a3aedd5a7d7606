"""Trials that graphs passed on this machine, remembered between starts in the folder for downloads.

Each is an empty file. Its name is the hash of everything that the trial depended on, and a bundle writes no files, so
no bundle can claim a trial that its graph did not pass. Where the folder is not usable, or others may write to it, each start
tries its graphs again.
"""

from __future__ import annotations

import json
import os
import platform
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from speechtl import __version__
from speechtl.files import cache_if_any
from speechtl.runtime.bundle.archive import sha256

FOLDER = "passed-trials"
MOST = 500  # with more, the old ones are removed
OTHERS_MAY_WRITE = 0o022


def trial_name(sha256_of_graph: str, module: ModuleType, *settings: Any) -> str:
    """Name of a trial: a hash of the graph, the runtime's release, this machine, and the settings on which the outcome depends."""
    machine = [platform.machine(), platform.node()]
    text = json.dumps([__version__, sha256_of_graph, module.__name__, _release(module), machine, repr(settings)])
    return str(sha256(text.encode()).hexdigest())


def _release(module: ModuleType) -> list[Any]:
    """The version of a runtime, where it has one, and the size and time of its file, which another installation changes."""
    version = getattr(module, "__version__", None)
    try:
        file = Path(module.__file__ or "").stat()
    except OSError:  # in programs bundled into one file
        return [version]
    return [version, file.st_size, file.st_mtime_ns]


def has_passed(name: str) -> bool:
    """True where a trial of that name was passed before."""
    folder = _folder()
    with suppress(OSError):
        return folder is not None and _is_ours(folder) and (folder / name).exists()
    return False


def remember(name: str) -> None:
    """Remember a trial as passed, where that is possible."""
    folder = _folder()
    if folder is None:
        return
    with suppress(OSError):
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        if not _is_ours(folder):
            return
        before = list(folder.iterdir())
        for old in before if len(before) >= MOST else ():
            old.unlink(missing_ok=True)
        (folder / name).touch()


def _folder() -> Path | None:
    cache = cache_if_any()
    return None if cache is None else cache / FOLDER


def _is_ours(folder: Path) -> bool:
    """True where nobody else may write to the folder; Windows has no such permissions, and runs no trials."""
    found = folder.stat()
    return not hasattr(os, "geteuid") or (found.st_uid == os.geteuid() and not found.st_mode & OTHERS_MAY_WRITE)
