"""Tell people what is going on: bars on a terminal, plain lines elsewhere; always on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from speechtl.plain import echo, one_line

PLAIN_SECONDS = 10.0  # between two lines where there is no terminal

Advance = Callable[[int, int], None]  # called with how many are done, and of how many


def say(text: str) -> None:
    """Print a line for people."""
    echo(one_line(text), err=True)


@contextmanager
def progress(title: str) -> Iterator[Advance]:
    """Show how far a piece of work is; the block calls what it is given with done and total."""
    with (_bar if sys.stderr.isatty() else _plain)(title) as advance:
        yield advance


@contextmanager
def _bar(title: str) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        task = bars.add_task(title, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)


@contextmanager
def _plain(title: str) -> Iterator[Advance]:
    last = time.monotonic()

    def advance(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= PLAIN_SECONDS:
            last = time.monotonic()
            say(f"{title}: {done} of {total}")

    yield advance
