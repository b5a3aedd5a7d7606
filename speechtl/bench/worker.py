"""python -m speechtl.bench.worker NAME.wake [GRAPH [ENGINE]] < SAMPLES

The shipped detector in a fresh process: it says "ready" once it could have detected something, takes int16 samples at 16 kHz
in chunks of 80 ms, and prints what that cost as one line of JSON. Whatever is imported here is billed, so little is.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np

from speechtl.runtime.detector import Detector
from speechtl.runtime.process import report_cost

CHUNK_SAMPLES = 1280  # 80 ms


def main(arguments: list[str]) -> int:
    """Open the bundle, hear standard input, print what it cost."""
    bundle, graph, engine = [*arguments, None, None][:3]
    assert bundle is not None
    detector = Detector.open(bundle, graph=graph, engine=engine)
    detector.feed(np.zeros(detector.scorer.features.samples(detector.scorer.frames_per_step), np.int16))  # a whole step
    detector.reset()
    report_cost(_chunks(), lambda chunk: detector.feed(np.frombuffer(chunk, "<i2")))
    return 0


def _chunks() -> Iterator[bytes]:
    while len(chunk := sys.stdin.buffer.read(2 * CHUNK_SAMPLES)) == 2 * CHUNK_SAMPLES:
        yield chunk


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
