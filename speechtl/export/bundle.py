"""From a run to a bundle that carries the proof of its own parity."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from speechtl import __version__
from speechtl.audio.run import Run
from speechtl.errors import CheckFailedError
from speechtl.export.golden import golden
from speechtl.export.onnx_graph import to_onnx
from speechtl.files import writing
from speechtl.runtime.bundle import GOLDEN, State, open_bundle, write_bundle
from speechtl.runtime.verify import TOLERANCE, verify

GRAPH = "model.onnx"


def export_run(run: Run, out: Path) -> dict[str, Any]:
    """Write a run as a bundle to `out`, complete or not at all; return what its `bundle.json` says.

    Raises `CheckFailedError` when the exported graph does not give the network's scores.
    """
    graph, states = to_onnx(run.network)
    files = {GRAPH: graph, GOLDEN: golden(run.network, run.about["phrases"])}
    about = describe(run, states)
    with tempfile.TemporaryDirectory() as folder:
        trial = Path(folder) / "trial.wake"
        write_bundle(trial, about, files)
        about["parity"] = [result.to_json() for result in verify(open_bundle(trial))]
    wrong = [result for result in about["parity"] if not result["ok"]]
    if wrong:
        raise CheckFailedError(
            f"{wrong[0]['graph']} differs from the network by {wrong[0]['largest_difference']:.2g} where {TOLERANCE:.0e} is allowed; "
            "nothing was written."
        )
    with writing(out) as beside:
        write_bundle(beside, about, files)
    return about


def describe(run: Run, states: list[State]) -> dict[str, Any]:
    """Return what a bundle says about itself."""
    network, features = run.network, run.network.encoder.features
    return {
        "name": run.name,
        "phrases": list(run.about["phrases"]),
        "made_by": f"speechtl {__version__}",
        "sample_rate": features.sample_rate,
        "features": features.to_json(),
        "chunk": {
            "frames": network.encoder.stride,
            "samples": network.encoder.stride * features.hop,
            "silent_steps": network.silent_steps,
        },
        "states": [{"name": state.name, "output": state.output, "shape": list(state.shape)} for state in states],
        "graphs": {GRAPH: {"runtime": "onnx", "precision": "fp32"}},
        "detector": run.trigger.to_json(),
        "operating_points": run.about["operating_points"],
        "encoder": run.about["encoder"],
        "policy": run.about["policy"],
        "data": run.about["data"],
        "licence": run.about["licence"],
        "versions": run.about["versions"],
    }
