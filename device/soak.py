"""python device/soak.py NAME.wake [--hours 24] [--json]

Feed the shipped detector hours of audio, in chunks of 80 ms as fast as it takes them, and check that it stays stable: memory, open
files and threads do not grow, every chunk is processed in real time, and every pass over the audio gives the events of the second (the
first begins in silence), at the same times and with the same scores. The audio is that of speechtl bench, resampled from 48 kHz.

Memory is read once a pass; the median of the last quarter of the passes is compared with that of the second, because everything that is
allocated once is allocated in the first. Exit code 0 where it is stable, 1 where not, 2 for bad input.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from speechtl.bench import stimulus as audio
from speechtl.bench.stopwatch import Resampler
from speechtl.bench.worker import CHUNK_SAMPLES
from speechtl.errors import CheckFailedError, reported
from speechtl.progress import progress
from speechtl.runtime.bundle.wake_word import open_bundle
from speechtl.runtime.detector import Detector, Event, Scorer
from speechtl.runtime.engine.select import open_engine
from speechtl.runtime.process import cpu_seconds, open_files, resident_bytes, threads
from speechtl.runtime.samples import SAMPLE_RATE, Int16, from_int16
from speechtl.runtime.sound.files import resampler
from speechtl.text import counted

FEWEST_PASSES = 4
GROWTH_MB = 0.5  # of 2**20 bytes: growth of an allocator that is not a leak
SAME_SCORE = 1e-4  # allowed difference of a float graph's score: a resampler rounds differently elsewhere in its buffer
SAME_TIME = 1e-6  # seconds

PassEvents = list[tuple[float, float]]  # events of a pass: time from its beginning, score


@dataclass
class Soak:
    """Readings of a soak test, and the problems in them."""

    hours: float = 0.0
    passes: int = 0
    chunks: int = 0
    events: int = 0
    longest_ms: float = 0.0
    longest_cpu_ms: float = 0.0
    missed: int = 0
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    resident_mb: list[float] = field(default_factory=list)
    files: list[int] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)
    different_passes: list[int] = field(default_factory=list)

    @property
    def growth_mb(self) -> float:
        """Growth of the median memory from the second quarter to the last."""
        quarter = len(self.resident_mb) // 4
        return statistics.median(self.resident_mb[-quarter:]) - statistics.median(self.resident_mb[quarter : 2 * quarter])

    @property
    def problems(self) -> list[str]:
        """A sentence for each problem."""
        found = []
        if self.growth_mb > GROWTH_MB:
            found.append(f"Memory grew by {self.growth_mb:.2f} MB, where {GROWTH_MB} MB are allowed.")
        for name, counts in (("open files", self.files), ("threads", self.threads)):
            if counts[-1] > counts[0]:
                found.append(f"There were {counts[0]} {name} in the beginning and {counts[-1]} at the end.")
        if self.missed:
            found.append(
                f"{self.missed} chunks took longer than the 80 ms they last; the longest {self.longest_ms:.1f} ms, "
                f"where none needed more than {self.longest_cpu_ms:.1f} ms of the processor."
            )
        if self.different_passes:
            first = self.different_passes[0]
            found.append(f"{len(self.different_passes)} passes gave other events than the second, the first of them pass {first + 1}.")
        return found

    def to_json(self) -> dict[str, Any]:
        """All readings, as JSON stores them."""
        return {"schema": 1, **asdict(self), "growth_mb": self.growth_mb, "problems": self.problems, "ok": not self.problems}


def main(argv: Sequence[str] | None = None) -> int:
    """Soak and print what was seen; return the exit code."""
    options = parse(argv)
    return reported(lambda: run(options))


def run(options: argparse.Namespace) -> None:
    """Soak and print what was seen."""
    bundle = open_bundle(options.bundle)
    engine = open_engine(bundle, options.graph, options.engine)
    graph = bundle.graphs[engine.graph]
    detector = Detector(Scorer.on(engine, bundle), bundle.words)
    tolerance = SAME_SCORE if graph.precision == "fp32" else graph.tolerance or SAME_SCORE  # int8 may round to the next step
    seen = soak(detector, audio.schedule(bundle.golden()), options.hours, tolerance)
    if options.json:
        print(json.dumps(seen.to_json(), indent=2))
    else:
        print_seen(seen)
    if seen.problems:
        raise CheckFailedError(f"{options.bundle} did not pass: {counted(len(seen.problems), 'problem')}.")


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, metavar="NAME.wake", help="the bundle to feed")
    parser.add_argument("--hours", type=_positive, default=24.0, help="hours of audio (24)")
    parser.add_argument("--graph", help="graph of the bundle to run (the one that the runtime prefers)")
    parser.add_argument("--engine", help="runtime: onnxruntime, ai-edge-litert or tflite-runtime")
    parser.add_argument("--json", action="store_true", help="print one JSON document with every reading")
    return parser.parse_args(argv)


def soak(detector: Detector, heard: Int16, hours: float, tolerance: float = SAME_SCORE) -> Soak:
    """Feed the audio (16 kHz) to a detector as a microphone of 48 kHz would, for this number of hours of sound."""
    step = detector.scorer.frames_per_step * detector.scorer.features.hop
    heard = np.pad(heard, (0, -len(heard) % math.lcm(CHUNK_SAMPLES, step)))  # so that all passes have the same chunks
    recorded, convert = audio.to_microphone(heard), resampler(audio.MICROPHONE_RATE, highest=detector.scorer.features.highest)
    assert convert is not None
    seen = Soak(passes=max(round(hours * 3600.0 * SAMPLE_RATE / len(heard)), FEWEST_PASSES))
    seen.hours = seen.passes * len(heard) / SAMPLE_RATE / 3600.0
    begun, cpu = time.perf_counter(), cpu_seconds()
    heard_events: dict[int, PassEvents] = defaultdict(list)
    second: PassEvents = []
    detector.reset()
    with progress("passes over the audio") as advance:
        for number in range(seen.passes):
            for event in play(detector, convert, recorded, seen):
                pass_of, within = divmod(event.time, len(heard) / SAMPLE_RATE)
                heard_events[int(pass_of)].append((within, event.score))
            whole = heard_events.pop(number - 1, [])  # the end of this pass is still in the resampler
            second = whole if number == 2 else second
            if number > 2 and not same(whole, second, tolerance):
                seen.different_passes.append(number - 1)
            seen.resident_mb.append(round(resident_bytes() / 2**20, 3))
            seen.files.append(open_files())
            seen.threads.append(threads())
            advance(number + 1, seen.passes)
    seen.cpu_seconds, seen.wall_seconds = cpu_seconds() - cpu, time.perf_counter() - begun
    return seen


def play(detector: Detector, convert: Resampler, recorded: Int16, seen: Soak) -> list[Event]:
    """Feed the audio once, record the readings, and return the events."""
    found = []
    for chunk in audio.chunks(recorded, audio.MICROPHONE_RATE):
        before, cpu = time.perf_counter(), cpu_seconds()
        events = detector.feed(convert.resample_chunk(from_int16(chunk)))
        took = (time.perf_counter() - before) * 1000.0
        seen.longest_cpu_ms = max(seen.longest_cpu_ms, (cpu_seconds() - cpu) * 1000.0)
        seen.chunks += 1
        seen.longest_ms = max(seen.longest_ms, took)
        seen.missed += took > audio.CHUNK_SECONDS * 1000.0
        found += events
    seen.events += len(found)
    return found


def same(one: PassEvents, other: PassEvents, tolerance: float = SAME_SCORE) -> bool:
    """True for two passes with the same events."""
    return len(one) == len(other) and all(
        abs(a - b) <= SAME_TIME and abs(score - other_score) <= tolerance for (a, score), (b, other_score) in zip(one, other, strict=True)
    )


def print_seen(seen: Soak) -> None:
    """Print a summary."""
    each = seen.cpu_seconds / (seen.hours * 3600.0) * 1000.0
    first, last = seen.resident_mb[0], seen.resident_mb[-1]
    print(f"{seen.hours:.2f} h of audio in {seen.passes} passes, {seen.events} events.")
    print(f"It took {seen.wall_seconds:.0f} s, and {each:.2f} ms CPU per second of audio.")
    print(f"Memory: {first:.1f} MB after the first pass, {last:.1f} MB at the end; {seen.growth_mb:+.2f} MB since the second quarter.")
    print(f"Longest chunk {seen.longest_ms:.1f} ms, {seen.longest_cpu_ms:.1f} ms of the processor.")
    print(f"{seen.missed} of {seen.chunks} chunks took longer than 80 ms.")
    print(f"Open files {seen.files[0]} and {seen.files[-1]}, threads {seen.threads[0]} and {seen.threads[-1]}.")
    for problem in seen.problems:
        print(problem)


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"must be above 0; got {text}")
    return value


if __name__ == "__main__":
    sys.exit(main())
