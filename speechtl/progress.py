"""Progress for people: bars on a terminal; elsewhere plain lines, of which no 15 seconds pass without one. Always on stderr."""

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

Advance = Callable[[int, int], None]  # called with how many are done, and of how many
Log = Callable[[str], None]  # called with a sentence for people
Item = TypeVar("Item")


def say(text: str) -> None:
    """Print a line for people."""
    echo(one_line(text), err=True)


@contextmanager
def progress(title: str) -> Iterator[Advance]:
    """Show how far a stage of the work is; the block calls what it is given with done and total, or not at all.

    Stages may stand in one another: plain lines tell of the innermost, also while one call of it takes long.
    """
    with (_bars if sys.stderr.isatty() and find_spec("rich") else _lines).stage(title) as advance:
        yield advance


def tracked(title: str, items: Iterable[Item], total: int) -> Iterator[Item]:
    """Yield the items and show how many of them have come."""
    with progress(title) as advance:
        for number, item in enumerate(items, 1):
            advance(number, total)
            yield item


class Tally:
    """Counts what several threads have done, each call one."""

    def __init__(self, advance: Advance, total: int) -> None:
        self._advance = advance
        self._total = total
        self._numbers = itertools.count(1)  # which hands out each number once, to whatever thread

    def __call__(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield the items, each counted when it has been worked on."""
        for item in items:
            yield item
            self._advance(next(self._numbers), self._total)


@dataclass
class Stage:
    """How far a piece of work is, and since when."""

    title: str
    begun: float
    done: int = 0
    total: int = 0
    first: tuple[int, float] | None = None  # what was done at first, perhaps by an earlier call, and when
    moved: float = 0.0  # when `done` was last another one
    said: float = 0.0
    said_done: int = -1

    def advance(self, done: int, total: int, now: float) -> None:
        """Take down how far it is."""
        if done != self.done:
            self.moved = now
        if self.first is None:
            self.first = done, now
        self.done, self.total = done, total

    def line(self, now: float) -> str:
        """Return what there is to say, with the time left as far as the speed until now tells it."""
        if not self.total:
            count = f"at work, {duration(now - self.begun)} so far"
        elif self.done == self.said_done:
            count = f"still {self.done} of {self.total}, {duration(now - (self.moved or self.begun))} since the last step"
        else:
            count = f"{self.done} of {self.total}"
        left = self.seconds_left(now)
        return f"{self.title}: {count}" + ("" if left is None else f", about {duration(left)} left")

    def seconds_left(self, now: float) -> float | None:
        """Return the time left at the speed until now, None where nothing has been done yet."""
        if self.first is None or self.done <= self.first[0] or self.total <= self.done:
            return None
        return (self.total - self.done) * (now - self.first[1]) / (self.done - self.first[0])


def duration(seconds: float) -> str:
    """Return a length of time for people."""
    if seconds < 90.0:
        return f"{seconds:.0f} s"
    return f"{seconds / 60.0:.0f} min" if seconds < 5400.0 else f"{seconds / 3600.0:.1f} h"


class Lines:
    """Plain lines: one at most every `PLAIN_SECONDS` of each stage, and at least one in that time of the innermost."""

    def __init__(self, write: Callable[[str], None] = say, clock: Callable[[], float] = time.monotonic) -> None:
        self._write = write
        self._clock = clock
        self._stages: list[Stage] = []
        self._said = clock()
        self._lock = threading.RLock()
        self._watch: _Watch | None = None

    @contextmanager
    def stage(self, title: str) -> Iterator[Advance]:
        """Tell of a stage until the block ends."""
        stage = self.open(title)
        try:
            yield lambda done, total: self._advance(stage, done, total)
        finally:
            self.close(stage)

    def open(self, title: str) -> Stage:
        """Begin a stage; with the first one a thread begins that tells of long steps."""
        with self._lock:
            now = self._clock()
            stage = Stage(title, now, said=now)
            if not self._stages:
                self._said = max(self._said, now - PLAIN_SECONDS / 2)  # what was loaded before it took its time as well
                self._watch = _Watch(self)
            self._stages.append(stage)
            return stage

    def close(self, stage: Stage) -> None:
        """End a stage, with the last one the thread."""
        with self._lock:
            self._stages = [one for one in self._stages if one is not stage]
            watch = None if self._stages else self._watch
        if watch is not None:
            watch.end()

    def tick(self) -> float:
        """Say what is due; return the seconds until there is something to say again."""
        with self._lock:
            now = self._clock()
            if self._stages and now - self._said >= PLAIN_SECONDS:
                self._say(self._stages[-1], now)
            return PLAIN_SECONDS - (now - self._said)

    def _advance(self, stage: Stage, done: int, total: int) -> None:
        with self._lock:
            now = self._clock()
            stage.advance(done, total, now)
            if now - stage.said >= PLAIN_SECONDS:
                self._say(stage, now)

    def _say(self, stage: Stage, now: float) -> None:
        self._write(stage.line(now))
        stage.said_done = stage.done
        stage.said = self._said = now


class _Watch:
    """The thread that tells of steps that take long."""

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
    """One display of all stages that are open; rich draws it on a thread of its own, so that it moves while a step takes long."""

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
                display.remove_task(task)  # the outermost stays, as what was done
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
