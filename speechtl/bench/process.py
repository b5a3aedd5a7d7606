"""Measure CPU time, memory and start-up of a new process that reads its work from standard input."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import IO, Any, TypeVar

from speechtl.errors import SpeechtlError

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
MEGABYTE = 2**20

Result = TypeVar("Result")


class WorkerError(SpeechtlError):
    """A measured process failed."""


@dataclass(frozen=True)
class Unit:
    """The unit of costs, such as a second of audio: its name in measures, the name of its amount, and its number in each piece of work."""

    name: str
    amount: str
    each: float = 1.0


@dataclass(frozen=True)
class ProcessCost:
    """Cost of a process; `start_seconds` is the time from its creation until it is ready."""

    pieces: int
    cpu_seconds: float  # including the start
    peak_mb: float  # in units of 2**20 bytes
    start_seconds: float
    start_cpu_seconds: float

    def per(self, unit: Unit) -> dict[str, float]:
        """Cost per unit, without and with the start, and costs that do not depend on the amount."""
        amount = self.pieces * unit.each
        return {
            unit.amount: amount,
            f"cpu_ms_per_{unit.name}": (self.cpu_seconds - self.start_cpu_seconds) / amount * 1000.0,
            f"cpu_ms_per_{unit.name}_with_start": self.cpu_seconds / amount * 1000.0,
            "peak_mb": self.peak_mb,
            "start_seconds": self.start_seconds,
            "start_cpu_seconds": self.start_cpu_seconds,
        }


def repeat(work: Callable[[], Result], repetitions: int, progress: Callable[[int], None]) -> list[Result]:
    """Do a piece of work `repetitions` times and return all results; `progress` is called with how many are done."""
    results = []
    for number in range(1, repetitions + 1):
        results.append(work())
        progress(number)
    return results


def repeat_worker(
    command: Sequence[str], given: bytes, few: bytes, unit: Unit, repetitions: int, progress: Callable[[int], None]
) -> dict[str, Any]:
    """Run a worker `repetitions` times on the input `given`; return the medians of its costs, and the cost of each run.

    A first run on the input `few` is not counted: it compiles byte code and fills the file cache.
    """
    run_worker(command, few)
    each = repeat(lambda: run_worker(command, given)[0].per(unit), repetitions, progress)
    medians = {name: round(statistics.median(cost[name] for cost in each), 4) for name in each[0]}
    return {**medians, "each": [{name: round(value, 4) for name, value in cost.items()} for cost in each]}


def run_worker(command: Sequence[str], given: bytes) -> tuple[ProcessCost, dict[str, Any]]:
    """Run a worker on one thread with the input `given`; return its cost and its whole answer.

    A worker prints the line `ready`, processes pieces until its input ends, and prints one line of JSON with `pieces`,
    `cpu_seconds`, `start_cpu_seconds` and `peak_bytes`. Raises `WorkerError` with its last line on standard error if it fails.
    """
    environment = {**os.environ, **dict.fromkeys(THREADS, "1")}
    if command[0] != sys.executable:  # they refer to this environment, not to the other one
        environment.pop("PYTHONPATH", None)
        environment["PYTHONNOUSERSITE"] = "1"
    with tempfile.TemporaryFile() as stderr:
        begin = time.perf_counter()
        with _start(command, stderr, environment) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                ready = process.stdout.readline()
                start = time.perf_counter() - begin
                answer = process.communicate(given if ready == b"ready\n" else b"")[0]
            except BaseException:
                process.kill()
                raise
        stderr.seek(0)
        lines = stderr.read().decode(errors="replace").split("\n")
    if process.returncode != 0 or ready != b"ready\n":
        last = next((line.strip() for line in reversed(lines) if line.strip()), "it printed nothing")
        raise WorkerError(f"its process ended with {process.returncode}: {last}")
    measured = json.loads(answer)
    cost = ProcessCost(measured["pieces"], measured["cpu_seconds"], measured["peak_bytes"] / MEGABYTE, start, measured["start_cpu_seconds"])
    return cost, measured


def _start(command: Sequence[str], stderr: IO[bytes], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, env=environment)
    except OSError as error:
        raise WorkerError(f"{command[0]} cannot be started: {error.strerror}.") from error
