import io
from dataclasses import replace

import numpy as np
import pytest

from speechtl.runtime import parity as module
from speechtl.runtime.bundle.wake_word import open_bundle
from speechtl.runtime.engine.select import RUNTIMES
from speechtl.runtime.parity import not_run, verify


def golden(bundle, change) -> dict[str, bytes]:
    arrays = open_bundle(bundle).golden()
    change(arrays)
    file = io.BytesIO()
    np.savez(file, **arrays)
    return {"golden.npz": file.getvalue()}


def test_an_untouched_bundle_passes_for_every_way_to_cut_the_audio(tiny_bundle):
    (result,) = verify(open_bundle(tiny_bundle))
    assert result.ok
    assert result.graph == "model.onnx"
    assert result.streams == 25
    assert result.largest_difference < 1e-5


def test_golden_scores_vary_enough_to_show_a_difference(tiny_bundle):
    arrays = open_bundle(tiny_bundle).golden()
    assert arrays["audio"].dtype == np.int16
    assert len(arrays["scores"]) > 50
    assert np.ptp(arrays["scores"]) > 0.5


@pytest.mark.parametrize(
    "change",
    [
        lambda arrays: arrays.update(scores=arrays["scores"] + np.float32(0.001)),
        lambda arrays: arrays["scores"].__setitem__(17, arrays["scores"][17] + 0.001),
        lambda arrays: arrays.update(scores=arrays["scores"][:-1]),
        lambda arrays: arrays["scores"].__setitem__(17, np.nan),
        lambda arrays: arrays.update(audio=np.roll(arrays["audio"], 800)),
    ],
    ids=["all", "one", "fewer", "NaN", "audio"],
)
def test_altered_golden_scores_fail(tiny_bundle, remake, change):
    (result,) = verify(open_bundle(remake(files=golden(tiny_bundle, change))))
    assert not result.ok


def test_an_altered_weight_fails(tiny_bundle, remake):
    import onnx
    from onnx import numpy_helper

    model = onnx.load_from_string(open_bundle(tiny_bundle).files["model.onnx"])
    tensor = max(model.graph.initializer, key=lambda candidate: numpy_helper.to_array(candidate).size)
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(1.01), tensor.name))
    (result,) = verify(open_bundle(remake(files={"model.onnx": model.SerializeToString()})))
    assert not result.ok


def test_graphs_of_other_runtimes_are_not_judged(remake):
    other = {"model.tflite": {"runtime": "xyz"}}
    assert verify(open_bundle(remake({"graphs": other}, {"model.tflite": b"x"}))) == []


def test_a_difference_that_is_no_number_in_one_of_the_ways_fails(tiny_bundle, monkeypatch):
    differences = iter([0.0] * 20 + [float("nan")] + [0.0] * 4)
    monkeypatch.setattr(module, "_difference", lambda *arguments: next(differences))
    (result,) = verify(open_bundle(tiny_bundle))
    assert not result.ok


def test_a_graph_that_was_not_measured_in_the_runtime_that_is_here_is_said_to_be_measured_by_name(remake, monkeypatch):
    changed = {"model.int8.onnx": {"runtime": "onnx", "precision": "int8"}}
    bundle = open_bundle(remake({"graphs": {"model.onnx": {"runtime": "onnx"}} | changed}, {"model.int8.onnx": b"x"}))
    monkeypatch.setitem(RUNTIMES, "onnxruntime", replace(RUNTIMES["onnxruntime"], precisions=("fp32",)))
    assert [result.graph for result in verify(bundle)] == ["model.onnx"]
    (said,) = not_run(bundle)
    assert f"speechtl verify {bundle.path} --graph model.int8.onnx" in said
