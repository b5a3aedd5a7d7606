"""What a training reached: recall and false accepts on held-out recordings, by threshold, and the report on what was kept for the test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from speechtl.errors import RunError
from speechtl.files import read_json
from speechtl.runs import ABOUT, is_run
from speechtl.runtime.bundle.wake_word import open_bundle
from speechtl.studio.project import Word, inside
from speechtl.studio.refusals import RefusedError, missing

REPORT = "report.html"
HOURS = 24.0  # a day


def result(word: Word, run: str) -> dict[str, Any]:
    """The result of a training, as its page shows it."""
    about = description(word, run)
    points = [_point(point) for point in about["operating_points"]]
    report = word.runs / f"{run}.report" / REPORT
    return {
        "run": run,
        "points": points,
        "aimed_per_day": about["recipe"]["calibrate"]["false_accepts_per_hour"] * HOURS,
        "chosen_per_day": word.about.get("false_accepts_per_day"),
        "data": {kind: about["data"].get(kind) for kind in ("positives", "negatives")},
        "speakers_apart": about["data"]["speakers_apart"],
        "licence": about["licence"],
        "minutes": round(about["seconds"]["all"] / 60.0, 1),
        "report": f"/report/{word.name}/{run}/{REPORT}" if report.is_file() else None,
    }


def description(word: Word, run: str) -> dict[str, Any]:
    """The description of a finished run."""
    if not word.runs.is_dir():
        raise missing(f"Training {run}")
    folder = inside(word.runs, run)
    if not is_run(folder):
        raise missing(f"The result of training {run}")
    about = read_json(folder / ABOUT, RunError)
    return dict(about)


def report_file(word: Word, run: str, path: str) -> Path:
    """A file of the report of a run."""
    if not word.runs.is_dir():
        raise missing("The report")
    file = inside(word.runs, f"{run}.report")
    for part in path.split("/"):
        file = inside(file, part)
    if not file.is_file():
        raise missing("The report")
    return file


def choose(word: Word, per_day: Any) -> None:
    """Keep the false accepts per day at which the word is tried and shipped; None goes back to those of its training."""
    if per_day is not None and not (isinstance(per_day, int | float) and 0.0 < per_day <= 1000.0):
        raise RefusedError(422, "False accepts per day must be a number from 0 to 1000.")
    word.update(false_accepts_per_day=per_day)


def chosen_threshold(word: Word) -> float | None:
    """The threshold of the bundle at the false accepts per day that were chosen; None for that of its training."""
    per_day = word.about.get("false_accepts_per_day")
    if per_day is None or not word.bundle.is_file():
        return None
    points = open_bundle(word.bundle).about.get("operating_points") or []
    nearest = min(points, key=lambda point: abs(float(point["false_accepts_per_hour"]) * HOURS - per_day), default=None)
    return None if nearest is None else float(nearest["threshold"])


def _point(point: dict[str, Any]) -> dict[str, Any]:
    """An operating point, per day."""
    kept = {key: point[key] for key in ("threshold", "clips", "detected", "recall", "recall_low", "recall_high", "hours", "events")}
    return {**kept, "per_day": point["false_accepts_per_hour"] * HOURS, "per_day_high": point["per_hour_high"] * HOURS}
