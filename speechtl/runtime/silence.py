"""Keep the output of libraries off the terminal, which belongs to the command that uses them."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TextIO

_lock = threading.Lock()
_inside = 0
_kept: tuple[int, TextIO | None] | None = None


@contextmanager
def quiet() -> Iterator[None]:
    """Discard what the block, C++ included, writes to standard output and standard error; errors are still raised.

    For work of one thread, such as a conversion: output of other threads is lost in the meantime.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
        try:
            with redirect_stdout(nowhere), redirect_stderr(nowhere):
                yield
        finally:
            for copy, number in zip(kept, (1, 2), strict=True):
                os.dup2(copy, number)
                os.close(copy)


@contextmanager
def silent_library() -> Iterator[None]:
    """Discard what C code writes to standard error in the block; what Python writes there, from any thread, still arrives."""
    _enter()
    try:
        yield
    finally:
        _leave()


def _enter() -> None:
    global _inside, _kept
    with _lock:
        _inside += 1
        if _inside > 1:
            return
        try:
            copy = os.dup(2)
        except OSError:  # closed: nothing can be written to it
            return
        shown = sys.stderr
        ours = _writes_to_2(shown)
        if ours:
            shown.flush()
            sys.stderr = os.fdopen(os.dup(copy), "w", buffering=1, encoding=shown.encoding, errors=shown.errors)
        _kept = copy, shown if ours else None
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 2)


def _leave() -> None:
    global _inside, _kept
    with _lock:
        _inside -= 1
        if _inside or _kept is None:
            return
        copy, shown = _kept
        _kept = None
        os.dup2(copy, 2)
        os.close(copy)
        if shown is not None:
            between, sys.stderr = sys.stderr, shown
            between.flush()  # not closed: another thread may be writing to it


def _writes_to_2(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.fileno() == 2
    except (OSError, ValueError):  # not a file
        return False
