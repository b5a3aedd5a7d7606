"""What measurements come to in a report: percentiles, costs, scores, and what was measured."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

PERCENTILES = {"p50": 50, "p95": 95, "p99": 99}
RANKS = (*PERCENTILES, "max")
MILLISECOND = 1e6  # nanoseconds

Json = dict[str, Any]


def percentiles(values: npt.ArrayLike) -> dict[str, float | None]:
    """Return p50, p95, p99 and max of milliseconds; None of each where there is no value."""
    array = np.asarray(values, np.float64)
    if len(array) == 0:
        return {**dict.fromkeys(PERCENTILES), "max": None}
    found = {name: float(np.percentile(array, rank)) for name, rank in PERCENTILES.items()}
    return {name: round(value, 5) for name, value in {**found, "max": float(array.max())}.items()}


def spent(times: npt.NDArray[np.int64], unit: str, amount: float) -> Json:
    """Return what nanoseconds `(calls, 2)`, wall and processor, come to; the latter for each of `amount` units."""
    milliseconds = times / MILLISECOND
    return {"wall_ms": percentiles(milliseconds[:, 0]), f"cpu_ms_per_{unit}": round(float(milliseconds[:, 1].sum()) / amount, 5)}


def scores(passes: Sequence[npt.NDArray[np.float32]]) -> Json:
    """Return the scores `(steps, outputs)` of the first pass, and whether all passes gave the same."""
    first = passes[0]
    return {
        "sha256": hashlib.sha256(first.astype("<f4").tobytes()).hexdigest(),
        "repeatable": all(np.array_equal(first, other) for other in passes),
        "values": [[round(float(score), 8) for score in step] for step in first],
    }


def describe(path: Path, about: Mapping[str, Any], graph: str, engine: str) -> Json:
    """Return what a report says of any bundle: its file, and which of its graphs was run by what."""
    encoder = about.get("encoder")
    return {
        "name": str(about["name"]),
        "file": path.name,
        "bytes": path.stat().st_size,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "encoder": encoder.get("name") if isinstance(encoder, Mapping) else None,
        "graph": graph,
        "engine": engine,
    }
