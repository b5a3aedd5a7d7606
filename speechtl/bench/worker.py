"""python -m speechtl.bench.worker NAME.wake [GRAPH [ENGINE]] < SAMPLES
python -m speechtl.bench.worker --pictures NAME.wake GRAPH PICTURE < NAMES

The shipped detector, or the shipped path from a picture to its answer, in a new process. It prints "ready" once it could have
answered, then takes int16 samples at 16 kHz in chunks of 80 ms, or names of pictures, one a line, and prints what that cost as one
line of JSON. Everything imported here counts towards the cost, so imports are few and inside the functions that need them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np

from speechtl.runtime.detector import Detector
from speechtl.runtime.process import report_cost

CHUNK_SAMPLES = 1280  # 80 ms


def main(arguments: list[str]) -> int:
    """Open the bundle, answer to standard input, print what it cost."""
    if arguments[0] == "--pictures":
        answer_pictures(*arguments[1:])
    else:
        detect(*arguments)
    return 0


def detect(bundle: str, graph: str | None = None, engine: str | None = None) -> None:
    """Feed chunks of samples to the detector."""

    detector = Detector.open(bundle, graph=graph, engine=engine)
    detector.feed(np.zeros(detector.scorer.features.samples(detector.scorer.frames_per_step), np.int16))  # a whole step
    detector.reset()
    report_cost(_chunks(), lambda chunk: detector.feed(np.frombuffer(chunk, "<i2")))


def answer_pictures(path: str, graph: str, first: str) -> None:
    """Answer to pictures; the first one before the process is ready."""
    import os
    from pathlib import Path

    from speechtl.runtime.bundle.pictures import open_picture_bundle
    from speechtl.runtime.engine.pictures import PictureEngine
    from speechtl.runtime.pictures import read_pixels

    bundle = open_picture_bundle(path)
    engine = PictureEngine(bundle, graph)

    def answer(picture: Path) -> object:
        return engine.answers(engine.run(read_pixels(picture, bundle.settings)))

    answer(Path(first))
    report_cost(sys.stdin.buffer, lambda line: answer(Path(os.fsdecode(line.rstrip(b"\n")))))


def _chunks() -> Iterator[bytes]:
    while len(chunk := sys.stdin.buffer.read(2 * CHUNK_SAMPLES)) == 2 * CHUNK_SAMPLES:
        yield chunk


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
