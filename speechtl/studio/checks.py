"""Checks and waveforms of recordings, computed once for each file, in the background; takes are compared with each other, too."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from speechtl.audio.data.folder_check import Look, look_at
from speechtl.audio.recording.checks import check_take
from speechtl.errors import SpeechtlError
from speechtl.runtime.samples import Floats, Samples
from speechtl.runtime.sound.files import read_audio

if TYPE_CHECKING:
    from speechtl.audio.recording.agreement import TakeEncoder

BARS = 64  # of a waveform
SHOWN_SECONDS = 30.0  # of a long recording's waveform
COMPARED = 24  # takes with which one is compared
ANYWHERE = {  # problems of any recording; the others are those of takes
    "broken": ("It cannot be read as audio.", "Convert it, or remove it."),
    "silent": ("It is silent.", "Is the microphone muted?"),
    "clipped": ("It is clipped.", "Record with a lower level, or farther away."),
    "duplicate": ("It is the same recording as another one.", "Remove one of them."),
}
Key = tuple[Path, int, int]
Limits = tuple[float, float]


@dataclass
class _Take:
    """What is known of a file: its check, and the embedding of the word in it."""

    check: Future[dict[str, Any]]
    embedding: Future[Floats | None] | None = None


@dataclass
class Checks:
    """What is known of recordings; files that were not looked at yet are queued. `compare` compares takes by their embeddings."""

    compare: bool = True
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "speechtl-checks"))
    _slow: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "speechtl-embeddings"))
    _known: dict[Key, _Take] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _encoder: TakeEncoder | None = None

    def now(self, path: Path, phrases: Sequence[str]) -> dict[str, Any]:
        """The check of a file, waited for; a file without phrases is not a take of the word."""
        return self._take(path, phrases).check.result()

    def soon(self, path: Path, phrases: Sequence[str]) -> dict[str, Any] | None:
        """The check of a file, or None where it is not done yet."""
        future = self._take(path, phrases).check
        return future.result() if future.done() else None

    def differing(self, takes: Mapping[str, Sequence[Path]], phrases: Sequence[str]) -> dict[Path, dict[str, str]]:
        """The takes, by speaker, that sound different from the others, each with its problem; takes are compared as they are known."""
        if not self.compare:
            return {}
        known = {speaker: self._embeddings(paths, phrases) for speaker, paths in takes.items()}
        everybody = [one for own in known.values() for one in list(own.values())[:COMPARED]][: 4 * COMPARED]
        return {
            path: problem
            for own in known.values()
            for path, embedding in own.items()
            if (problem := _differs(embedding, [one for other, one in own.items() if other != path][:COMPARED], everybody))
        }

    def close(self) -> None:
        """Forget all files that were not looked at yet."""
        for pool in (self._pool, self._slow):
            pool.shutdown(wait=False, cancel_futures=True)

    def _take(self, path: Path, phrases: Sequence[str]) -> _Take:
        about = path.stat()
        key = path, about.st_size, about.st_mtime_ns
        with self._lock:
            if key not in self._known:
                self._known[key] = _Take(self._pool.submit(_check, path, phrases))
            return self._known[key]

    def _embeddings(self, paths: Sequence[Path], phrases: Sequence[str]) -> dict[Path, Floats]:
        """The embeddings that are known; the others are queued."""
        found = {}
        for path in paths:
            take = self._take(path, phrases)
            if not take.check.done() or not (word := take.check.result().get("word")):
                continue
            if take.embedding is None:
                take.embedding = self._slow.submit(self._embed, path, tuple(word))
            elif take.embedding.done() and (embedding := take.embedding.result()) is not None:
                found[path] = embedding
        return found

    def _embed(self, path: Path, word: Limits) -> Floats | None:
        from speechtl.audio.recording.agreement import TakeEncoder  # loads torch

        self._encoder = self._encoder or TakeEncoder()
        try:
            return self._encoder.embed(read_audio(path), word)
        except (SpeechtlError, OSError):
            return None


def _check(path: Path, phrases: Sequence[str]) -> dict[str, Any]:
    look = look_at(path)
    samples = _samples(path, look)
    problems = [_problem(kind, *ANYWHERE[kind]) for kind, _ in look.problems if kind in ANYWHERE]
    word = None
    if phrases and look.rate and look.is_short:
        take = check_take(samples, phrases, clipped=look.clipped)
        word = take.word
        known = {problem["kind"] for problem in problems}
        problems += [_problem(one.kind, one.sentence, one.remedy) for one in take.problems if one.kind not in known]
    return {"seconds": round(look.seconds, 2), "problems": problems, "word": word, "wave": peaks(samples)}


def _problem(kind: str, text: str, remedy: str) -> dict[str, str]:
    return {"kind": kind, "text": text, "remedy": remedy}


def _samples(path: Path, look: Look) -> Samples:
    """The beginning of a recording; nothing of one that cannot be read."""
    try:
        return read_audio(path, 0.0, min(SHOWN_SECONDS, look.seconds)) if look.rate else np.zeros(0, np.float32)
    except (SpeechtlError, OSError):
        return np.zeros(0, np.float32)


def _differs(take: Floats, own: Sequence[Floats], everybody: Sequence[Floats]) -> dict[str, str] | None:
    from speechtl.audio.recording.agreement import disagreement_problem

    others = [one for one in everybody if one is not take and not any(one is mine for mine in own)]
    problem = disagreement_problem(take, own, others)
    return None if problem is None else _problem(problem.kind, problem.sentence, problem.remedy)


def peaks(samples: Samples) -> list[int]:
    """Peaks of equal parts, from 0 to 100; none of nothing."""
    parts = np.array_split(np.abs(samples), BARS) if len(samples) else []
    return [round(100.0 * min(float(part.max(initial=0.0)), 1.0)) for part in parts]
