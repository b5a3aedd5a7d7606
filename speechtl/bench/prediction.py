"""Cost of the answer to a picture: reading and resizing it, and the network.

Stages are timed in the code of `speechtl image predict`; CPU time, memory and start-up are measured in a new process.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from speechtl.bench.measures import PICTURE_STAGES, describe_bundle, score_summary, time_summary
from speechtl.bench.process import repeat, repeat_worker
from speechtl.bench.stimulus import PICTURE, PICTURE_SIZES, SEED, picture_hash, write_pictures
from speechtl.errors import SpeechtlError
from speechtl.progress import Advance
from speechtl.runtime.bundle.archive import PICTURE_KIND
from speechtl.runtime.bundle.pictures import PictureBundle, Scores
from speechtl.runtime.engine.pictures import ENGINE, PictureEngine
from speechtl.runtime.pictures import read_pixels
from speechtl.runtime.samples import Json

ROUNDS = 4  # over the pictures in each pass
WORKER = ("speechtl.bench.worker", "--pictures")

Times = npt.NDArray[np.int64]


def measure(
    bundle: PictureBundle, graph: str | None, engine: str | None, repetitions: int, python: Sequence[str], progress: Advance
) -> Json:
    """The part of a report on a bundle for pictures; arguments as in `bench`."""
    if engine not in (None, ENGINE):
        raise SpeechtlError(f"{bundle.path} is a bundle for pictures, which only runs in {ENGINE}, not in {engine!r}; leave out --engine.")
    running = PictureEngine(bundle, graph)
    golden, _ = bundle.golden()
    total = 2 * repetitions
    with tempfile.TemporaryDirectory(prefix="speechtl-bench-") as folder:
        files = write_pictures(Path(folder))
        shown = files * ROUNDS
        command = [*python, "-m", *WORKER, str(bundle.path), running.graph, str(files[0])]
        process = repeat_worker(command, _names(shown), _names(files), PICTURE, repetitions, lambda done: progress(done, total))
        expected = np.stack([running.run(picture) for picture in golden])  # before timing, as warm-up
        passes = repeat(lambda: _pass(running, shown), repetitions, lambda done: progress(repetitions + done, total))
        return {
            "bundle": _about(running),
            "pictures": {
                "seed": SEED,
                "sizes": list(PICTURE_SIZES),
                "shown": len(shown),
                "golden": len(golden),
                "sha256": picture_hash(files, golden),
            },
            "process": process,
            **_stages([times for times, _ in passes]),
            "scores": score_summary([np.concatenate([expected, part]) for _, given in passes for part in np.split(given, ROUNDS)]),
        }


def _names(files: Sequence[Path]) -> bytes:
    return b"".join(os.fsencode(file) + b"\n" for file in files)


def _about(engine: PictureEngine) -> Json:
    bundle = engine.bundle
    graph = bundle.graphs[engine.graph]
    return {
        "kind": PICTURE_KIND,
        **describe_bundle(bundle.path, bundle.about, engine.graph, ENGINE),
        "precision": graph.precision,
        "tolerance": graph.tolerance,
        "tasks": [name for name, _ in bundle.tasks],
        "size": bundle.settings.size,
    }


def _pass(engine: PictureEngine, files: Sequence[Path]) -> tuple[Times, Scores]:
    """Nanoseconds `(pictures, stages, 2)`, wall and CPU, and scores `(pictures, outputs)`."""
    settings = engine.bundle.settings
    times, given = [], []
    for file in files:
        begin = _now()
        pixels = read_pixels(file, settings)
        prepared = _now()
        given.append(engine.run(pixels))
        times.append((prepared - begin, _now() - prepared))
    return np.array(times, np.int64), np.stack(given)


def _now() -> Times:
    return np.array((time.perf_counter_ns(), time.process_time_ns()), np.int64)


def _stages(passes: Sequence[Times]) -> Json:
    """Times of every stage, of whole pictures, and of preparing pictures of each size, over all passes."""
    times = np.concatenate(passes)
    whole = times.sum(axis=1)

    def summary(part: Times) -> Json:
        return time_summary(part, PICTURE.name, len(part))

    return {
        "stages": {name: summary(times[:, index]) for index, name in enumerate(PICTURE_STAGES)},
        "prepare_by_size": {name: summary(times[index :: len(PICTURE_SIZES), 0]) for index, name in enumerate(PICTURE_SIZES)},
        "picture": summary(whole),
        "pictures_per_second": round(len(whole) / (float(whole[:, 0].sum()) / 1e9), 3),
    }
