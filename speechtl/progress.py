"""Progress for people, on standard error: bars on a terminal, elsewhere plain lines at least every 15 seconds."""

from __future__ import annotations

import itertools
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress

from speechtl.text import echo, one_line

PLAIN_SECONDS = 10.0  # between two lines where there is no terminal

Advance = Callable[[int, int], None]  # called with the number done and the total
Log = Callable[[str], None]  # called with a sentence for people
Item = TypeVar("Item")


def say(text: str) -> None:
    """Print a line for people."""
    echo(one_line(text), err=True)


@contextmanager
def progress(title: str) -> Iterator[Advance]:
    """Show the progress of a stage; the block may call the function that it gets with the number done and the total.

    Stages may be nested: plain lines report the innermost, also while one call of it takes long.
    """
    with (_bars if sys.stderr.isatty() and find_spec("rich") else _lines).stage(title) as advance:
        yield advance


def tracked(title: str, items: Iterable[Item], total: int) -> Iterator[Item]:
    """Yield the items and show their number as progress."""
    with progress(title) as advance:
        for number, item in enumerate(items, 1):
            advance(number, total)
            yield item


class Tally:
    """Progress of several threads that work on items of one stage."""

    def __init__(self, advance: Advance, total: int) -> None:
        self._advance = advance
        self._total = total
        self._numbers = itertools.count(1)  # gives each number to one thread only

    def __call__(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield the items; each is counted when the next one is asked for."""
        for item in items:
            yield item
            self._advance(next(self._numbers), self._total)


@dataclass
class Stage:
    """Progress of a piece of work, with times."""

    title: str
    begun: float
    done: int = 0
    total: int = 0
    first: tuple[int, float] | None = None  # number done at the first report (not 0 after an interruption), and its time
    moved: float = 0.0  # when `done` last changed
    printed: float = 0.0
    printed_done: int = -1

    def advance(self, done: int, total: int, now: float) -> None:
        """Record the number done and the total."""
        if done != self.done:
            self.moved = now
        if self.first is None:
            self.first = done, now
        self.done, self.total = done, total

    def line(self, now: float) -> str:
        """A line for people, with the time left at the average speed."""
        if not self.total:
            count = f"at work, {duration(now - self.begun)} so far"
        elif self.done == self.printed_done:
            count = f"still {self.done} of {self.total}, {duration(now - (self.moved or self.begun))} since the last step"
        else:
            count = f"{self.done} of {self.total}"
        left = self.seconds_left(now)
        return f"{self.title}: {count}" + ("" if left is None else f", about {duration(left)} left")

    def seconds_left(self, now: float) -> float | None:
        """The time left at the average speed; None before anything is done."""
        if self.first is None or self.done <= self.first[0] or self.total <= self.done:
            return None
        return (self.total - self.done) * (now - self.first[1]) / (self.done - self.first[0])


def duration(seconds: float) -> str:
    """A duration for people."""
    if seconds < 90.0:
        return f"{seconds:.0f} s"
    return f"{seconds / 60.0:.0f} min" if seconds < 5400.0 else f"{seconds / 3600.0:.1f} h"


class Lines:
    """Plain lines: at most one every `PLAIN_SECONDS` for each stage, and at least one in that time for the innermost stage."""

    def __init__(self, write: Callable[[str], None] = say, clock: Callable[[], float] = time.monotonic) -> None:
        self._write = write
        self._clock = clock
        self._stages: list[Stage] = []
        self._printed = clock()
        self._lock = threading.RLock()
        self._watch: _Watch | None = None

    @contextmanager
    def stage(self, title: str) -> Iterator[Advance]:
        """Report a stage until the block ends."""
        stage = self.open(title)
        try:
            yield lambda done, total: self._advance(stage, done, total)
        finally:
            self.close(stage)

    def open(self, title: str) -> Stage:
        """Begin a stage; the first one starts the thread that reports long steps."""
        with self._lock:
            now = self._clock()
            stage = Stage(title, now, printed=now)
            if not self._stages:
                self._printed = max(self._printed, now - PLAIN_SECONDS / 2)  # loading took time before the first stage
                self._watch = _Watch(self)
            self._stages.append(stage)
            return stage

    def close(self, stage: Stage) -> None:
        """End a stage; the last one ends the thread."""
        with self._lock:
            self._stages = [one for one in self._stages if one is not stage]
            watch = None if self._stages else self._watch
        if watch is not None:
            watch.end()

    def tick(self) -> float:
        """Print a line that is due; return the seconds until the next one."""
        with self._lock:
            now = self._clock()
            if self._stages and now - self._printed >= PLAIN_SECONDS:
                self._print(self._stages[-1], now)
            return PLAIN_SECONDS - (now - self._printed)

    def _advance(self, stage: Stage, done: int, total: int) -> None:
        with self._lock:
            now = self._clock()
            stage.advance(done, total, now)
            if now - stage.printed >= PLAIN_SECONDS:
                self._print(stage, now)

    def _print(self, stage: Stage, now: float) -> None:
        self._write(stage.line(now))
        stage.printed_done = stage.done
        stage.printed = self._printed = now


class _Watch:
    """The thread that reports steps that take long."""

    def __init__(self, lines: Lines) -> None:
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(lines,), name="speechtl-progress", daemon=True)
        self._thread.start()

    def _run(self, lines: Lines) -> None:
        while not self._ended.wait(max(lines.tick(), 0.1)):
            pass

    def end(self) -> None:
        self._ended.set()
        if threading.current_thread() is not self._thread:
            self._thread.join()


class _Bars:
    """One display of all open stages; rich draws it on its own thread, so it moves during long steps."""

    def __init__(self) -> None:
        self._open: Progress | None = None
        self._count = 0
        self._lock = threading.RLock()

    @contextmanager
    def stage(self, title: str) -> Iterator[Advance]:
        """Show a stage until the block ends."""
        with self._lock:
            self._count += 1
            if self._open is None:
                self._open = self._display()
                self._open.start()
            display = self._open
        task = display.add_task(one_line(title), total=None)

        def advance(done: int, total: int) -> None:
            display.update(task, completed=done, total=total)

        try:
            yield advance
        finally:
            self._close(display, task)

    def _close(self, display: Progress, task: Any) -> None:
        with self._lock:
            self._count -= 1
            if self._count:
                display.remove_task(task)  # the outermost stage stays visible
                return
            self._open = None
            display.stop()

    @staticmethod
    def _display() -> Progress:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        counts = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("left:"), TimeRemainingColumn())
        return Progress(TextColumn("{task.description}", markup=False), *counts, console=Console(stderr=True), redirect_stdout=False)


_lines = Lines()
_bars = _Bars()
