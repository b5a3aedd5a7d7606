"""Several runs in one bundle: what they must share, and what each says for itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from speechtl.audio.run import Run
from speechtl.errors import SpeechtlError
from speechtl.export.step import share_encoder

WORST_FIRST = ("no", "unclear", "yes")  # what licences allow, for commercial use


def check_joinable(runs: Sequence[Run]) -> None:
    """Refuse runs that cannot stand in one graph: of one name, or with encoders that differ."""
    if not runs:
        raise SpeechtlError("Give at least one run to export.")
    names = [run.name for run in runs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise SpeechtlError(f"Two of the runs are called {twice!r}; events could not be told apart. Give runs of different names.")
    if not share_encoder([run.network for run in runs]):
        trained = ", ".join(f"{run.name} on {run.network.encoder.info.name} with {run.about['policy']}" for run in runs)
        raise SpeechtlError(
            'The runs do not share an encoder: only runs with a frozen one of the same kind (policy = "head") can be joined. '
            f"Export each into a bundle of its own; these were trained: {trained}."
        )


def describe_words(runs: Sequence[Run]) -> dict[str, Any]:
    """Return the part of a bundle's description that comes from the runs; several are listed under `words`."""
    first = runs[0].about
    described: dict[str, Any] = {
        "phrases": [phrase for run in runs for phrase in run.about["phrases"]],
        "detector": runs[0].trigger.to_json(),
        "operating_points": first["operating_points"],
        "encoder": first["encoder"],
        "policy": first["policy"],
        "data": first["data"],
        "licence": first["licence"],
        "versions": first["versions"],
    }
    if len(runs) == 1:
        return described
    described["words"] = [
        {
            "name": run.name,
            "phrases": list(run.about["phrases"]),
            "detector": run.trigger.to_json(),
            **{key: run.about[key] for key in ("operating_points", "policy", "data", "licence")},
        }
        for run in runs
    ]
    described["data"] = {"recordings": " ".join(sorted({one for run in runs for one in run.about["data"].get("recordings", "").split()}))}
    verdicts = [run.about["licence"] for run in runs]
    described["licence"] = {
        "commercial": min((verdict["commercial"] for verdict in verdicts), key=WORST_FIRST.index),
        "reasons": [f"{run.name}: {reason}" for run in runs for reason in run.about["licence"]["reasons"]],
    }
    return described
