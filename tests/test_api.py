"""The public names of `import speechtl`."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import speechtl
from speechtl.audio.recipe import read_recipe
from speechtl.errors import RecipeError

HEAVY = ("torch", "pydantic", "lightning_fabric", "scipy", "onnx")


def test_names_that_devices_use_load_nothing_of_training():
    names = ", ".join(f"speechtl.{name}" for name in ("Detector", "Event", "train", "evaluate", "export"))
    code = f"import sys, speechtl; {names}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "speechtl.runtime.detector" in loaded
    assert not set(loaded).intersection(HEAVY)


def test_public_names_are_listed_and_documented():
    for name in set(speechtl.__all__) - {"__version__"}:
        assert name in dir(speechtl)
        assert getattr(speechtl, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = speechtl.nothing


def test_export_is_a_package_and_a_function(tiny_run, monkeypatch):
    from speechtl.export.bundle import ONNX

    given = []
    monkeypatch.setattr("speechtl.export.bundle.export_runs", lambda *arguments: given.append(arguments))
    monkeypatch.setattr("speechtl.audio.run.load_run", lambda folder: tiny_run)
    for runs in (tiny_run, "runs/burst", [tiny_run], [Path("runs/burst")]):
        assert speechtl.export(runs, "burst.wake", int8=False, tflite=False) == Path("burst.wake")
    assert given == [([tiny_run], Path("burst.wake"), [ONNX])] * 4


@pytest.fixture
def trainings(monkeypatch, tiny_run):
    """The arguments of trainings, which are not run."""
    given = []
    monkeypatch.setattr("speechtl.audio.training.train.train", lambda recipe, out, resume: given.append((recipe, str(out), resume)))
    monkeypatch.setattr("speechtl.audio.run.load_run", lambda folder: tiny_run)
    return given


def test_a_recipe_is_trained_from_a_file_or_from_memory(corpus, known_tiny, trainings, tiny_run):
    recipe = read_recipe(corpus / "word.toml")
    assert speechtl.train(str(corpus / "word.toml"), "out") is tiny_run
    assert speechtl.train(speechtl.Recipe(**recipe.model_dump()), resume=True) is tiny_run
    assert trainings == [(recipe, "out", False), (recipe, f"runs/{recipe.name}", True)]


def test_a_wrong_recipe_is_a_sentence(tmp_path):
    with pytest.raises(RecipeError, match="does not exist; give a recipe file"):
        speechtl.train(tmp_path / "none.toml")


def test_a_bundle_is_evaluated_on_one_manifest_or_several(tiny_bundle, corpus):
    given = {"negatives": corpus / "negatives.jsonl", "out": corpus / "report"}
    report = speechtl.evaluate(tiny_bundle, str(corpus / "positives.jsonl"), **given)
    assert report["positives"]["recall"] == 1.0
    assert json.loads((corpus / "report" / "report.json").read_text()) == report
    strict = speechtl.evaluate(tiny_bundle, [corpus / "positives.jsonl"], [corpus / "negatives.jsonl"], threshold=1.0)
    assert (strict["threshold"], strict["positives"]["detected"]) == (1.0, 0)


@pytest.mark.slow
def test_a_word_is_trained_evaluated_exported_and_detected_in_six_lines(corpus, known_tiny, bursts, monkeypatch):
    monkeypatch.chdir(corpus)
    run = speechtl.train("word.toml", "runs/word")
    report = speechtl.evaluate(run, "positives.jsonl", "negatives.jsonl")
    detector = speechtl.Detector.open(speechtl.export(run, "word.wake", int8=False, tflite=False))
    events = detector.feed(bursts((0.5,), 1.5).astype(np.float32))
    assert (run.name, report["name"], [word.name for word in detector.words]) == ("burst", "burst", ["burst"])
    assert report["positives"]["clips"] == 3
    assert all(isinstance(event, speechtl.Event) for event in events)
