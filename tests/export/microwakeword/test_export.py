import dataclasses
import json
from types import SimpleNamespace

import pytest

from speechtl.audio.run import load_run, save_run
from speechtl.errors import ManifestError, SpeechtlError
from speechtl.export.microwakeword import cutoff, lessons, teach
from speechtl.export.microwakeword.export import check_exportable, export_student

ABOUT = {"licence": {"commercial": "yes", "reasons": ["11 clips are under CC0-1.0: no conditions"]}}


@pytest.fixture
def run(recorded_run, known_tiny, tmp_path):
    made = recorded_run(**ABOUT)
    recipe = {**made.about["recipe"], "name": "burst"}
    recipe["data"] = {**recipe["data"], "rooms": "none"}
    (tmp_path / "run").mkdir()
    save_run(tmp_path / "run", made.network, {**made.about, "recipe": recipe})
    return load_run(tmp_path / "run")


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(teach, "ROUNDS", 1)
    monkeypatch.setattr(teach, "EPOCHS", (1, 1))
    monkeypatch.setattr(teach, "STEPS", 2)
    monkeypatch.setattr(lessons, "BATCH", 8)
    monkeypatch.setattr(lessons, "STRETCHES", 4)
    monkeypatch.setattr(cutoff, "WINDOWS", (1,))
    monkeypatch.setattr("speechtl.audio.training.validation.ROOMS", 1)


def test_a_run_becomes_files_that_listeners_read(run, short, front_end, tmp_path):
    pytest.importorskip("ai_edge_litert")
    made = export_student(run, tmp_path / "out", "A. Nonymous")
    manifest = json.loads((tmp_path / "out" / "burst.json").read_text())
    assert made["manifest"] == manifest
    # What ESPHome's MANIFEST_SCHEMA_V2 requires.
    assert set(manifest) == {"type", "model", "author", "version", "wake_word", "trained_languages", "micro"}
    assert (manifest["type"], manifest["version"], manifest["author"]) == ("micro", 2, "A. Nonymous")
    assert (manifest["wake_word"], manifest["trained_languages"]) == ("burst", ["en"])
    micro = manifest["micro"]
    assert set(micro) == {
        *("feature_step_size", "tensor_arena_size", "probability_cutoff", "sliding_window_size", "minimum_esphome_version")
    }
    assert micro["feature_step_size"] == 10
    assert 0.0 < micro["probability_cutoff"] < 1.0
    assert (tmp_path / "out" / manifest["model"]).stat().st_size == made["bytes"]
    assert set(made["test"]) == {"student", "teacher"}
    assert made["test"]["student"]["positives"]["clips"] == made["test"]["teacher"]["positives"]["clips"] == 3
    card = (tmp_path / "out" / "burst.md").read_text()
    assert "| recall, clean |" in card
    assert "- model: burst.json" in card
    assert "11 clips are under CC0-1.0" in card


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"name": "größe"}, "called 'größe'"),
        ({"name": "VAD"}, "a detector of speech"),
        ({"phrases": ["vad"]}, "a detector of speech"),
    ],
)
def test_words_that_a_listener_cannot_have_are_refused(run, changes, sentence):
    with pytest.raises(SpeechtlError, match=sentence):
        check_exportable(dataclasses.replace(run, about={**run.about, **changes}))


def test_a_network_of_two_words_is_refused(run):
    network = SimpleNamespace(head=SimpleNamespace(words=2))
    with pytest.raises(SpeechtlError, match="has 2 words; a model of microWakeWord has one"):
        check_exportable(dataclasses.replace(run, network=network))


def test_a_run_without_its_recordings_is_refused(run, front_end, tmp_path):
    pytest.importorskip("ai_edge_litert")
    recipe = run.about["recipe"]
    recipe = {**recipe, "data": {**recipe["data"], "positives": [str(tmp_path / "gone.jsonl")]}}
    with pytest.raises(ManifestError, match=r"gone\.jsonl"):
        export_student(dataclasses.replace(run, about={**run.about, "recipe": recipe}), tmp_path / "out")
    assert not list((tmp_path / "out").glob("burst*"))
