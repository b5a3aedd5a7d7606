import os
import time
from dataclasses import replace
from pathlib import Path

import onnxruntime
import pytest

from speechtl.errors import BundleError
from speechtl.runtime.bundle.wake_word import open_bundle
from speechtl.runtime.engine import passed, trial
from speechtl.runtime.engine.passed import FOLDER, has_passed, remember, trial_name
from speechtl.runtime.engine.select import open_engine


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SPEECHTL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / FOLDER


@pytest.fixture
def tried(cache, monkeypatch):
    """What was tried out so far."""
    tried = []
    monkeypatch.setattr(trial, "try_out", lambda work, size, what: tried.append(what))
    return tried


def test_a_graph_is_tried_out_at_the_first_start_only(tiny_bundle, tried, cache):
    for _ in range(3):
        open_engine(open_bundle(tiny_bundle))
    assert len(tried) == 1
    assert [file.stat().st_size for file in cache.iterdir()] == [0]


def test_another_graph_is_tried_again(tiny_bundle, remake, tried):
    bundle = open_bundle(tiny_bundle)
    open_engine(bundle)
    open_engine(open_bundle(remake(files={"model.onnx": bundle.files["model.onnx"] + b"\x32\x00"})))  # an empty text about the graph
    assert len(tried) == 2


def test_a_graph_with_other_settings_is_tried_again(tiny_bundle, remake, tried):
    bundle = open_bundle(tiny_bundle)
    open_engine(bundle)
    open_engine(open_bundle(remake({"chunk": {**bundle.about["chunk"], "silent_steps": bundle.silent_steps + 1}})))
    assert len(tried) == 2


def test_a_graph_is_tried_again_in_another_release_of_its_runtime(tiny_bundle, tried, monkeypatch):
    open_engine(open_bundle(tiny_bundle))
    monkeypatch.setattr(onnxruntime, "__version__", "99.0")
    open_engine(open_bundle(tiny_bundle))
    assert len(tried) == 2


def test_a_runtime_within_a_packed_program_runs(tiny_bundle, tried, monkeypatch):
    monkeypatch.setattr(onnxruntime, "__file__", "/nowhere/onnxruntime/__init__.py")
    open_engine(open_bundle(tiny_bundle))
    open_engine(open_bundle(tiny_bundle))
    assert len(tried) == 1


def test_a_child_that_does_not_end_is_ended(monkeypatch):
    monkeypatch.setattr(trial, "PATIENCE", 0.1)
    monkeypatch.setattr(trial, "SECONDS", 2)
    with pytest.raises(BundleError, match=r"a\.tflite takes longer than 0\.2 s to start"):
        trial.try_out(lambda: time.sleep(60), 0, "a.tflite")


def test_a_process_that_may_not_set_limits_tries_graphs_without(monkeypatch):
    monkeypatch.setattr("resource.setrlimit", _denied)
    trial.try_out(lambda: None, 0, "a.tflite")


def _denied(*limit):
    raise PermissionError("not allowed to raise maximum limit")


def test_a_graph_of_this_process_is_not_tried(tiny_bundle, tried):
    open_engine(replace(open_bundle(tiny_bundle), made_here=True))
    assert tried == []


def test_a_trial_that_failed_is_not_remembered(cache):
    name = trial_name("0" * 64, onnxruntime)
    for _ in range(2):
        with pytest.raises(BundleError):
            trial.try_once(name, os.abort, 0, "a.tflite")
    assert not has_passed(name)


def test_a_folder_that_others_may_write_to_is_not_believed(cache):
    remember("a" * 64)
    assert has_passed("a" * 64)
    cache.chmod(0o777)
    assert not has_passed("a" * 64)
    remember("b" * 64)
    assert not (cache / ("b" * 64)).exists()


def test_without_a_home_or_a_folder_to_write_to_graphs_are_tried_every_time(tiny_bundle, tried, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("SPEECHTL_CACHE", str(tmp_path / "file"))
    open_engine(open_bundle(tiny_bundle))
    monkeypatch.delenv("SPEECHTL_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", _no_home)
    open_engine(open_bundle(tiny_bundle))
    assert len(tried) == 2


def _no_home():
    raise RuntimeError("Could not determine home directory.")


def test_old_trials_are_forgotten(cache, monkeypatch):
    monkeypatch.setattr(passed, "MOST", 3)
    for number in range(5):
        remember(str(number))
    assert sorted(file.name for file in cache.iterdir()) == ["3", "4"]
