"""Cost of wake-word detection, stage by stage, and the delay from the end of a word to its event.

Stages are timed in the shipped code, with input from a microphone of 48 kHz; CPU time, memory and start-up are measured in a new process
with input of 16 kHz.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from speechtl.bench import stimulus as audio
from speechtl.bench.measures import MILLISECOND, describe_bundle, percentiles, score_summary, time_summary
from speechtl.bench.process import repeat, repeat_worker
from speechtl.bench.stopwatch import STAGES, TimedStream
from speechtl.files import sha256_of
from speechtl.progress import Advance
from speechtl.runtime.bundle.wake_word import Bundle
from speechtl.runtime.detector import Detector, Event, Scorer
from speechtl.runtime.engine.select import Engine, open_engine
from speechtl.runtime.parity import TOLERANCE
from speechtl.runtime.samples import SAMPLE_RATE, Floats, Int16, Json
from speechtl.runtime.trigger import GRACE

WORKER = "speechtl.bench.worker"


def measure(
    bundle: Bundle,
    graph: str | None,
    engine: str | None,
    repetitions: int,
    python: Sequence[str],
    progress: Advance,
    words: Sequence[audio.Spoken] | None,
    words_from: str,
) -> Json:
    """The part of a report on a bundle of wake words; arguments as in `bench`."""
    running = open_engine(bundle, graph, engine)
    heard = audio.schedule(bundle.golden())
    total = 2 * repetitions + 1
    command = [*python, "-m", WORKER, str(bundle.path), running.graph, running.runtime]
    process = repeat_worker(
        command, heard.tobytes(), heard[:SAMPLE_RATE].tobytes(), audio.SECOND, repetitions, lambda done: progress(done, total)
    )
    stream = TimedStream(Detector(Scorer.on(running, bundle), bundle.words), audio.MICROPHONE_RATE, audio.CHUNK_SECONDS)
    recorded = audio.to_microphone(heard)
    passes = repeat(lambda: _pass(stream, recorded), repetitions, lambda done: progress(repetitions + done, total))
    delay = _delay(stream, bundle, words, words_from)
    progress(total, total)
    return {
        "bundle": _about(bundle, running),
        "audio": {
            "seed": audio.SEED,
            "seconds": len(heard) / SAMPLE_RATE,
            "chunk_seconds": audio.CHUNK_SECONDS,
            "microphone_rate": audio.MICROPHONE_RATE,
            "sha256": sha256_of(heard.astype("<i2").tobytes()),
        },
        "process": process,
        **_stages([times for times, _ in passes]),
        "delay": delay,
        "scores": score_summary([given for _, given in passes]),
    }


def _about(bundle: Bundle, engine: Engine) -> Json:
    graph = bundle.graphs[engine.graph]
    return {
        **describe_bundle(bundle.path, bundle.about, engine.graph, engine.runtime),
        "precision": graph.precision,
        "tolerance": TOLERANCE if graph.tolerance is None else graph.tolerance,
        "words": [word.name for word in bundle.words],
        "step_seconds": bundle.frames_per_step * bundle.features.hop / bundle.features.sample_rate,
    }


def _pass(stream: TimedStream, recorded: Int16) -> tuple[npt.NDArray[np.int64], Floats]:
    stream.reset()
    for chunk in audio.chunks(recorded, stream.rate):
        stream.feed(chunk)
    return stream.times, stream.scores


def _stages(passes: Sequence[npt.NDArray[np.int64]]) -> Json:
    """Times of every stage and of whole chunks, over all passes."""
    times = np.concatenate(passes)
    seconds = len(times) * audio.CHUNK_SECONDS
    whole = times.sum(axis=1)
    deadline = audio.CHUNK_SECONDS * 1000.0
    return {
        "stages": {name: time_summary(times[:, index], audio.SECOND.name, seconds) for index, name in enumerate(STAGES)},
        "chunk": time_summary(whole, audio.SECOND.name, seconds),
        "real_time_factor": round(float(whole[:, 0].sum()) / 1e9 / seconds, 6),
        "deadlines": {"chunks": len(whole), "deadline_ms": deadline, "missed": int((whole[:, 0] / MILLISECOND > deadline).sum())},
    }


def _delay(stream: TimedStream, bundle: Bundle, words: Sequence[audio.Spoken] | None, words_from: str) -> Json:
    """Milliseconds from the end of a word to its event, including microphone, chunk and computation."""
    phases = audio.PHASES if words is None else 1
    spoken = audio.golden_words(bundle) if words is None else words
    after = max(audio.AFTER_SECONDS, *(word.trigger.refractory + 1.0 for word in bundle.words))
    arrivals, decisions = _arrivals(stream, audio.passages(spoken, phases, after))
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


def _arrivals(stream: TimedStream, passages: Iterable[audio.PlayedWord]) -> tuple[list[float], list[float]]:
    """For each detected word the delay of its event, and the earliest delay at which it could be decided."""
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
