"""From a run to a student for microWakeWord's listeners: teach it, choose its cutoff, compare it with its teacher, and write its files.

FOLDER/NAME.tflite   the model
FOLDER/NAME.json     its manifest, version 2, which ESPHome, Home Assistant's satellites and pymicro-wakeword read
FOLDER/NAME.md       what it was made from, recall and false accepts beside the teacher's, and the lines for ESPHome
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from speechtl.audio.data.clips import read_clips
from speechtl.audio.evaluation.evaluate import play, report
from speechtl.audio.evaluation.material import Plan, gather
from speechtl.audio.evaluation.model import Model, open_model
from speechtl.audio.recipe import Recipe
from speechtl.audio.run import Run
from speechtl.audio.scripts import language_of
from speechtl.audio.spelling.material import completed
from speechtl.audio.training.selection import prepare
from speechtl.errors import AudioError, ManifestError, SpeechtlError
from speechtl.export.microwakeword.card import card
from speechtl.export.microwakeword.cutoff import Cutoff, choose, listen
from speechtl.export.microwakeword.features import HOP, MicroFeatures
from speechtl.export.microwakeword.int8 import quantise
from speechtl.export.microwakeword.listener import listener
from speechtl.export.microwakeword.model_file import to_tflite, utilities
from speechtl.export.microwakeword.student import folded
from speechtl.export.microwakeword.teach import teach
from speechtl.files import check_folder, write_json, write_text, writing
from speechtl.progress import say
from speechtl.runtime.samples import SAMPLE_RATE
from speechtl.runtime.trigger import TriggerSettings

VAD = "vad"  # ESPHome takes a model of this name for a detector of speech
ARENA = 30_000  # bytes of memory on the device: microWakeWord's own models with as many layers of these sizes take 22 to 24 kB
OLDEST_ESPHOME = "2024.7.0"  # the first that reads manifests of version 2


def export_student(run: Run, out: Path, author: str = "speechtl") -> dict[str, Any]:
    """Teach a student, and write it to a folder; return its manifest, its operating point, and the reports on test recordings.

    Raises `SpeechtlError` for a word that listeners cannot have, where packages are missing, and without the run's recordings.
    """
    check_exportable(run)
    check_folder(out)
    utilities()  # missing packages are told before the work, which takes minutes
    MicroFeatures()
    recipe = _recipe(run)
    data = prepare(recipe, say)
    student, examples = teach(recipe, data, run.network)
    content = to_tflite(quantise(folded(student), examples))
    heard = listen(listener(content), data, recipe.train.seed)
    cutoff = choose(heard, recipe.calibrate.false_accepts_per_hour, recipe.calibrate.refractory)
    made = {
        "manifest": manifest(run, cutoff, author),
        "bytes": len(content),
        "validation": cutoff.point.to_json(),
        "test": _compare(run, recipe, content, cutoff),
    }
    with writing(out / f"{run.name}.tflite") as beside:
        beside.write_bytes(content)
    write_json(out / f"{run.name}.json", made["manifest"])
    write_text(out / f"{run.name}.md", card(run, made))
    return made


def check_exportable(run: Run) -> None:
    """Raise `SpeechtlError` for a run whose word no listener can have."""
    if run.network.head.words != 1:
        raise SpeechtlError(f"{run.name} has {run.network.head.words} words; a model of microWakeWord has one. Train a run for each word.")
    if not run.name.isascii():
        raise SpeechtlError(
            f"ESPHome takes names of letters from a to z and digits, and this run is called {run.name!r}. "
            "Train it under another name (the phrases stay): speechtl train ... --name"
        )
    if VAD in (run.name.lower(), run.about["phrases"][0].lower()):
        raise SpeechtlError(f"ESPHome takes a model called {VAD!r} for a detector of speech; give the wake word another name.")


def manifest(run: Run, cutoff: Cutoff, author: str) -> dict[str, Any]:
    """The JSON that describes the model to listeners."""
    return {
        "type": "micro",
        "wake_word": run.about["phrases"][0],
        "author": author,
        "model": f"{run.name}.tflite",
        "trained_languages": _languages(run.about["phrases"][0]),
        "version": 2,
        "micro": {
            "probability_cutoff": cutoff.probability,
            "feature_step_size": HOP * 1000 // SAMPLE_RATE,
            "sliding_window_size": cutoff.window,
            "tensor_arena_size": ARENA,
            "minimum_esphome_version": OLDEST_ESPHOME,
        },
    }


def _languages(phrase: str) -> list[str]:
    try:
        return [language_of(phrase)[0].split("-")[0]]
    except AudioError:  # no voice reads the script, which says nothing of the recordings
        return []


def _recipe(run: Run) -> Recipe:
    """The run's recipe, with people held out in any case: the student's cutoff is chosen on them."""
    recipe = completed(Recipe.model_validate(run.about["recipe"]))
    return recipe.model_copy(update={"calibrate": recipe.calibrate.model_copy(update={"enabled": True})})


def _compare(run: Run, recipe: Recipe, content: bytes, cutoff: Cutoff) -> Mapping[str, Any] | None:
    """Reports on the student and its teacher, on test recordings; None where there are none."""
    teacher = open_model(run.folder)
    plan = Plan(recipe.data.positives, recipe.data.negatives, _tested(recipe.data.noise))
    try:
        material = gather(plan, teacher, say)
    except ManifestError as error:
        say(f"Student and teacher are not compared on new people, of whom there are no test recordings: {error}")
        return None
    heard = listener(content, cutoff.window)
    student = replace(teacher, scorer=heard, trigger=TriggerSettings(cutoff.score, 1, teacher.trigger.refractory))
    models: dict[str, Model] = {"student": student, "teacher": teacher}
    return {name: report(model, play(model, material), plan.split) for name, model in models.items()}


def _tested(paths: Sequence[Path]) -> list[Path]:
    """The manifests that have test recordings."""
    return [path for path in paths if any(clip.split == "test" for clip in read_clips([path], lambda text: None))]
