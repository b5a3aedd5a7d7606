"""What one input may take: five seconds of the processor and 200 MB more than there were before."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import FrameType

SECONDS = 5.0  # of the processor, as the machine may be busy with other work
HUNG_SECONDS = 120  # by the clock, after which the process is given up: native code does not hear the other limit
MEGABYTES = 200.0
MOST_ADDRESSES = 6 * 2**30  # beyond what is in use, so that no input takes the machine's memory


class TooSlowError(BaseException):
    """An input took too long; not an Exception, so that no reader takes it for its own."""


def bound_process() -> None:
    """Refuse this process more memory than a machine has to spare."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MOST_ADDRESSES, resource.RLIM_INFINITY))
    signal.signal(signal.SIGPROF, _too_slow)


@contextmanager
def limited() -> Iterator[Callable[[], float]]:
    """Raise `TooSlowError` in a block that takes too long; the block is given what tells the megabytes that it took at most."""
    _restart_peak()
    before = _megabytes("VmRSS")
    signal.setitimer(signal.ITIMER_REAL, HUNG_SECONDS)  # which ends the process
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield lambda: _megabytes("VmHWM") - before
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)


def _too_slow(signal_number: int, frame: FrameType | None) -> None:
    raise TooSlowError


def _restart_peak() -> None:
    os.pwrite(_kept_open("/proc/self/clear_refs", os.O_WRONLY), b"5", 0)


def _megabytes(name: str) -> float:
    status = os.pread(_kept_open("/proc/self/status", os.O_RDONLY), 4096, 0)
    return int(status.split(f"{name}:".encode(), 1)[1].split()[0]) / 1024


@cache
def _kept_open(path: str, flags: int) -> int:
    """The descriptor of a file that every input needs."""
    return os.open(path, flags)
