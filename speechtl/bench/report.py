"""Read and check reports of the benchmark."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speechtl.bench.measures import FORMS, ReportForm
from speechtl.errors import SpeechtlError
from speechtl.files import parse_json
from speechtl.runtime.bundle.archive import KIND as DEFAULT_KIND
from speechtl.runtime.samples import Json

KIND = "speechtl bench"
SCHEMA = 1
MAX_VALUE = 1e18  # of any measure, so that quotients and differences stay finite

# Other required entries and their types; a condition may be unknown.
KINDS: dict[tuple[str, ...], type | tuple[type, ...]] = {
    ("made",): str,
    ("bundle", "name"): str,
    ("bundle", "sha256"): str,
    ("bundle", "graph"): str,
    ("bundle", "engine"): str,
    ("bundle", "tolerance"): (int, float),
    ("machine", "processor"): str,
    ("machine", "cores"): int,
    ("machine", "governor"): (str, type(None)),
    ("scores", "sha256"): str,
    ("versions",): dict,
    **{("condition", moment, "load"): (int, float, type(None)) for moment in ("before", "after")},
    **{("condition", moment, "throttling"): (dict, type(None)) for moment in ("before", "after")},
}
# Optional entries and their types.
OPTIONAL: dict[tuple[str, ...], tuple[type, ...]] = {
    ("machine", "model"): (str, type(None)),
    ("condition", "after", "clock_mhz"): (int, float, type(None)),
    ("condition", "after", "temperature_celsius"): (int, float, type(None)),
    **{("condition", moment, "throttling", "now"): (list,) for moment in ("before", "after")},
    **{("condition", moment, "throttling", "events"): (int, type(None)) for moment in ("before", "after")},
}


@dataclass(frozen=True)
class BenchReport:
    """A checked report; `values` has every measure, None if it could not be measured."""

    path: Path
    form: ReportForm
    document: Json
    values: dict[str, float | None]
    scores: list[list[float]]

    @property
    def bundle(self) -> Json:
        """The bundle that was measured."""
        return dict(self.document["bundle"])


def read_report(path: Path) -> BenchReport:
    """Read a report; raise `SpeechtlError` if it is damaged, of a newer schema, or another file."""
    try:
        document = parse_json(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError) as error:
        what = "is a folder" if path.is_dir() else "does not exist"
        raise SpeechtlError(f"{path} {what}; give a report made with: speechtl bench NAME.wake --json FILE") from error
    except (ValueError, RecursionError) as error:
        raise SpeechtlError(f"{path} is not JSON ({error}); give a report made with: speechtl bench NAME.wake --json FILE") from error
    if not isinstance(document, dict) or document.get("kind") != KIND:
        raise SpeechtlError(f"{path} is not a benchmark report; make one with: speechtl bench NAME.wake --json FILE")
    schema = document.get("schema")
    if not isinstance(schema, int) or schema > SCHEMA:
        raise SpeechtlError(f"{path} has schema {schema}, and this speechtl reads up to {SCHEMA}. Update it with: pip install -U speechtl")
    form = _form(document, path)
    values = {name: _number(_at(document, measure.where, path), measure.where, path) for name, measure in form.measures.items()}
    for name, measure in form.measures.items():
        if measure.known and values[name] is None:
            raise _damaged(path, measure.where)
    for where, kind in {**KINDS, (form.given, "sha256"): str}.items():
        if not isinstance(_at(document, where, path), kind):
            raise _damaged(path, where)
    for where, kinds in OPTIONAL.items():
        part = _at(document, where[:-1], path)
        if part is not None and where[-1] in part and not isinstance(part[where[-1]], kinds):
            raise _damaged(path, where)
    scores = _read_scores(document, path)
    try:
        json.dumps(document, allow_nan=False)
    except ValueError as error:
        raise SpeechtlError(
            f"{path} is damaged: it holds a number that is not finite. Make the report again with speechtl bench."
        ) from error
    return BenchReport(path, form, document, values, scores)


def conditions(document: Json) -> list[str]:
    """Notes on conditions that made the machine slower: throttling, load, a power-saving governor."""
    found = []
    before, after, machine = document["condition"]["before"], document["condition"]["after"], document["machine"]
    throttling, earlier = after["throttling"] or {}, before["throttling"] or {}
    if throttling.get("now") or (throttling.get("events") or 0) > (earlier.get("events") or 0):
        reasons = ", ".join(map(str, throttling.get("now", ()))) or "too hot"
        found.append(f"the machine throttled its processor ({reasons}), so it was slower than it can be.")
    if (after["load"] or 0) > machine["cores"]:
        found.append(f"the machine was busy (load {after['load']} on {machine['cores']} cores): trust CPU time, not wall time.")
    if "powersave" in (machine["governor"] or ""):
        found.append("the governor was 'powersave', which keeps the clock low.")
    return found


def _form(document: Json, path: Path) -> ReportForm:
    """Content of reports on this kind of bundle; the default kind is wake words."""
    bundle = document.get("bundle")
    kind = bundle.get("kind", DEFAULT_KIND) if isinstance(bundle, dict) else DEFAULT_KIND
    if not isinstance(kind, str):
        raise _damaged(path, ("bundle", "kind"))
    if kind not in FORMS:
        raise SpeechtlError(
            f"{path} measures a bundle of kind {kind!r}, which this speechtl does not know. Update it with: pip install -U speechtl"
        )
    return FORMS[kind]


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
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= MAX_VALUE


def _damaged(path: Path, where: Sequence[str]) -> SpeechtlError:
    return SpeechtlError(
        f"{path} is damaged: {'.'.join(where)} is missing or of the wrong kind. Make the report again with speechtl bench."
    )
