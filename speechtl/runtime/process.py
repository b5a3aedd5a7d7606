"""Cost of this process so far: processor time, memory, open files and threads."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from speechtl.errors import SpeechtlError


def cpu_seconds() -> float:
    """Processor time of this process, user and system, of all threads together."""
    return time.process_time()


def peak_bytes() -> int:
    """Peak resident memory of this program, in bytes."""
    peak = _status("VmHWM")  # Linux carries ru_maxrss over from the program that started this one; VmHWM starts at zero
    if peak is not None:
        return peak
    try:
        import resource
    except ImportError as error:  # Windows
        raise SpeechtlError("This system does not report the memory of a program; run this on Linux or macOS.") from error
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else largest * 1024


def report_cost(pieces: Iterable[bytes], take: Callable[[bytes], object]) -> None:
    """Print "ready", take all pieces, and print the cost as one line of JSON, for `speechtl.bench.process.run_worker`."""
    start_cpu = cpu_seconds()
    print("ready", flush=True)
    taken = 0
    for piece in pieces:
        take(piece)
        taken += 1
    cost = {"pieces": taken, "start_cpu_seconds": start_cpu, "cpu_seconds": cpu_seconds(), "peak_bytes": peak_bytes()}

    import json  # after the measurement

    print(json.dumps(cost))


def resident_bytes() -> int:
    """Resident memory of this program, in bytes; raises `SpeechtlError` on a system without /proc."""
    resident = _status("VmRSS")
    if resident is None:
        raise SpeechtlError("This system has no /proc/self/status, from which memory is read; run this on Linux.")
    return resident


def open_files() -> int:
    """Number of open files, pipes and sockets of this process (Linux)."""
    return len(list(Path("/proc/self/fd").iterdir()))


def threads() -> int:
    """Number of threads of this process, on Linux including those of libraries."""
    value = _status_line("Threads")
    return int(value) if value is not None else threading.active_count()


def _status(key: str) -> int | None:
    value = _status_line(key)
    return int(value.split()[0]) * 1024 if value is not None else None


def _status_line(key: str) -> str | None:
    try:
        with Path("/proc/self/status").open(encoding="ascii", errors="replace") as lines:
            return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(f"{key}:")), None)
    except OSError:
        return None
