"""Measure a fresh process that hears audio on its standard input: processor time, memory, start."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import IO, Any

from speechtl.errors import SpeechtlError
from speechtl.runtime.bench_audio import CHUNK_SECONDS, Int16

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
MEGABYTE = 2**20


class WorkerError(SpeechtlError):
    """A measured process did not do its work."""


@dataclass(frozen=True)
class ProcessCost:
    """What a process cost; `start_seconds` lie between its creation and its word that it is ready."""

    audio_seconds: float
    cpu_ms_per_second: float
    cpu_ms_per_second_with_start: float
    peak_mb: float  # of 2**20 bytes
    start_seconds: float
    start_cpu_seconds: float

    def to_json(self) -> dict[str, float]:
        """Return the fields as JSON stores them."""
        return asdict(self)


def run_worker(command: Sequence[str], audio: Int16) -> tuple[ProcessCost, dict[str, Any]]:
    """Run a worker on one thread over the audio (16 kHz); return what it cost, and all that it answered.

    A worker prints the line `ready`, takes chunks of 80 ms until its input ends, and prints one line of JSON with `chunks`,
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
                answer = process.communicate(audio.tobytes() if ready == b"ready\n" else b"")[0]
            except BaseException:
                process.kill()
                raise
        said.seek(0)
        lines = said.read().decode(errors="replace").split("\n")
    if process.returncode != 0 or ready != b"ready\n":
        last = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
        raise WorkerError(f"its process ended with {process.returncode}: {last}")
    answered = json.loads(answer)
    return _cost(answered, start), answered


def _start(command: Sequence[str], said: IO[bytes], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, env=environment)
    except OSError as error:
        raise WorkerError(f"{command[0]} cannot be started: {error.strerror}.") from error


def _cost(answer: dict[str, Any], start_seconds: float) -> ProcessCost:
    seconds = answer["chunks"] * CHUNK_SECONDS
    total, start_cpu = answer["cpu_seconds"], answer["start_cpu_seconds"]
    return ProcessCost(
        audio_seconds=seconds,
        cpu_ms_per_second=(total - start_cpu) / seconds * 1000.0,
        cpu_ms_per_second_with_start=total / seconds * 1000.0,
        peak_mb=answer["peak_bytes"] / MEGABYTE,
        start_seconds=start_seconds,
        start_cpu_seconds=start_cpu,
    )
