"""What emulate.py runs on every machine that it compares: the scores of each graph, or marked steps whose instructions are counted.

python probe.py scores BUNDLE INPUT.npz OUT.npz      scores of the same log-mel frames, whatever the machine makes of audio
python probe.py steps BUNDLE INPUT.npz GRAPH ENGINE  BLOCKS blocks of 80 ms, with marks around features and around the graph
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress

import numpy as np

from speechtl.runtime.bundle.wake_word import open_bundle
from speechtl.runtime.engine.select import open_engine, pairs
from speechtl.runtime.features import front_end

MARK = 0x5EED  # see count_instructions.c
BLOCK_SAMPLES = 1280  # 80 ms
BLOCKS = 50
WARM_UP = 5  # blocks, after which every allocation and every choice of a kernel is made


def main(arguments: list[str]) -> None:
    """Do one of the two."""
    if arguments[0] == "scores":
        write_scores(*arguments[1:])
    else:
        run_steps(*arguments[1:])


def write_scores(path: str, given: str, out: str) -> None:
    """Write the scores `(steps, words)` of every graph with every runtime, named GRAPH|RUNTIME, and this machine's frames."""
    bundle = open_bundle(path)
    with np.load(given) as arrays:
        audio, frames = arrays["audio"], arrays["frames"]
    own = front_end(bundle.features).compute(audio)
    scores = {
        f"{graph.name}|{runtime.package}": open_engine(bundle, graph.name, runtime.package).run(frames) for graph, runtime in pairs(bundle)
    }
    np.savez(out, allow_pickle=False, frames=own, **scores)


def run_steps(path: str, given: str, graph: str, runtime: str) -> None:
    """Run blocks of 80 ms through features and graph, with a mark before, between and after."""
    bundle = open_bundle(path)
    with np.load(given) as arrays:
        audio = np.resize(arrays["audio"], (WARM_UP + BLOCKS) * BLOCK_SAMPLES)
    log_mel = front_end(bundle.features)
    engine = open_engine(bundle, graph, runtime)
    block = BLOCK_SAMPLES // bundle.features.hop // bundle.frames_per_step * bundle.frames_per_step
    log_mel.feed(audio[: WARM_UP * BLOCK_SAMPLES])
    mark()
    frames = [
        log_mel.feed(audio[start : start + BLOCK_SAMPLES])[:block] for start in range(WARM_UP * BLOCK_SAMPLES, len(audio), BLOCK_SAMPLES)
    ]
    mark()
    for part in frames[:WARM_UP]:
        engine.run(part)
    mark()
    for part in frames:
        engine.run(part)
    mark()


def mark() -> None:
    """Let the plugin write down its count: a system call that can only fail."""
    with suppress(OSError):
        os.getpriority(MARK, MARK)


if __name__ == "__main__":
    main(sys.argv[1:])
