"""All graphs of a bundle: what they are, what they cost, and what refuses them."""

import hashlib
import json
import sys
from importlib.util import find_spec

import numpy as np
import pytest

from speechtl.errors import CheckFailedError, SpeechtlError
from speechtl.export import bundle as module
from speechtl.export.bundle import ORDER, export_run, export_runs, graphs_for
from speechtl.export.int8.calibration import Accuracy
from speechtl.runtime.bundle.wake_word import open_bundle
from speechtl.runtime.detector import Detector, Scorer
from speechtl.runtime.engine.select import open_engine
from speechtl.runtime.parity import verify


def int8_only(run, out):
    return export_runs([run], out, ["model.int8.onnx", "model.onnx"])


def test_all_four_graphs_give_the_networks_scores(full_bundle):
    results = verify(open_bundle(full_bundle))
    assert [result.graph for result in results] == ["model.int8.tflite", "model.tflite", "model.int8.onnx", "model.onnx"]
    assert all(result.ok for result in results)
    for result in results:
        assert result.largest_difference < (0.1 if "int8" in result.graph else 1e-5)


def test_every_graph_finds_the_bursts(full_bundle, bursts):
    sound = bursts((0.6, 2.0), 3.2)
    for graph in ORDER:
        events = Detector.open(full_bundle, graph=graph).feed(sound)
        assert len(events) == 2, graph


def test_int8_states_are_bytes_and_features_are_float(full_bundle):
    bundle = open_bundle(full_bundle)
    for graph, kind in (("model.int8.onnx", np.uint8), ("model.int8.tflite", np.int8)):
        session = open_engine(bundle, graph)._session
        kinds = {name: tensor.dtype for name, tensor in session.inputs.items()}
        assert kinds["log_mel"] == np.float32
        assert session.outputs["score"].dtype == np.float32
        assert kinds["state_1"] == kind
        for state in bundle.states:
            assert session.inputs[state.name] == session.outputs[state.output]


def test_int8_weights_have_a_scale_for_every_channel_and_few_different_ones(full_bundle):
    from speechtl.export.int8.tflite import CHANNELS
    from speechtl.export.int8.tflite_model import TfliteGraph, read_model

    graph = TfliteGraph(read_model(open_bundle(full_bundle).files["model.int8.tflite"]))
    weights = [
        (graph.tensors[int(operator.inputs[1])], CHANNELS[graph.kind(operator)])
        for operator in graph.operators
        if graph.kind(operator) in CHANNELS
    ]
    quantised = [(tensor, axis) for tensor, axis in weights if tensor.quantization is not None and tensor.quantization.scale is not None]
    assert len(quantised) >= 4
    for tensor, axis in quantised:
        assert len(tensor.quantization.scale) == tensor.shape[axis]
        assert tensor.shape[axis] == 1 or tensor.quantization.quantizedDimension == axis
        eighths = 8 * np.log2(tensor.quantization.scale)
        np.testing.assert_allclose(eighths, np.round(eighths), atol=1e-3)


def test_int8_is_smaller(full_bundle):
    files = open_bundle(full_bundle).files
    assert len(files["model.int8.tflite"]) < len(files["model.tflite"])


def test_the_bundle_tells_what_int8_was_calibrated_on_and_what_it_costs(full_bundle):
    about = open_bundle(full_bundle).about
    told = about["calibration"]["burst"]
    assert told["seed"] == module.calibration.SEED
    assert len(told["recordings"]) > 5
    assert set(told["recordings"]) <= set(about["data"]["recordings"].split())
    for graph in ("model.int8.onnx", "model.int8.tflite"):
        (cost,) = about["graphs"][graph]["accuracy"]
        assert cost["word"] == "burst"
        assert cost["ok"] is True
        assert cost["clips"] > 10
        assert cost["detected"] == cost["detected_fp32"]


def test_calibration_hears_what_was_trained_on_and_checks_on_others_of_it(recorded_run):
    run = recorded_run()
    learned = run.about["data"]["recordings"].split()
    run.about["data"]["recordings"] = " ".join(learned[1:])  # as if the first had been left out
    material = module.calibration.choose(run)
    measured, checked = (
        {recording.clip.short_hash for recording in recordings}
        for recordings in ([*material.positives, *material.negatives], [*material.checked_positives, *material.checked_negatives])
    )
    assert measured
    assert checked
    assert measured.isdisjoint(checked)
    assert measured | checked == set(learned[1:])


@pytest.mark.slow
def test_int8_that_costs_accuracy_is_said_and_never_runs_by_default(recorded_run, tmp_path, monkeypatch, capsys):
    worse = Accuracy("burst", 100, 90, 100, 1.0, 0, 0)
    monkeypatch.setattr(module.Check, "compare", lambda self, scorer, fp32: worse)
    int8_only(recorded_run(), tmp_path / "a.wake")
    bundle = open_bundle(tmp_path / "a.wake")
    assert bundle.graphs["model.int8.onnx"].default is False
    assert max(np.abs(held).max() for held in int8_weights(bundle.files["model.int8.onnx"])) <= 72  # finer steps did not help either
    assert open_engine(bundle).graph == "model.onnx"
    assert open_engine(bundle, "model.int8.onnx").graph == "model.int8.onnx"
    assert "90 of 100 words where fp32 detects 100" in capsys.readouterr().err


INT8 = [
    "model.int8.onnx",
    pytest.param("model.int8.tflite", marks=pytest.mark.skipif(find_spec("litert_torch") is None, reason="litert-torch is not installed")),
]


@pytest.mark.slow
@pytest.mark.parametrize("graph", INT8)
def test_weights_get_finer_steps_where_few_levels_cost_accuracy(recorded_run, tmp_path, monkeypatch, capsys, graph):
    worse, as_good = Accuracy("burst", 100, 90, 100, 1.0, 0, 0), Accuracy("burst", 100, 100, 100, 1.0, 0, 0)
    results = {"few.wake": [as_good], "all.wake": [worse, as_good]}
    finest = {}
    for name, left in results.items():
        monkeypatch.setattr(module.Check, "compare", lambda self, scorer, fp32, left=left: left.pop(0))
        about = export_runs([recorded_run()], tmp_path / name, [graph])
        assert about["graphs"][graph].get("default", True)
        assert about["graphs"][graph]["accuracy"] == [as_good.to_json()]
        finest[name] = max(np.abs(held).max() for held in int8_weights(open_bundle(tmp_path / name).files[graph]))
    assert finest["few.wake"] <= 72
    assert finest["all.wake"] > 116  # all 127, less than an eighth of an octave
    assert "finer steps" in capsys.readouterr().err


def int8_weights(content):
    """Return the weights of every int8 convolution or dense layer of a graph."""
    if content[4:8] == b"TFL3":
        from speechtl.export.int8.tflite import CHANNELS
        from speechtl.export.int8.tflite_model import TfliteGraph, read_model

        graph = TfliteGraph(read_model(content))
        weights = [graph.tensors[int(operator.inputs[1])] for operator in graph.operators if graph.kind(operator) in CHANNELS]
        quantised = [tensor for tensor in weights if tensor.quantization is not None and tensor.quantization.scale is not None]
        return [np.frombuffer(bytes(graph.model.buffers[tensor.buffer].data), np.int8).astype(int) for tensor in quantised]
    import onnx

    held = [onnx.numpy_helper.to_array(tensor) for tensor in onnx.load_from_string(content).graph.initializer]
    return [weights.astype(int).reshape(-1) for weights in held if weights.dtype == np.int8 and weights.ndim == 4]


@pytest.mark.slow
def test_int8_alone_that_costs_accuracy_is_not_written(recorded_run, tmp_path, monkeypatch):
    monkeypatch.setattr(module.Check, "compare", lambda self, scorer, fp32: Accuracy("burst", 100, 99, 100, 1.0, 0, 0))
    with pytest.raises(CheckFailedError, match="no float graph was requested that could run by default"):
        export_runs([recorded_run()], tmp_path / "a.wake", ["model.int8.onnx"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("detected", "accepts", "ok"), [(199, 0, True), (198, 0, False), (200, 3, False), (200, 2, True)], ids=str)
def test_half_a_point_of_recall_and_false_accepts_within_the_limit_are_allowed(detected, accepts, ok):
    assert Accuracy("x", 200, detected, 200, 1.0, accepts, 0).ok is ok  # no event: at most 3.0 (95 %)


def test_recordings_that_are_not_here_are_an_error_that_says_what_to_do(tiny_run, recorded_run, tmp_path):
    with pytest.raises(SpeechtlError, match=r"none of them is on this machine.*SPEECHTL_DATA.*--no-int8"):
        export_run(tiny_run, tmp_path / "a.wake", tflite=False)
    moved = recorded_run()
    moved.about["recipe"]["data"]["positives"] = [str(tmp_path / "gone.jsonl")]
    with pytest.raises(SpeechtlError, match=r"--no-int8.*gone\.jsonl"):
        export_run(moved, tmp_path / "a.wake", tflite=False)
    assert list(tmp_path.iterdir()) == []


def test_silent_recordings_are_an_error(recorded_run, tmp_path):
    import soundfile

    soundfile.write(tmp_path / "silent.wav", np.zeros(32_000), 16_000)
    digest = hashlib.sha256((tmp_path / "silent.wav").read_bytes()).hexdigest()
    line = json.dumps({"audio_filepath": "silent.wav", "duration": 2.0, "sha256": digest})
    (tmp_path / "silent.jsonl").write_text(line + "\n")
    run = recorded_run()
    run.about["recipe"]["data"] = {kind: [str(tmp_path / "silent.jsonl")] for kind in ("positives", "negatives")}
    run.about["data"] = {"recordings": digest[:12]}
    with pytest.raises(SpeechtlError, match="are silent"):
        int8_only(run, tmp_path / "a.wake")


@pytest.mark.slow
def test_an_operator_that_cannot_be_converted_is_one_sentence(tiny_run, tmp_path, monkeypatch):
    import torch

    monkeypatch.setattr(module.ExportStep, "forward", lambda self, *inputs: torch.linalg.eig(inputs[0][0, 0, :4, :4]))
    with pytest.raises(SpeechtlError, match="cannot be converted to ONNX") as caught:
        export_run(tiny_run, tmp_path / "a.wake", int8=False, tflite=False)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_layer_that_cannot_be_converted_is_named_with_its_operator(tiny, tmp_path):
    import torch

    class Odd(torch.nn.Module):
        def forward(self, inputs):
            return inputs + torch.linalg.eigvals(inputs[0, :4, :1, 0].expand(4, 4).contiguous()).real.sum()

    network = tiny()
    network.encoder.groups["second"].append(Odd())
    with pytest.raises(
        SpeechtlError, match=r"to ONNX: it has no operator 'linalg_eig', which the layer encoder\.second\.\d \(Odd\) uses\. Build"
    ):
        module.to_onnx(module.ExportStep([network]))


def test_an_unknown_graph_is_refused_with_those_there_are(tiny_run, tmp_path):
    with pytest.raises(SpeechtlError, match=r"no graph 'model\.int4\.onnx'.*model\.int8\.tflite"):
        export_runs([tiny_run], tmp_path / "a.wake", ["model.int4.onnx"])


def test_a_place_that_cannot_be_written_to_is_refused_before_the_work(tiny_run, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr(module, "ExportStep", lambda *arguments: pytest.fail("the work has begun"))
    with pytest.raises(SpeechtlError, match=r"cannot be written: .*file is not a folder"):
        export_runs([tiny_run], tmp_path / "file" / "a.wake", ["model.onnx"])


@pytest.mark.slow
def test_a_bundle_without_golden_audio_runs_and_says_that_it_cannot_be_verified(tiny_run, tmp_path, bursts):
    export_runs([tiny_run], tmp_path / "a.wake", ["model.onnx"], golden=False)
    assert len(Detector.open(tmp_path / "a.wake").feed(bursts((0.6,), 2.0))) == 1
    with pytest.raises(SpeechtlError, match="no golden audio"):
        verify(open_bundle(tmp_path / "a.wake"))


def test_what_is_left_out_is_left_out():
    assert graphs_for(int8=False, tflite=False) == ["model.onnx"]
    assert graphs_for(int8=True, tflite=False) == ["model.int8.onnx", "model.onnx"]
    assert graphs_for(int8=False, tflite=True) == ["model.tflite", "model.onnx"]


def test_tflite_is_there_when_its_converter_is_and_the_pip_command_is_said_when_it_is_not(monkeypatch, capsys):
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    assert graphs_for() == ["model.int8.onnx", "model.onnx"]
    assert "pip install 'speechtl[export]'" in capsys.readouterr().err
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: object())
    assert graphs_for() == list(ORDER)


@pytest.mark.slow
def test_insisting_on_tflite_without_its_converter_prints_the_pip_command(tiny_run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "litert_torch", None)
    with pytest.raises(SpeechtlError, match=r"pip install 'speechtl\[export\]'"):
        export_run(tiny_run, tmp_path / "a.wake", int8=False, tflite=True)
    assert list(tmp_path.iterdir()) == []


def test_scores_do_not_depend_on_the_chunk_in_int8(full_bundle, bursts):
    sound = bursts((0.6, 2.0), 3.0)
    for graph in ("model.int8.onnx", "model.int8.tflite"):
        scorer = Scorer.of(open_bundle(full_bundle), graph)
        whole = scorer.feed(sound)
        scorer.reset()
        parts = [scorer.feed(sound[start : start + 999]) for start in range(0, len(sound), 999)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)


@pytest.mark.slow
@pytest.mark.parametrize("head", ["gru", "attention"])
def test_heads_over_a_window_export_to_every_graph(recorded_run, tmp_path, bursts, head):
    pytest.importorskip("litert_torch", reason="litert-torch is not installed")
    pytest.importorskip("ai_edge_quantizer", reason="ai-edge-quantizer is not installed")
    about = export_runs([recorded_run(head=head)], tmp_path / "a.wake", ORDER)
    assert all(result["ok"] for result in about["parity"])
    assert {result["graph"] for result in about["parity"]} == set(ORDER)
    found = {graph: Detector.open(tmp_path / "a.wake", graph=graph).feed(bursts((0.6, 2.0), 3.2)) for graph in ORDER}
    assert len(found["model.onnx"]) >= 2
    assert all([event.time for event in events] == [event.time for event in found["model.onnx"]] for events in found.values())


@pytest.mark.slow
@pytest.mark.parametrize("graphs", [["model.onnx"], ["model.onnx", "model.int8.onnx"]])
def test_every_stage_is_counted(recorded_run, graphs):
    stages = []
    module._make([recorded_run()], graphs, lambda done, total: stages.append((done, total)))
    assert stages == [(done, len(stages) - 1) for done in range(len(stages))]
