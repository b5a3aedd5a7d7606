"""python export/verify.py NAME.wake [--engine onnxruntime ai-edge-litert tflite-runtime] [--certify] [--json]

Verify a bundle on every runtime there is, each alone in an environment of its own, as on a device: the base of speechtl and that
one runtime, and for tflite-runtime numpy 1.26, because it dies with numpy 2. The environments are made once, in the cache folder.
Exit code 1 when a graph is out of tolerance anywhere, or when no runtime could be installed.

tflite-runtime rounds int8 otherwise than LiteRT, with which the exporter measures, so that by itself it takes the float graph. `--certify`
measures int8 in it, too, and writes what came out into the bundle: within the tolerance, it is what tflite-runtime takes from then on.
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
from speechtl.runtime.verify import table

CHECKOUT = Path(__file__).resolve().parent.parent
BASE = ("soxr", "soundfile", "typer<0.29", "rich")
NUMPY = {"tflite-runtime": "numpy==1.26.4"}


def main(argv: Sequence[str] | None = None) -> None:
    """Verify in each runtime's environment and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, help="a bundle")
    parser.add_argument("--engine", nargs="+", choices=tuple(RUNTIMES), default=tuple(RUNTIMES), help="only these runtimes")
    parser.add_argument("--certify", action="store_true", help="measure int8 in tflite-runtime, too, and write the results into the bundle")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    options = parser.parse_args(argv)
    results: list[dict[str, Any]] = []
    measured: list[dict[str, Any]] = []  # where nothing was known before; nothing runs by default what fails there
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
        raise CheckFailedError(f"{options.bundle} was not verified in every runtime.")


def certify(path: Path, results: Sequence[Mapping[str, Any]]) -> None:
    """Write into a bundle how far its graphs differ in these runtimes; what it says of others stays."""
    bundle = open_bundle(path)
    known = {(result["graph"], result["engine"]) for result in results}
    kept = [result for result in bundle.about.get("parity", ()) if (result["graph"], result["engine"]) not in known]
    with writing(path) as beside:
        write_bundle(beside, {**bundle.about, "parity": [*kept, *results]}, bundle.files)


def verify_in(python: Path, bundle: Path, engine: str, graph: str | None = None) -> list[dict[str, Any]]:
    """Return what `speechtl verify` says in an environment, of all graphs or of one."""
    command = [str(python), "-m", "speechtl", "verify", str(bundle.resolve()), "--engine", engine, "--json"]
    command += [] if graph is None else ["--graph", graph]
    where = {**os.environ, "PYTHONPATH": str(CHECKOUT), "PYTHONNOUSERSITE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=where, check=False)
    try:
        results: list[dict[str, Any]] = json.loads(done.stdout)
    except json.JSONDecodeError:
        raise SpeechtlError(
            f"{engine} could not verify {bundle}: {(done.stderr.strip().splitlines() or ['it said nothing'])[-1]}"
        ) from None
    return results


if __name__ == "__main__":
    sys.exit(reported(main))
