"""Reports of the latency harness as they are read back: checked, so that what compares them can rely on them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speechtl.errors import SpeechtlError
from speechtl.runtime.bench import KIND, SCHEMA
from speechtl.runtime.stopwatch import STAGES

Json = dict[str, Any]

# What can be compared and budgeted: where it stands in a report, and its unit.
MEASURES: dict[str, tuple[tuple[str, ...], str]] = {
    **{f"{stage}_cpu_ms_per_second": (("stages", stage, "cpu_ms_per_second"), "ms/s") for stage in STAGES},
    **{f"{stage}_{rank}_ms": (("stages", stage, "wall_ms", rank), "ms") for stage in STAGES for rank in ("p50", "p95", "p99", "max")},
    **{f"chunk_{rank}_ms": (("chunk", "wall_ms", rank), "ms") for rank in ("p50", "p95", "p99", "max")},
    "real_time_factor": (("real_time_factor",), ""),
    "cpu_ms_per_second": (("process", "cpu_ms_per_second"), "ms/s"),
    "peak_mb": (("process", "peak_mb"), "MB"),
    "start_seconds": (("process", "start_seconds"), "s"),
    "start_cpu_seconds": (("process", "start_cpu_seconds"), "s"),
    "missed_deadlines": (("deadlines", "missed"), ""),
    "delay_p50_ms": (("delay", "ms", "p50"), "ms"),
    "delay_p95_ms": (("delay", "ms", "p95"), "ms"),
    "delay_max_ms": (("delay", "ms", "max"), "ms"),
}
# Those without which a report is no report; the delay may be unknown.
REQUIRED = [name for name in MEASURES if not name.startswith("delay")]
# Where what else is relied on stands, and of what kind it is; a condition may be unknown.
KINDS: dict[tuple[str, ...], type | tuple[type, ...]] = {
    ("made",): str,
    ("bundle", "name"): str,
    ("bundle", "sha256"): str,
    ("bundle", "graph"): str,
    ("bundle", "tolerance"): (int, float),
    ("machine", "processor"): str,
    ("machine", "cores"): int,
    ("machine", "governor"): (str, type(None)),
    ("audio", "sha256"): str,
    ("scores", "sha256"): str,
    ("versions",): dict,
    **{("condition", moment, "load"): (int, float, type(None)) for moment in ("before", "after")},
    **{("condition", moment, "throttling"): (dict, type(None)) for moment in ("before", "after")},
}


@dataclass(frozen=True)
class Report:
    """A report that was read and checked; `values` has every measure, None where it could not be measured."""

    path: Path
    document: Json
    values: dict[str, float | None]
    scores: list[list[float]]

    @property
    def bundle(self) -> Json:
        """What was measured."""
        return dict(self.document["bundle"])


def read_report(path: Path) -> Report:
    """Read a report; raise `SpeechtlError` when it is damaged, of a newer schema, or none at all."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError) as error:
        what = "is a folder" if path.is_dir() else "does not exist"
        raise SpeechtlError(f"{path} {what}; give a report made with: speechtl bench NAME.wake --json FILE") from error
    except (ValueError, RecursionError) as error:
        raise SpeechtlError(f"{path} is not JSON ({error}); give a report made with: speechtl bench NAME.wake --json FILE") from error
    if not isinstance(document, dict) or document.get("kind") != KIND:
        raise SpeechtlError(f"{path} is no report of the latency harness; make one with: speechtl bench NAME.wake --json FILE")
    schema = document.get("schema")
    if not isinstance(schema, int) or schema > SCHEMA:
        raise SpeechtlError(
            f"{path} has schema {schema}, where this speechtl reads up to {SCHEMA}. Update it with: pip install -U speechtl"
        )
    values = {name: _number(_at(document, where, path), where, path) for name, (where, _) in MEASURES.items()}
    for name in REQUIRED:
        if values[name] is None:
            raise _damaged(path, MEASURES[name][0])
    for where, kind in KINDS.items():
        if not isinstance(_at(document, where, path), kind):
            raise _damaged(path, where)
    return Report(path, document, values, _read_scores(document, path))


def _read_scores(document: Json, path: Path) -> list[list[float]]:
    scores = _at(document, ("scores", "values"), path)
    width = len(scores[0]) if isinstance(scores, list) and scores and isinstance(scores[0], list) else 0
    if not width or not all(isinstance(step, list) and len(step) == width and all(_finite(score) for score in step) for step in scores):
        raise _damaged(path, ("scores", "values"))
    return [[float(score) for score in step] for step in scores]


def _at(document: Any, where: Sequence[str], path: Path) -> Any:
    for key in where:
        if not isinstance(document, Mapping) or key not in document:
            raise _damaged(path, where)
        document = document[key]
    return document


def _number(value: Any, where: Sequence[str], path: Path) -> float | None:
    if value is not None and not _finite(value):
        raise _damaged(path, where)
    return None if value is None else float(value)


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _damaged(path: Path, where: Sequence[str]) -> SpeechtlError:
    return SpeechtlError(
        f"{path} is damaged: {'.'.join(where)} is missing or of the wrong kind. Make the report again with speechtl bench."
    )
