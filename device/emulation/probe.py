"""python device/emulation/probe.py scores NAME.wake INPUT.npz OUT.npz
python device/emulation/probe.py steps NAME.wake INPUT.npz GRAPH ENGINE

The part of emulate.py that runs on every machine: the scores of each graph for the same log-mel frames, or blocks of 80 ms with marks
around the features and around the graph, between which instructions are counted.
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
WARM_UP = 5  # blocks, after which all memory is allocated and all kernels are chosen


def main(arguments: list[str]) -> None:
    """Write scores or run steps."""
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
    """Make the plugin record its count: a system call that always fails."""
    with suppress(OSError):
        os.getpriority(MARK, MARK)


if __name__ == "__main__":
    main(sys.argv[1:])
