"""python export/verify.py NAME.wake [--engine onnxruntime ai-edge-litert tflite-runtime] [--json]

Verify a bundle on every runtime there is, each alone in an environment of its own, as on a device: the base of speechtl and that
one runtime, and for tflite-runtime numpy 1.26, because it dies with numpy 2. The environments are made once, in the cache folder.
Exit code 1 when a graph is out of tolerance anywhere, or when no runtime could be installed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from speechtl.environments import environment
from speechtl.errors import SpeechtlError
from speechtl.progress import say
from speechtl.runtime.bundle import open_bundle
from speechtl.runtime.engine import RUNTIMES
from speechtl.runtime.verify import table

CHECKOUT = Path(__file__).resolve().parent.parent
BASE = ("soxr", "soundfile", "typer<0.29", "rich")
NUMPY = {"tflite-runtime": "numpy==1.26.4"}


def main(argv: Sequence[str] | None = None) -> int:
    """Verify in each runtime's environment and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, help="a bundle")
    parser.add_argument("--engine", nargs="+", choices=tuple(RUNTIMES), default=tuple(RUNTIMES), help="only these runtimes")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    options = parser.parse_args(argv)
    results: list[dict[str, Any]] = []
    try:
        formats = {graph.format for graph in open_bundle(options.bundle).graphs.values()}
        for engine in options.engine:
            if RUNTIMES[engine].format not in formats:
                say(f"{engine}: the bundle has no {RUNTIMES[engine].format} graph.")
                continue
            try:
                python = environment("runtimes", engine, engine, [[*BASE, engine, NUMPY.get(engine, "numpy")]])
            except SpeechtlError as error:
                say(str(error))
                continue
            results += verify_in(python, options.bundle, engine)
    except SpeechtlError as error:
        say(f"verify: {error}")
        return error.exit_code
    print(json.dumps(results, indent=2) if options.json else table(results))
    return 0 if results and all(result["ok"] for result in results) else 1


def verify_in(python: Path, bundle: Path, engine: str) -> list[dict[str, Any]]:
    """Return what `speechtl verify` says in an environment."""
    command = [str(python), "-m", "speechtl", "verify", str(bundle.resolve()), "--engine", engine, "--json"]
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
    sys.exit(main())
