"""python export/export.py runs/computer [runs/jarvis ...] -o home.wake [--no-int8] [--no-tflite] [--json]

Export runs as one bundle, then open it as a device does and tell for each of its graphs what it weighs and what it costs here:
processor time of one step of 80 ms on one thread, the median over repetitions in which the graphs take turns, so that a busy moment of the
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

from speechtl.arguments import output_file
from speechtl.audio.run import load_run
from speechtl.errors import SpeechtlError
from speechtl.export.bundle import export_runs, graphs_for
from speechtl.progress import say
from speechtl.runtime.bundle.wake_word import Bundle, open_bundle
from speechtl.runtime.engine.select import Engine, pairs

REPETITIONS, STEPS = 40, 50


def main(argv: Sequence[str] | None = None) -> int:
    """Export, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="run folders; several must share a frozen encoder")
    parser.add_argument("-o", "--out", type=output_file, required=True, help="the bundle to write")
    parser.add_argument("--no-int8", action="store_true", help="leave out the int8 graphs")
    parser.add_argument("--tflite", action=argparse.BooleanOptionalAction, help="insist on the TFLite graphs, or leave them out")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    options = parser.parse_args(argv)
    try:
        runs = [load_run(run) for run in options.runs]
        about = export_runs(runs, options.out, graphs_for(runs, int8=not options.no_int8, tflite=options.tflite))
        rows = measure(open_bundle(options.out), about)
    except SpeechtlError as error:
        say(f"export: {error}")
        return error.exit_code
    if options.json:
        print(json.dumps({"bundle": str(options.out), "bytes": options.out.stat().st_size, "graphs": rows}, indent=2))
        return 0
    print(f"{options.out}: {options.out.stat().st_size / 1e3:.0f} kB")
    for row in rows:
        default = "" if row["default"] else "  (not accurate enough to run by default)"
        print(
            f"{row['graph']:<18} {row['engine']:<15} {row['bytes'] / 1e3:6.0f} kB  {row['cpu_ms_per_step']:.3f} ms a step  "
            f"within {row['largest_difference']:.1e}{default}"
        )
    return 0


def measure(bundle: Bundle, about: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a row for each graph in each runtime on this machine."""
    engines = [Engine(bundle, graph, runtime) for graph, runtime in pairs(bundle)]
    parity = {(result["graph"], result["engine"]): result["largest_difference"] for result in about["parity"]}
    frames = np.random.default_rng(0).uniform(4.0, 10.0, (STEPS * bundle.frames_per_step, bundle.features.bands)).astype(np.float32)
    times: list[list[float]] = [[] for _ in engines]
    for _ in range(REPETITIONS):
        for engine, found in zip(engines, times, strict=True):
            begin = time.process_time()
            engine.run(frames)
            found.append((time.process_time() - begin) / STEPS * 1000.0)
    return [
        {
            "graph": engine.graph,
            "engine": engine.runtime,
            "bytes": len(bundle.files[engine.graph]),
            "cpu_ms_per_step": round(statistics.median(found), 4),
            "largest_difference": parity[engine.graph, engine.runtime],
            "default": bundle.graphs[engine.graph].default,
        }
        for engine, found in zip(engines, times, strict=True)
    ]


if __name__ == "__main__":
    sys.exit(main())
