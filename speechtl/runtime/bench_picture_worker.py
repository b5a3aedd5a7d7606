"""python -m speechtl.runtime.bench_picture_worker NAME.wake GRAPH PICTURE < NAMES

The shipped path from a picture to its answer in a fresh process: it says "ready" once it has answered to PICTURE, takes the names
of pictures, one a line, and prints what that cost as one line of JSON. Whatever is imported here is billed, so little is.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from speechtl.runtime.picture_bundle import PictureEngine, open_picture_bundle
from speechtl.runtime.pictures import read_pixels
from speechtl.runtime.process import cpu_seconds, peak_bytes


def main(arguments: list[str]) -> int:
    """Open the bundle, answer to all pictures, print what it cost."""
    path, graph, first = arguments
    bundle = open_picture_bundle(path)
    engine = PictureEngine(bundle, graph)
    settings = bundle.settings
    engine.answers(engine.run(read_pixels(Path(first), settings)))
    start_cpu = cpu_seconds()
    print("ready", flush=True)
    pieces = 0
    for line in sys.stdin.buffer:
        engine.answers(engine.run(read_pixels(Path(os.fsdecode(line.rstrip(b"\n"))), settings)))
        pieces += 1
    cost = {"pieces": pieces, "start_cpu_seconds": start_cpu, "cpu_seconds": cpu_seconds(), "peak_bytes": peak_bytes()}

    import json

    print(json.dumps(cost))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
