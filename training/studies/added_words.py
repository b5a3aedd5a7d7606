"""python training/studies/added_words.py one.wake two.wake [three.wake ...] [--graph model.int8.tflite] [--json]

What further words on one encoder cost: processor time of whole detection (features, network, trigger) on one thread, of bundles that
differ in their words alone. They take turns, 20 s in chunks of 80 ms each, in an order that changes, so that a busy moment of the
machine meets all of them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from speechtl.errors import SpeechtlError
from speechtl.progress import say
from speechtl.runtime.bundle.wake_word import open_bundle
from speechtl.runtime.detector import Detector, Scorer
from speechtl.runtime.engine.select import open_engine
from speechtl.runtime.samples import SAMPLE_RATE

ROUNDS, SECONDS, CHUNK = 60, 20, 1280


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", type=Path, nargs="+", help="bundles; the first is what the others are compared with")
    parser.add_argument("--graph", help="which graph of each; by default the one that a device would take")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    options = parser.parse_args(argv)
    try:
        rows = measure(options.bundles, options.graph)
    except SpeechtlError as error:
        say(f"added_words: {error}")
        return error.exit_code
    if options.json:
        print(json.dumps(rows, indent=2))
        return 0
    for row in rows:
        words = f"{row['words']} word{'s' if row['words'] > 1 else ''}"
        print(f"{row['bundle']}: {words} in {row['graph']}, {row['cpu_ms_per_second']:.3f} ms of CPU a second, x {row['ratio']:.3f}")
    return 0


def measure(paths: Sequence[Path], graph: str | None = None, rounds: int = ROUNDS) -> list[dict[str, Any]]:
    """Return medians for each bundle: milliseconds of the processor a second of audio, and the ratio to the first in the same round."""
    bundles = [open_bundle(path) for path in paths]
    engines = [open_engine(bundle, graph) for bundle in bundles]
    detectors = [Detector(Scorer.on(engine, bundle), bundle.words) for engine, bundle in zip(engines, bundles, strict=True)]
    sound = np.random.default_rng(0).normal(0.0, 0.05, SECONDS * SAMPLE_RATE).astype(np.float32)
    times = np.zeros((rounds, len(detectors)))
    for number in range(rounds):
        for index in np.random.default_rng(number).permutation(len(detectors)):
            begin = time.process_time()
            for start in range(0, len(sound), CHUNK):
                detectors[index].feed(sound[start : start + CHUNK])
            times[number, index] = (time.process_time() - begin) / SECONDS * 1000.0
    return [
        {
            "bundle": str(path),
            "words": detector.scorer.words,
            "graph": engine.graph,
            "cpu_ms_per_second": round(statistics.median(spent), 4),
            "ratio": round(statistics.median(spent / times[:, 0]), 4),
        }
        for path, detector, engine, spent in zip(paths, detectors, engines, times.T, strict=True)
    ]


if __name__ == "__main__":
    sys.exit(main())
