"""The latency harness: what a bundle costs on this machine, stage by stage, and how long after a word its event comes.

Every machine hears the same audio, made by seed, in chunks of 80 ms as fast as it takes them. Stages are timed within the shipped path,
behind a microphone of 48 kHz; processor time, memory and start are those of a fresh process that is handed 16 kHz.
"""

from __future__ import annotations

import hashlib
import statistics
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from speechtl.errors import SpeechtlError
from speechtl.runtime import bench_audio as audio
from speechtl.runtime.bench_process import ProcessCost, run_worker
from speechtl.runtime.bundle import Bundle, open_bundle
from speechtl.runtime.detector import Detector, Event, Scorer
from speechtl.runtime.engine import Engine, open_engine
from speechtl.runtime.machine import read_condition, read_machine, versions
from speechtl.runtime.samples import SAMPLE_RATE
from speechtl.runtime.stopwatch import STAGES, TimedStream
from speechtl.runtime.verify import TOLERANCE

KIND = "speechtl bench"
SCHEMA = 1
REPETITIONS = 5
GRACE = 1.5  # seconds behind a word in which an event is its detection
PERCENTILES = {"p50": 50, "p95": 95, "p99": 99}
MILLISECOND = 1e6  # nanoseconds
WORKER = "speechtl.runtime.bench_worker"

Progress = Callable[[int, int], None]
Json = dict[str, Any]


def bench(
    path: Path,
    *,
    graph: str | None = None,
    engine: str | None = None,
    repetitions: int = REPETITIONS,
    words: Sequence[audio.Spoken] | None = None,
    words_from: str = "the golden audio",
    python: Sequence[str] = (sys.executable,),
    progress: Progress = lambda _done, _total: None,
) -> Json:
    """Measure a bundle here and return the report as JSON stores it.

    `graph` and `engine` choose as `Detector.open` does. `words` are recordings of the word to measure the detection delay with, in place of
    those of the bundle's golden audio; `words_from` says where they come from. `python` is the command that starts a fresh Python.
    Raises `BundleError` for what cannot be opened, and `WorkerError` where no fresh process can be measured.
    """
    if repetitions < 1:
        raise SpeechtlError(f"There must be at least 1 repetition; got {repetitions}.")
    bundle = open_bundle(path)
    running = open_engine(bundle, graph, engine)
    heard = audio.schedule(bundle.golden())
    machine, before = read_machine(), read_condition()
    total = 2 * repetitions + 1
    command = [*python, "-m", WORKER, str(path), running.graph, running.runtime]
    costs = _process_costs(command, heard, repetitions, lambda done: progress(done, total))
    scorer = Scorer(bundle.features, bundle.frames_per_step, running, len(bundle.words))
    stream = TimedStream(Detector(scorer, bundle.words), audio.MICROPHONE_RATE)
    recorded = audio.to_microphone(heard)
    passes = []
    for number in range(repetitions):
        passes.append(_pass(stream, recorded))
        progress(repetitions + number + 1, total)
    delay = _delay(stream, bundle, words, words_from)
    progress(total, total)
    return {
        "kind": KIND,
        "schema": SCHEMA,
        "made": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "bundle": _about(bundle, path, running),
        "machine": machine.to_json(),
        "condition": {"before": before.to_json(), "after": read_condition().to_json()},
        "versions": versions(),
        "audio": {
            "seed": audio.SEED,
            "seconds": len(heard) / SAMPLE_RATE,
            "chunk_seconds": audio.CHUNK_SECONDS,
            "microphone_rate": audio.MICROPHONE_RATE,
            "sha256": hashlib.sha256(heard.astype("<i2").tobytes()).hexdigest(),
        },
        "repetitions": repetitions,
        "process": _process(costs),
        **_stages([times for times, _ in passes]),
        "delay": delay,
        "scores": _scores([scores for _, scores in passes]),
    }


def percentiles(values: npt.ArrayLike) -> dict[str, float | None]:
    """Return p50, p95, p99 and max of milliseconds; None of each where there is no value."""
    array = np.asarray(values, np.float64)
    if len(array) == 0:
        return {**dict.fromkeys(PERCENTILES), "max": None}
    found = {name: float(np.percentile(array, rank)) for name, rank in PERCENTILES.items()}
    return {name: round(value, 5) for name, value in {**found, "max": float(array.max())}.items()}


def _about(bundle: Bundle, path: Path, engine: Engine) -> Json:
    graph = bundle.graphs[engine.graph]
    return {
        "name": bundle.name,
        "file": path.name,
        "bytes": path.stat().st_size,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "encoder": bundle.about.get("encoder", {}).get("name"),
        "graph": graph.name,
        "engine": engine.runtime,
        "precision": graph.precision,
        "tolerance": TOLERANCE if graph.tolerance is None else graph.tolerance,
        "words": [word.name for word in bundle.words],
        "step_seconds": bundle.frames_per_step * bundle.features.hop / bundle.features.sample_rate,
    }


def _process_costs(command: Sequence[str], heard: audio.Int16, repetitions: int, progress: Callable[[int], None]) -> list[ProcessCost]:
    run_worker(command, heard[:SAMPLE_RATE])  # byte code is compiled and files are read into memory
    costs = []
    for number in range(repetitions):
        costs.append(run_worker(command, heard)[0])
        progress(number + 1)
    return costs


def _process(costs: Sequence[ProcessCost]) -> Json:
    each = [cost.to_json() for cost in costs]
    medians = {name: round(statistics.median(cost[name] for cost in each), 4) for name in each[0]}
    return {**medians, "each": [{name: round(value, 4) for name, value in cost.items()} for cost in each]}


def _pass(stream: TimedStream, recorded: audio.Int16) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    stream.reset()
    for chunk in audio.chunks(recorded, stream.rate):
        stream.feed(chunk)
    return stream.times, stream.scores


def _stages(passes: Sequence[npt.NDArray[np.int64]]) -> Json:
    """Return the times of every stage and of whole chunks, over all passes."""
    times = np.concatenate(passes) / MILLISECOND
    seconds = len(times) * audio.CHUNK_SECONDS
    whole = times.sum(axis=1)
    deadline = audio.CHUNK_SECONDS * 1000.0

    def described(values: npt.NDArray[np.float64]) -> Json:
        return {"wall_ms": percentiles(values[:, 0]), "cpu_ms_per_second": round(float(values[:, 1].sum()) / seconds, 5)}

    return {
        "stages": {name: described(times[:, index]) for index, name in enumerate(STAGES)},
        "chunk": described(whole),
        "real_time_factor": round(float(whole[:, 0].sum()) / 1000.0 / seconds, 6),
        "deadlines": {"chunks": len(whole), "deadline_ms": deadline, "missed": int((whole[:, 0] > deadline).sum())},
    }


def _scores(passes: Sequence[npt.NDArray[np.float32]]) -> Json:
    first = passes[0]
    return {
        "sha256": hashlib.sha256(first.astype("<f4").tobytes()).hexdigest(),
        "repeatable": all(np.array_equal(first, other) for other in passes),
        "values": [[round(float(score), 8) for score in step] for step in first],
    }


def _delay(stream: TimedStream, bundle: Bundle, words: Sequence[audio.Spoken] | None, words_from: str) -> Json:
    """Return milliseconds from a word's end in the audio to the event's arrival behind microphone, chunk and computation."""
    phases = audio.PHASES if words is None else 1
    spoken = audio.golden_words(bundle) if words is None else words
    behind = max(audio.BEHIND_SECONDS, *(word.trigger.refractory + 1.0 for word in bundle.words))
    arrivals, decisions = _arrivals(stream, audio.passages(spoken, phases, behind))
    reason = None
    if not spoken:
        reason = f"no word is spoken in {words_from}; give recordings of it with --positives"
    elif not arrivals:
        reason = f"none of the {len(spoken) * phases} words in {words_from} is detected; give recordings of people with --positives"
    return {
        "from": words_from,
        "words": len(spoken) * phases,
        "detected": len(arrivals),
        "ms": percentiles(arrivals),
        "decision_ms": percentiles(decisions),
        "reason": reason,
    }


def _arrivals(stream: TimedStream, passages: Iterable[audio.Passage]) -> tuple[list[float], list[float]]:
    """Return for each detected word how much later its event arrives, and how much later it could be decided at the earliest."""
    stream.reset()
    arrivals, decisions = [], []
    at = 0
    for passage in passages:
        begin = at * audio.CHUNK_SECONDS
        found: tuple[float, Event] | None = None
        for chunk in audio.chunks(passage.samples, stream.rate):
            events = stream.feed(chunk)
            at += 1
            arrival = at * audio.CHUNK_SECONDS - begin + stream.chunk_seconds
            if found is None and events and passage.start <= arrival <= passage.end + GRACE:
                found = arrival, events[0]
        if found is not None:
            arrivals.append((found[0] - passage.end) * 1000.0)
            decisions.append((found[1].time - begin - passage.end) * 1000.0)
    return arrivals, decisions
