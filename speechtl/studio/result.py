"""What a training reached: recall and false accepts on held-out recordings, by threshold, and the report on what was kept for the test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from speechtl.errors import RunError
from speechtl.files import read_json
from speechtl.runs import ABOUT, is_run
from speechtl.runtime.bundle.choice import BUNDLES_OWN, MOST_PER_DAY, PerWord
from speechtl.runtime.bundle.document import Field
from speechtl.runtime.bundle.sensitivity import Sensitivity, Setting, read_sensitivity
from speechtl.studio.project import Word, inside
from speechtl.studio.refusals import RefusedError, missing

REPORT = "report.html"
HOURS = 24.0  # a day
STOPS = 41  # of the slider
LEAST_SHARE = 0.25  # the slider goes below the rates that the data support, to a quarter of them


def result(word: Word, run: str) -> dict[str, Any]:
    """The result of a training, as its page shows it."""
    about = description(word, run)
    told = read_sensitivity(Field("sensitivity", about.get("sensitivity")))
    aimed = about["recipe"]["calibrate"]["false_accepts_per_hour"] * HOURS
    report = word.runs / f"{run}.report" / REPORT
    return {
        "run": run,
        "points": [] if told is None else [_point(told.at_rate(rate), rate) for rate in rates(told, aimed)],
        "hours": None if told is None else told.hours,
        "aimed_per_day": aimed,
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


def rates(told: Sensitivity, aimed: float) -> list[float]:
    """False accepts per day from which a person chooses, the lowest first: where the word is heard at all, and the aimed rate."""
    lowest = max(told.least_per_day * LEAST_SHARE, told.deaf_per_day * 1.05, 1e-3)
    highest = min(told.most_per_day, MOST_PER_DAY)
    spread = np.geomspace(min(lowest, highest), highest, STOPS).tolist()
    return sorted({*spread, min(max(aimed, spread[0]), spread[-1])})


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
    if per_day is not None and not (isinstance(per_day, int | float) and 0.0 < per_day <= MOST_PER_DAY):
        raise RefusedError(422, f"False accepts per day must be a number above 0, and at most {MOST_PER_DAY:.0f}.")
    word.update(false_accepts_per_day=per_day)


def chosen(word: Word) -> PerWord:
    """The false accepts per day that were chosen for a word; nothing for those of its training."""
    per_day = word.about.get("false_accepts_per_day")
    return PerWord(float(per_day)) if isinstance(per_day, int | float) else BUNDLES_OWN


def _point(setting: Setting, asked: float) -> dict[str, Any]:
    """A stop of the slider."""
    limits = {"recall": setting.recall, "recall_low": setting.recall_low, "recall_high": setting.recall_high}
    return {"per_day": asked, "per_day_high": setting.per_day_high, "threshold": setting.threshold, **limits, "beyond": setting.beyond}
