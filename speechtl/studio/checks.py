"""Checks and waveforms of recordings, computed once for each file, in the background."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from speechtl.audio.data.folder_check import Look, look_at
from speechtl.errors import SpeechtlError
from speechtl.runtime.samples import Samples
from speechtl.runtime.sound.files import read_blocks

BARS = 64  # of a waveform
SHOWN_SECONDS = 30.0  # of a long recording's waveform
ADVICE = {
    "broken": "cannot be read as audio",
    "silent": "silent: is the microphone muted?",
    "short": "too short to hold a word",
    "no word": "no word found: nothing stands out from the background",
    "clipped": "clipped: speak more softly, or hold the microphone farther away",
    "duplicate": "the same recording as another one",
}


class Checks:
    """What is known of recordings; files that were not looked at yet are queued."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, "speechtl-checks")
        self._known: dict[tuple[Path, int, int], Future[dict[str, Any]]] = {}

    def now(self, path: Path) -> dict[str, Any]:
        """The check of a file, waited for."""
        return self._future(path).result()

    def soon(self, path: Path) -> dict[str, Any] | None:
        """The check of a file, or None where it is not done yet."""
        future = self._future(path)
        return future.result() if future.done() else None

    def close(self) -> None:
        """Forget all files that were not looked at yet."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _future(self, path: Path) -> Future[dict[str, Any]]:
        about = path.stat()
        key = path, about.st_size, about.st_mtime_ns
        if key not in self._known:
            self._known[key] = self._pool.submit(_check, path)
        return self._known[key]


def _check(path: Path) -> dict[str, Any]:
    look = look_at(path)
    return {
        "seconds": round(look.seconds, 2),
        "peak_db": _finite(look.peak_db),
        "problems": [{"kind": kind, "text": ADVICE[kind]} for kind, _ in look.problems],
        "word": look.word,
        "wave": _wave(path, look),
    }


def _finite(value: float) -> float | None:
    return round(float(value), 1) if np.isfinite(value) else None


def _wave(path: Path, look: Look) -> list[int]:
    """Peaks of equal parts of a recording, from 0 to 100."""
    if not look.rate:
        return []
    try:
        samples = np.concatenate(list(read_blocks(path, 0.0, min(SHOWN_SECONDS, look.seconds))))
    except (SpeechtlError, OSError):
        return []
    return peaks(samples)


def peaks(samples: Samples) -> list[int]:
    """Peaks of equal parts, from 0 to 100."""
    parts = np.array_split(np.abs(samples), BARS)
    return [round(100.0 * min(float(part.max(initial=0.0)), 1.0)) for part in parts]
