"""Measure a fresh process that takes its work from standard input: processor time, memory, start."""

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
    """A measured process did not do its work."""


@dataclass(frozen=True)
class Unit:
    """What costs are told for, such as a second of audio: its name in measures, and that of the amount of it."""

    name: str
    amount: str
    each: float = 1.0  # of the unit, in each piece that a worker takes


@dataclass(frozen=True)
class ProcessCost:
    """What a process cost; `start_seconds` lie between its creation and its word that it is ready."""

    pieces: int
    cpu_seconds: float  # altogether
    peak_mb: float  # of 2**20 bytes
    start_seconds: float
    start_cpu_seconds: float

    def per(self, unit: Unit) -> dict[str, float]:
        """Return the cost for each unit, without and with the start, and what does not depend on the amount."""
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
    """Run a worker so many times on what is given; return the medians of its costs, and each.

    A first run on a few pieces is not counted: byte code is compiled and files are read into memory.
    """
    run_worker(command, few)
    each = repeat(lambda: run_worker(command, given)[0].per(unit), repetitions, progress)
    medians = {name: round(statistics.median(cost[name] for cost in each), 4) for name in each[0]}
    return {**medians, "each": [{name: round(value, 4) for name, value in cost.items()} for cost in each]}


def run_worker(command: Sequence[str], given: bytes) -> tuple[ProcessCost, dict[str, Any]]:
    """Run a worker on one thread and hand it what is given; return what it cost, and all that it answered.

    A worker prints the line `ready`, takes pieces until its input ends, and prints one line of JSON with `pieces`,
    `cpu_seconds`, `start_cpu_seconds` and `peak_bytes`. Raises `WorkerError` with its last line when it does not.
    """
    environment = {**os.environ, **dict.fromkeys(THREADS, "1")}
    if command[0] != sys.executable:  # what these lead to is meant for this environment, not for another's
        environment.pop("PYTHONPATH", None)
        environment["PYTHONNOUSERSITE"] = "1"
    with tempfile.TemporaryFile() as said:
        begin = time.perf_counter()
        with _start(command, said, environment) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                ready = process.stdout.readline()
                start = time.perf_counter() - begin
                answer = process.communicate(given if ready == b"ready\n" else b"")[0]
            except BaseException:
                process.kill()
                raise
        said.seek(0)
        lines = said.read().decode(errors="replace").split("\n")
    if process.returncode != 0 or ready != b"ready\n":
        last = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
        raise WorkerError(f"its process ended with {process.returncode}: {last}")
    told = json.loads(answer)
    cost = ProcessCost(told["pieces"], told["cpu_seconds"], told["peak_bytes"] / MEGABYTE, start, told["start_cpu_seconds"])
    return cost, told


def _start(command: Sequence[str], said: IO[bytes], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, env=environment)
    except OSError as error:
        raise WorkerError(f"{command[0]} cannot be started: {error.strerror}.") from error
