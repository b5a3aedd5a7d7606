import json
import re
import zipfile

import numpy as np
import pytest

from speechtl.errors import CheckFailedError
from speechtl.export import bundle as module
from speechtl.export.bundle import export_run
from speechtl.export.golden import golden_audio
from speechtl.export.step import ExportStep
from speechtl.runtime.bundle.wake_word import open_bundle


def test_a_bundle_carries_what_the_run_says_and_the_proof_of_its_parity(tiny_bundle, tiny_run):
    about = open_bundle(tiny_bundle).about
    assert about["detector"] == tiny_run.about["detector"]
    assert about["encoder"] == json.loads(json.dumps(tiny_run.about["encoder"]))
    assert about["parity"][0]["ok"] is True
    assert about["chunk"] == {"frames": 4, "samples": 640, "silent_steps": 3}
    assert about["features"]["kind"] == "log_mel"
    assert about["licence"]["commercial"] == "yes"


@pytest.mark.slow
def test_the_same_run_gives_the_same_graph_and_golden_audio(tiny_bundle, tiny_run, tmp_path):
    export_run(tiny_run, tmp_path / "again.wake", int8=False, tflite=False)
    with zipfile.ZipFile(tiny_bundle) as one, zipfile.ZipFile(tmp_path / "again.wake") as other:
        for name in one.namelist():
            assert one.read(name) == other.read(name), name


@pytest.mark.slow
def test_a_graph_that_differs_is_not_written(tiny, tiny_run, tmp_path, monkeypatch):
    real = module.to_onnx
    monkeypatch.setattr(module, "to_onnx", lambda step: real(ExportStep([tiny(seed=9)])))
    with pytest.raises(CheckFailedError, match=r"differs from the network by.*nothing was written"):
        export_run(tiny_run, tmp_path / "a.wake", int8=False, tflite=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_golden_audio_is_exact_in_int16_neither_silent_nor_clipped():
    audio, words = golden_audio(["computer"])
    np.testing.assert_array_equal(audio * 32768, np.round(audio * 32768))
    assert 2 * 16_000 < len(audio) < 20 * 16_000
    assert 0.1 < np.abs(audio).max() < 1.0
    again, same_words = golden_audio(["computer"])
    np.testing.assert_array_equal(again, audio)
    np.testing.assert_array_equal(same_words, words)


def test_golden_audio_says_where_its_words_stand():
    audio, words = golden_audio(["computer"])
    if len(words) == 0:
        pytest.skip("no speech synthesiser is installed: the golden audio holds no words")
    quiet = np.abs(audio[words[0, 0] - 4000 : words[0, 0]]).max()
    for start, end in words:
        assert 0.2 < (end - start) / 16_000 < 2.0
        assert np.abs(audio[start:end]).max() > 10 * quiet
        for outside in (audio[start - 4000 : start], audio[end : end + 4000]):
            assert np.abs(outside).max() <= 1.1 * quiet  # a word touches neither limit from outside


def test_a_bundle_says_how_to_run_its_graphs_by_keys_that_it_has(tiny_bundle):
    about = open_bundle(tiny_bundle).about
    keys = {*about, *about["features"], *about["detector"], *about["chunk"], "score", "log_mel"}
    named = {part: set(re.findall(r"`(\w+)`", text)) for part, text in about["how_to_run"].items()}
    assert named["features"] >= {"sample_rate", "dft", "hop", "window", "bands", "low_hz", "high_hz", "floor_db"}
    assert named["step"] >= {"chunk", "frames", "silent_steps"}
    assert named["event"] >= {"smoothing", "threshold", "refractory"}
    assert set().union(*named.values()) <= keys
