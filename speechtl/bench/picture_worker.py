"""python -m speechtl.bench.picture_worker NAME.wake GRAPH PICTURE < NAMES

The shipped path from a picture to its answer in a fresh process: it says "ready" once it has answered to PICTURE, takes the names
of pictures, one a line, and prints what that cost as one line of JSON. Whatever is imported here is billed, so little is.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from speechtl.runtime.bundle.pictures import open_picture_bundle
from speechtl.runtime.engine.pictures import PictureEngine
from speechtl.runtime.pictures import read_pixels
from speechtl.runtime.process import report_cost


def main(arguments: list[str]) -> int:
    """Open the bundle, answer to all pictures, print what it cost."""
    path, graph, first = arguments
    bundle = open_picture_bundle(path)
    engine = PictureEngine(bundle, graph)
    settings = bundle.settings

    def answer(picture: Path) -> object:
        return engine.answers(engine.run(read_pixels(picture, settings)))

    answer(Path(first))
    report_cost(sys.stdin.buffer, lambda line: answer(Path(os.fsdecode(line.rstrip(b"\n")))))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
