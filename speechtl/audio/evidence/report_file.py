"""The parts of a `report.json` that a repetition needs, checked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pydantic
from pydantic import BaseModel, ConfigDict, Field

from speechtl.audio.evidence.statement import SCHEMA
from speechtl.errors import SpeechtlError
from speechtl.files import read_json

PATHS = ("positives", "negatives", "noise", "talk", "music", "rooms")  # of a plan


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)


class _Plan(_Strict):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    positives: list[str]
    negatives: list[str]
    noise: list[str]
    talk: list[str]
    music: list[str]
    rooms: list[str]
    snr_db: list[float]
    preset: str
    split: str
    others: str | None
    strangers: bool


class _Source(_Strict):
    source: str
    sha256: str | None
    files: dict[str, str]


class _Statement(_Strict):
    model_sha256: str
    plan: _Plan
    folder: str
    sources: list[_Source]
    seeds: dict[str, int]
    versions: dict[str, str]
    machine: dict[str, Any]


class _Slice(_Strict):
    kind: str
    name: str


class _Moment(_Strict):
    file: str
    time: float


class _Report(_Strict):
    model: str
    graph: str | None
    name: str
    split: str
    threshold: float
    threshold_source: str
    detector: dict[str, Any]
    positives: dict[str, Any]
    negatives: dict[str, Any]
    delay_ms: dict[str, Any]
    det: list[Annotated[list[float], Field(min_length=3, max_length=3)]]
    slices: list[_Slice]
    missed: list[_Moment]
    false_accepts: list[_Moment]
    statement: _Statement


def read_report(path: Path) -> dict[str, Any]:
    """A report with its statement; raises `SpeechtlError` where it is none, damaged, or of another schema."""
    if path.is_dir() or not path.exists():
        raise SpeechtlError(f"{path} {'is a folder' if path.is_dir() else 'does not exist'}; give the report.json of an evaluation.")
    document = read_json(path)
    schema = document.get("schema") if isinstance(document, dict) else None
    if type(schema) is not int or "slices" not in document:
        raise SpeechtlError(f"{path} is no report; give the report.json that speechtl evaluate --out wrote.")
    if schema > SCHEMA:
        raise SpeechtlError(
            f"{path} was made by a newer speechtl (schema {schema}; this one repeats {SCHEMA}). Update speechtl to repeat it."
        )
    if schema < SCHEMA:
        raise SpeechtlError(f"{path} says too little to be repeated (schema {schema}). Evaluate again with --out to get one that can be.")
    try:
        _Report.model_validate(document)
    except pydantic.ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise SpeechtlError(
            f"{path} is damaged: {where!r}: {problem['msg']}. Evaluate again with --out to get one that can be repeated."
        ) from error
    return document
