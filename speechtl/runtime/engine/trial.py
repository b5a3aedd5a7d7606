"""A graph's first steps in a child process, so that a crash or a lack of memory ends only the child.

A damaged or hostile graph may crash a runtime or ask for all memory. The child loads and runs it with limits of memory
and time, before this process does the same. It is a fork with the runtime already loaded, so the trial costs
another loading of the graph: as long as the start itself, or several times as long. A trial that was passed is
remembered, so only the first start pays. Systems without fork run no trial.
"""

from __future__ import annotations

import faulthandler
import os
import platform
import select
import signal
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from speechtl.errors import BundleError, SpeechtlError
from speechtl.runtime.engine.passed import has_passed, remember

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

MEMORY = 96 * 1024 * 1024  # bytes above those of this process, beside the runtime's copies of the graph
COPIES = 4  # of the graph in memory
# Of processor time, plus one for every BYTES_PER_SECOND of a graph; a Raspberry Pi Zero is about 40 times slower than a workstation.
SECONDS = 4 if platform.machine() in ("x86_64", "AMD64") else 60
BYTES_PER_SECOND = 20 * 1024 * 1024
PATIENCE = 7  # times as long in wall time, for a busy machine
MAX_REASON = 2000  # bytes
REFUSED = 3  # exit status of a child that wrote its reason


def try_once(name: str, work: Callable[[], object], size: int, what: str) -> None:
    """Try a graph out, unless the trial of that name was passed before on this machine."""
    if not has_passed(name):
        try_out(work, size, what)
        remember(name)


def try_out(work: Callable[[], object], size: int, what: str) -> None:
    """Do `work` on a graph of `size` bytes in a child process; raise `BundleError` where it fails or ends the child."""
    if resource is None or not hasattr(os, "fork"):
        return
    sys.stdout.flush()
    sys.stderr.flush()
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about forking with threads: the child uses none of their locks
        child = os.fork()
    if child == 0:
        _run_child(work, size, writing)
    os.close(writing)
    reason = None
    try:
        reason = _read_message(reading, PATIENCE * _seconds(size))
    finally:
        os.close(reading)
        status = _wait_for(child, kill=reason is None)
    if reason is None:
        raise BundleError(f"{what} takes longer than {PATIENCE * _seconds(size):g} s to start. Choose another graph with --graph.")
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0:
        return
    raise BundleError(reason or _exit_message(status, size, what))


def _read_message(reading: int, seconds: float) -> str | None:
    """The output of the child until it ends; None where it does not end in time."""
    message, until = b"", time.monotonic() + seconds
    while select.select([reading], [], [], max(until - time.monotonic(), 0.0))[0]:
        part = os.read(reading, MAX_REASON)
        if not part:
            return message[:MAX_REASON].decode(errors="replace")
        message = (message + part)[:MAX_REASON]
    return None


def _wait_for(child: int, kill: bool) -> int:
    """The exit status of a child, after killing it where that is needed."""
    if kill:
        os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]


def _exit_message(status: int, size: int, what: str) -> str:
    number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    if number == getattr(signal, "SIGXCPU", None):
        return f"{what} takes longer than {_seconds(size)} s to start. Choose another graph with --graph."
    return f"{what} is damaged: it crashes its runtime ({signal.Signals(number).name if number else f'exit status {status >> 8}'})."


def _run_child(work: Callable[[], object], size: int, writing: int) -> None:
    """Do the work within limits, write the reason of a failure, and end without any of the parent's clean-up."""
    status = 1
    try:
        faulthandler.disable()
        _silence()
        _limit(size)
        work()
        status = 0
    except SpeechtlError as error:
        os.write(writing, str(error).encode(errors="replace")[:MAX_REASON])
        status = REFUSED
    finally:
        os._exit(status)


def _silence() -> None:
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)


def _limit(size: int) -> None:
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_CPU, _seconds(size))
    statm = Path("/proc/self/statm")
    if statm.exists():  # Linux
        _lower(resource.RLIMIT_AS, int(statm.read_text().split()[0]) * resource.getpagesize() + MEMORY + COPIES * size)


def _seconds(size: int) -> int:
    return SECONDS + size // BYTES_PER_SECOND


def _lower(limit: int, wanted: int) -> None:
    """Lower a limit of this process; keep one that is lower already, and ignore a refusal, as in some services."""
    soft, hard = resource.getrlimit(limit)
    if soft == resource.RLIM_INFINITY or soft > wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(limit, (wanted, hard))
