"""python export/verify.py NAME.wake [--engine onnxruntime ai-edge-litert tflite-runtime] [--certify] [--json]

Verify a bundle in every runtime, each in its own environment with the base install of speechtl, as on a device; for tflite-runtime with
numpy 1.26, because it crashes with numpy 2. The environments are made once, in the cache folder. Exit code 1 if the scores of a graph are
out of tolerance in a runtime, or if no runtime could be installed.

tflite-runtime rounds int8 differently from LiteRT, which the exporter measures with, so it runs the float graph by default. `--certify`
also measures int8 in tflite-runtime and writes the results into the bundle; within the tolerance, tflite-runtime then runs int8 by default.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from speechtl.cache import environment
from speechtl.errors import CheckFailedError, SpeechtlError, reported
from speechtl.files import writing
from speechtl.progress import say
from speechtl.runtime.bundle.archive import write_bundle
from speechtl.runtime.bundle.wake_word import open_bundle
from speechtl.runtime.engine.select import RUNTIMES
from speechtl.runtime.parity import table

CHECKOUT = Path(__file__).resolve().parent.parent
BASE = ("soxr", "soundfile", "typer<0.29", "rich")
NUMPY = {"tflite-runtime": "numpy==1.26.4"}


def main(argv: Sequence[str] | None = None) -> None:
    """Verify in each runtime's environment and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, help="a bundle")
    parser.add_argument("--engine", nargs="+", choices=tuple(RUNTIMES), default=tuple(RUNTIMES), help="only these runtimes")
    parser.add_argument("--certify", action="store_true", help="also measure int8 in tflite-runtime and write the results into the bundle")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    options = parser.parse_args(argv)
    results: list[dict[str, Any]] = []
    measured: list[dict[str, Any]] = []  # not measured before; a graph that fails here does not run by default
    graphs = open_bundle(options.bundle).graphs.values()
    for engine in options.engine:
        mine = [graph for graph in graphs if RUNTIMES[engine].runs(graph)]
        if not mine:
            say(f"{engine}: the bundle has no {RUNTIMES[engine].format} graph.")
            continue
        try:
            python = environment("runtimes", engine, engine, [[*BASE, engine, NUMPY.get(engine, "numpy")]])
        except SpeechtlError as error:
            say(str(error))
            continue
        results += verify_in(python, options.bundle, engine)
        for graph in mine if options.certify else ():
            if not RUNTIMES[engine].trusts(graph):
                measured += verify_in(python, options.bundle, engine, graph.name)
    if options.certify:
        certify(options.bundle, [*results, *measured])
    print(json.dumps([*results, *measured], indent=2) if options.json else table([*results, *measured]))
    if not results or not all(result["ok"] for result in results):
        raise CheckFailedError(f"{options.bundle} failed verification in a runtime, or could not be verified in any.")


def certify(path: Path, results: Sequence[Mapping[str, Any]]) -> None:
    """Write the parity of graphs in these runtimes into a bundle; the parity in other runtimes stays."""
    bundle = open_bundle(path)
    known = {(result["graph"], result["engine"]) for result in results}
    kept = [result for result in bundle.about.get("parity", ()) if (result["graph"], result["engine"]) not in known]
    with writing(path) as beside:
        write_bundle(beside, {**bundle.about, "parity": [*kept, *results]}, bundle.files)


def verify_in(python: Path, bundle: Path, engine: str, graph: str | None = None) -> list[dict[str, Any]]:
    """Results of `speechtl verify` in an environment, for all graphs or for one."""
    command = [str(python), "-m", "speechtl", "verify", str(bundle.resolve()), "--engine", engine, "--json"]
    command += [] if graph is None else ["--graph", graph]
    where = {**os.environ, "PYTHONPATH": str(CHECKOUT), "PYTHONNOUSERSITE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=where, check=False)
    try:
        results: list[dict[str, Any]] = json.loads(done.stdout)
    except json.JSONDecodeError:
        raise SpeechtlError(f"{engine} could not verify {bundle}: {(done.stderr.strip().splitlines() or ['no output'])[-1]}") from None
    return results


if __name__ == "__main__":
    sys.exit(reported(main))
