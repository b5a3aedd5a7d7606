"""python training/studies/added_words.py one.wake two.wake [three.wake ...] [--graph model.int8.tflite] [--json]

What do further words on one encoder cost? Measures CPU time of the whole detection (features, network, trigger) on one thread for
bundles that differ only in their words. The bundles take turns in random order, 20 s of audio in chunks of 80 ms each, so that
other load on the machine affects all of them.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from speechtl.bench.worker import CHUNK_SAMPLES
from speechtl.errors import reported
from speechtl.runtime.bundle.wake_word import open_bundle
from speechtl.runtime.detector import Detector, Scorer
from speechtl.runtime.engine.select import open_engine
from speechtl.runtime.samples import SAMPLE_RATE
from speechtl.text import counted, echo, echo_json

ROUNDS, SECONDS = 60, 20


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", type=Path, nargs="+", help="bundles; the others are compared with the first")
    parser.add_argument("--graph", help="graph of each bundle; default: the one that a device prefers")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    options = parser.parse_args(argv)
    rows = measure(options.bundles, options.graph, ROUNDS)
    if options.json:
        echo_json(rows, indent=2)
        return
    for row in rows:
        cost = f"{row['cpu_ms_per_second']:.3f} ms CPU per second of audio, x {row['ratio']:.3f}"
        echo(f"{row['bundle']}: {counted(row['words'], 'word')} in {row['graph']}, {cost}")


def measure(paths: Sequence[Path], graph: str | None, rounds: int) -> list[dict[str, Any]]:
    """Medians for each bundle: CPU milliseconds per second of audio, and the ratio to the first bundle in the same round."""
    bundles = [open_bundle(path) for path in paths]
    engines = [open_engine(bundle, graph) for bundle in bundles]
    detectors = [Detector(Scorer.on(engine, bundle), bundle.words) for engine, bundle in zip(engines, bundles, strict=True)]
    sound = np.random.default_rng(0).normal(0.0, 0.05, SECONDS * SAMPLE_RATE).astype(np.float32)
    times = np.zeros((rounds, len(detectors)))
    for number in range(rounds):
        for index in np.random.default_rng(number).permutation(len(detectors)):
            begin = time.process_time()
            for start in range(0, len(sound), CHUNK_SAMPLES):
                detectors[index].feed(sound[start : start + CHUNK_SAMPLES])
            times[number, index] = (time.process_time() - begin) / SECONDS * 1000.0
    return [
        {
            "bundle": str(path),
            "words": detector.scorer.words,
            "graph": engine.graph,
            "cpu_ms_per_second": round(statistics.median(spent), 4),
            "ratio": round(statistics.median(spent / times[:, 0]), 4),
        }
        for path, engine, detector, spent in zip(paths, engines, detectors, times.T, strict=True)
    ]


if __name__ == "__main__":
    sys.exit(reported(main))
