"""Measures of a report: how they are computed, where they are stored, and their units, for each kind of bundle."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from speechtl.bench.stimulus import PICTURE_SIZES
from speechtl.bench.stopwatch import STAGES
from speechtl.files import sha256_of
from speechtl.runtime.bundle.archive import KIND, PICTURE_KIND
from speechtl.runtime.samples import Floats, Json

PICTURE_STAGES = ("prepare", "network")
PERCENTILES = {"p50": 50, "p95": 95, "p99": 99}
RANKS = (*PERCENTILES, "max")
MILLISECOND = 1e6  # nanoseconds


@dataclass(frozen=True)
class Measure:
    """A number in a report: its keys and its unit."""

    where: tuple[str, ...]
    unit: str
    known: bool = True  # False: may be None, if it could not be measured
    cost: bool = True  # False: more is better, so budgets cannot limit it


@dataclass(frozen=True)
class ReportForm:
    """Content of reports on one kind of bundle: the measures, and the key of the input that all machines get."""

    kind: str
    given: str
    measures: Mapping[str, Measure]


def _stages(names: Iterable[str], cpu: str, unit: str) -> dict[str, Measure]:
    return {
        **{f"{name}_{cpu}": Measure(("stages", name, cpu), unit) for name in names},
        **{f"{name}_{rank}_ms": Measure(("stages", name, "wall_ms", rank), "ms") for name in names for rank in RANKS},
    }


def _process(cpu: str, unit: str) -> dict[str, Measure]:
    return {
        cpu: Measure(("process", cpu), unit),
        "peak_mb": Measure(("process", "peak_mb"), "MB"),
        "start_seconds": Measure(("process", "start_seconds"), "s"),
        "start_cpu_seconds": Measure(("process", "start_cpu_seconds"), "s"),
    }


DETECTION = ReportForm(
    KIND,
    "audio",
    {
        **_stages(STAGES, "cpu_ms_per_second", "ms/s"),
        **{f"chunk_{rank}_ms": Measure(("chunk", "wall_ms", rank), "ms") for rank in RANKS},
        "real_time_factor": Measure(("real_time_factor",), ""),
        **_process("cpu_ms_per_second", "ms/s"),
        "missed_deadlines": Measure(("deadlines", "missed"), ""),
        **{f"delay_{rank}_ms": Measure(("delay", "ms", rank), "ms", known=False) for rank in ("p50", "p95", "max")},
    },
)
PREDICTION = ReportForm(
    PICTURE_KIND,
    "pictures",
    {
        **_stages(PICTURE_STAGES, "cpu_ms_per_picture", "ms"),
        **{f"prepare_{size}_p50_ms": Measure(("prepare_by_size", size, "wall_ms", "p50"), "ms") for size in PICTURE_SIZES},
        **{f"picture_{rank}_ms": Measure(("picture", "wall_ms", rank), "ms") for rank in RANKS},
        "pictures_per_second": Measure(("pictures_per_second",), "1/s", cost=False),
        **_process("cpu_ms_per_picture", "ms"),
    },
)
FORMS = {form.kind: form for form in (DETECTION, PREDICTION)}
# Measures that budgets can limit, in reports of any kind.
COSTS = list(dict.fromkeys(name for form in FORMS.values() for name, measure in form.measures.items() if measure.cost))


def percentiles(values: npt.ArrayLike) -> dict[str, float | None]:
    """p50, p95, p99 and max of milliseconds; None if there are no values."""
    array = np.asarray(values, np.float64)
    if len(array) == 0:
        return {**dict.fromkeys(PERCENTILES), "max": None}
    found = {name: float(np.percentile(array, rank)) for name, rank in PERCENTILES.items()}
    return {name: round(value, 5) for name, value in {**found, "max": float(array.max())}.items()}


def time_summary(times: npt.NDArray[np.int64], unit: str, amount: float) -> Json:
    """Percentiles of wall time, and CPU time per unit, from nanoseconds `(calls, 2)`, wall and CPU, for `amount` units."""
    milliseconds = times / MILLISECOND
    return {"wall_ms": percentiles(milliseconds[:, 0]), f"cpu_ms_per_{unit}": round(float(milliseconds[:, 1].sum()) / amount, 5)}


def score_summary(passes: Sequence[Floats]) -> Json:
    """Scores `(steps, outputs)` of the first pass, and whether all passes gave the same."""
    first = passes[0]
    return {
        "sha256": sha256_of(first.astype("<f4").tobytes()),
        "repeatable": all(np.array_equal(first, other) for other in passes),
        "values": [[round(float(score), 8) for score in step] for step in first],
    }


def describe_bundle(path: Path, about: Mapping[str, Any], graph: str, engine: str) -> Json:
    """Entry of a report on any bundle: its file, graph and engine."""
    encoder = about.get("encoder")
    return {
        "name": str(about["name"]),
        "file": path.name,
        "bytes": path.stat().st_size,
        "sha256": sha256_of(path),
        "encoder": encoder.get("name") if isinstance(encoder, Mapping) else None,
        "graph": graph,
        "engine": engine,
    }
