"""Engines that hear the same streams in chunks of 80 ms, and what they heard, kept on disk.

A peer and a bundle run in a process of their own, as their users run them (`peers.py`); networks of this package run in this one.
Every engine gives one score for every chunk, the highest in it, known at its end.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from peers import PEERS, WORKER, installed

from speechtl.audio.evaluation.scoring import PlayedWord, ScoredStream, score_stream
from speechtl.audio.evaluation.streams import Passage
from speechtl.audio.network.model import WakeWordNetwork, scorer_of
from speechtl.audio.run import WEIGHTS, load_run
from speechtl.bench.process import WorkerError, run_worker
from speechtl.bench.worker import CHUNK_SAMPLES
from speechtl.errors import SpeechtlError
from speechtl.files import read_json, sha256_of, write_json, writing
from speechtl.runtime.bundle.wake_word import open_bundle
from speechtl.runtime.samples import SAMPLE_RATE, Doubles, Floats, Int16, Samples, to_int16

CHUNK_SECONDS = CHUNK_SAMPLES / SAMPLE_RATE
BLOCK = 250 * CHUNK_SAMPLES  # samples that a network hears at a time


class Heard(NamedTuple):
    """The scores of a stream, one a chunk, and the threshold that the engine comes with, if it does."""

    scores: Floats
    threshold: float | None = None


@dataclass(frozen=True)
class Engine:
    """An engine for one word: its name in tables, what identifies its scores, and what hears a stream."""

    name: str
    key: str
    hear: Callable[[Int16], Heard]


def peer(kind: str, word: str) -> Engine:
    """A peer with its own model of a word, installed first where it is missing; raises `SpeechtlError` if that cannot be."""
    about = PEERS[kind]
    contender = installed(kind, replace(about, word=word))
    if contender.reason is not None:
        raise SpeechtlError(f"{contender.name}: {contender.reason}")
    python, worker, *rest = contender.command
    return Engine(f"{about.package} {about.version}", f"{about.requirement}-{word}", _process((python, worker, "--scores", *rest)))


def shipped(path: Path, word: str) -> Engine:
    """A word of a bundle, in the graph that a device prefers."""
    fingerprint = open_bundle(path).fingerprint
    command = (sys.executable, str(WORKER), "--scores", "scorer", str(path), word)
    return Engine(f"speechtl, {path.name}", f"{path.stem}-{word}-{fingerprint[:12]}", _process(command))


def trained(folder: Path) -> Engine:
    """The network of a run."""
    network = load_run(folder).network
    return in_process(f"{network.head.kind} head on {network.encoder.info.name}", network, sha256_of(folder / WEIGHTS))


def in_process(name: str, network: WakeWordNetwork, digest: str) -> Engine:
    """A network that hears in this process."""
    scorer = scorer_of(network)

    def hear(samples: Int16) -> Heard:
        scorer.reset(scorer.lead(CHUNK_SECONDS))
        scores = np.concatenate([scorer.feed(samples[first : first + BLOCK]) for first in range(0, len(samples), BLOCK)])
        return Heard(scores.reshape(len(samples) // CHUNK_SAMPLES, -1).max(axis=1))

    return Engine(name, f"{name.replace(' ', '-')}-{digest[:12]}", hear)


def _process(command: Sequence[str]) -> Callable[[Int16], Heard]:
    def hear(samples: Int16) -> Heard:
        _, answer = run_worker(command, samples.tobytes())
        return Heard(np.array(answer["scores"], np.float32), answer["threshold"])

    return hear


class Tape:
    """Takes the place of a scorer where only the stream is wanted."""

    words = 1
    step_seconds = CHUNK_SECONDS

    def __init__(self) -> None:
        self.parts: list[Int16] = []

    def reset(self) -> None:
        """Begin a new stream."""
        self.parts.clear()

    def feed(self, samples: Samples) -> Floats:
        """Keep samples; there are no scores."""
        self.parts.append(to_int16(samples))
        return np.zeros((0, 1), np.float32)

    def time(self, step: int) -> float:
        """The end of a chunk."""
        return (step + 1) * CHUNK_SECONDS


@dataclass(frozen=True)
class Piece:
    """A stream that all engines hear, and the folder in which their scores of it are kept."""

    folder: Path
    passages: Callable[[], Iterable[Passage]]

    def hear(self, engines: Iterable[Engine]) -> list[tuple[Engine, str]]:
        """Let those engines hear it that have not; those that could not, with the reason."""
        missing = [engine for engine in engines if not self._scores(engine).exists()]
        samples = self._laid_out() if missing else np.zeros(0, np.int16)
        failed = []
        for engine in missing:
            try:
                scores, threshold = engine.hear(samples)
            except WorkerError as error:
                failed.append((engine, str(error)))
                continue
            with writing(self._scores(engine)) as beside, beside.open("wb") as file:
                np.savez(file, scores=scores, threshold=math.nan if threshold is None else threshold)
        return failed

    def _laid_out(self) -> Int16:
        """The samples in whole chunks; what is where in them is written to the folder."""
        tape = Tape()
        stream = score_stream(tape, self.passages())
        words = [asdict(word) for word in stream.words]
        write_json(self._layout, {"seconds": stream.seconds, "words": words, "passages": list(stream.passages)})
        samples = np.concatenate(tape.parts)
        return samples[: len(samples) // CHUNK_SAMPLES * CHUNK_SAMPLES]

    def heard(self, engine: Engine) -> tuple[ScoredStream, float | None]:
        """What an engine heard, and its own threshold."""
        layout = read_json(self._layout)
        with np.load(self._scores(engine)) as kept:
            scores, threshold = kept["scores"], float(kept["threshold"])
        words = [PlayedWord(**word) for word in layout["words"]]
        passages = [(start, path, origin) for start, path, origin in layout["passages"]]
        stream = ScoredStream(scores, _ends(len(scores)), CHUNK_SECONDS, layout["seconds"], words, passages)
        return stream, None if math.isnan(threshold) else threshold

    @property
    def _layout(self) -> Path:
        return self.folder / "stream.json"

    def _scores(self, engine: Engine) -> Path:
        return self.folder / f"{engine.key}.npz"


def joined(streams: Sequence[ScoredStream]) -> ScoredStream:
    """Streams without the word, one after the other."""
    whole = ScoredStream(np.concatenate([one.scores for one in streams]), np.zeros(0), CHUNK_SECONDS, 0.0, passages=(passages := []))
    start = 0.0
    for one in streams:
        passages += [(start + at, path, start + origin) for at, path, origin in one.passages]
        whole.seconds += one.seconds
        start += len(one.scores) * CHUNK_SECONDS
    whole.times = _ends(len(whole.scores))
    return whole


def _ends(chunks: int) -> Doubles:
    """The times at which chunks end."""
    return np.arange(1.0, chunks + 1.0) * CHUNK_SECONDS
