"""Train, evaluate and export wake words from Python; `import speechtl` offers these functions, with `Detector`, `Event` and `Recipe`.

    import speechtl

    run = speechtl.train("recipe.toml", "runs/computer")
    report = speechtl.evaluate(run, "positives.jsonl", "negatives.jsonl")
    detector = speechtl.Detector.open(speechtl.export(run, "computer.wake"))
    for event in detector.feed(samples):  # 16 kHz, chunks of any length
        print(event.name, event.time, event.score)

Progress goes to standard error. Errors are `speechtl.errors.SpeechtlError`, with a sentence that says what to do.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

if TYPE_CHECKING:
    from speechtl.audio.recipe import Recipe
    from speechtl.audio.run import Run

PathLike = Union[str, "os.PathLike[str]"]
RunLike = Union[PathLike, "Run"]


def train(recipe: PathLike | Recipe, out: PathLike | None = None, *, resume: bool = False) -> Run:
    """Train a wake word by transfer and calibrate its threshold; the same as `speechtl train`.

    Args:
        recipe: a recipe file (TOML), or a `Recipe`.
        out: folder for the run; by default `runs/NAME`.
        resume: continue a training that was interrupted.

    Returns the run: `run.folder`, and `run.about` with recall and false accepts of its `operating_points`.
    Raises `RecipeError` for a wrong recipe and `ManifestError` for recordings that cannot be used.
    """
    from speechtl.audio.recipe import Recipe, read_recipe
    from speechtl.audio.run import load_run
    from speechtl.audio.training.train import train as run_training

    made = recipe if isinstance(recipe, Recipe) else read_recipe(Path(recipe))
    folder = Path(out) if out is not None else Path("runs") / made.name
    run_training(made, folder, resume=resume)
    return load_run(folder)


def evaluate(
    model: RunLike,
    positives: PathLike | Sequence[PathLike],
    negatives: PathLike | Sequence[PathLike],
    *,
    noise: PathLike | Sequence[PathLike] = (),
    talk: PathLike | Sequence[PathLike] = (),
    music: PathLike | Sequence[PathLike] = (),
    rooms: PathLike | Sequence[PathLike] = (),
    snr_db: Sequence[float] = (),
    conditions: str = "given",
    split: str = "test",
    threshold: float | None = None,
    word: str | None = None,
    confusables: bool = False,
    out: PathLike | None = None,
) -> dict[str, Any]:
    """Measure the shipped detector on continuous audio; the same as `speechtl evaluate`.

    Args:
        model: a run or its folder, or a bundle; `word` selects one of its words, `threshold` replaces the calibrated one.
        positives, negatives: manifests or folders of recordings of the word, and of anything else.
        noise, music: the same of what the word is also played in, at each `snr_db`.
        talk, rooms: the same of speech, of which talk of several people and of one is made; and of impulse responses of rooms.
        snr_db: signal-to-noise ratios; by default 10 dB, or 20 to -5 dB with "world".
        conditions: "given", or "world" for simulated and far rooms, noise and babble in rooms, telephone, codec and levels, too.
        confusables: also speak words that sound like it; `report["confusables"]` says which were taken for it.
        split, out: split to use, of manifests with splits; folder for `report.json` and `report.html`.

    Returns the report, as `report.json` stores it: `report["positives"]["recall"]`, `report["negatives"]["per_hour"]`.
    """
    from speechtl.audio.evaluation.evaluate import evaluate as run_evaluation
    from speechtl.audio.evaluation.material import Plan
    from speechtl.audio.evaluation.model import open_model
    from speechtl.audio.evaluation.report import write_report
    from speechtl.progress import say

    around = _paths(noise), _paths(talk), _paths(music), _paths(rooms)
    plan = Plan(_paths(positives), _paths(negatives), *around, snr_db=snr_db, preset=conditions, split=split)
    opened = open_model(_folder(model), threshold, word=word)
    report = run_evaluation(opened, plan, say)
    if confusables:
        from speechtl.audio.spelling.fired import taken_for

        report["confusables"] = taken_for(opened)
    if out is not None:
        write_report(Path(out), report)
    return report


def export(runs: RunLike | Sequence[RunLike], out: PathLike, *, int8: bool = True, tflite: bool | None = None) -> Path:
    """Export runs as one bundle for the device; the same as `speechtl export`.

    Args:
        runs: a run or its folder; several must share a frozen encoder.
        out: the bundle to write, `NAME.wake`.
        int8: also export int8 graphs, calibrated on the recordings of the recipe.
        tflite: force or skip TFLite graphs; by default on if the converter is installed.

    Returns the path of the bundle. Raises `CheckFailedError` when a graph does not give the scores of the network.
    """
    from speechtl.audio.run import Run, load_run
    from speechtl.export.bundle import export_runs, graphs_for

    listed = [runs] if isinstance(runs, (str, os.PathLike, Run)) else runs
    loaded = [run if isinstance(run, Run) else load_run(Path(run)) for run in listed]
    export_runs(loaded, Path(out), graphs_for(loaded, int8=int8, tflite=tflite))
    return Path(out)


def _folder(model: RunLike) -> Path:
    return Path(model) if isinstance(model, (str, os.PathLike)) else model.folder


def _paths(given: PathLike | Sequence[PathLike]) -> list[Path]:
    return [Path(path) for path in ([given] if isinstance(given, (str, os.PathLike)) else given)]
