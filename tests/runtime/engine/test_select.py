import copy

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from speechtl.errors import BundleError, SpeechtlError
from speechtl.runtime.bundle.wake_word import open_bundle
from speechtl.runtime.engine.select import open_engine


def graph(inputs: dict[str, tuple[int, ...]], outputs: dict[str, tuple[int, ...]], taken: int = TensorProto.FLOAT) -> bytes:
    """Return a real ONNX graph of such inputs, of the type `taken`, whose outputs are constant floats."""
    nodes = [
        helper.make_node("ConstantOfShape", [f"{name}_shape"], [name], value=helper.make_tensor("value", TensorProto.FLOAT, [1], [0.5]))
        for name in outputs
    ]
    made = helper.make_graph(
        nodes,
        "made",
        [helper.make_tensor_value_info(name, taken, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [helper.make_tensor(f"{name}_shape", TensorProto.INT64, [len(shape)], shape) for name, shape in outputs.items()],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


STATES = [{"name": "state_0", "output": "new_state_0", "shape": [1, 2, 2, 2]}]
INPUTS = {"log_mel": (1, 1, 4, 32), "state_0": (1, 2, 2, 2)}
OUTPUTS = {"score": (1, 1), "new_state_0": (1, 2, 2, 2)}


def test_a_graph_that_fits_its_description_runs(remake):
    engine = open_engine(open_bundle(remake({"states": STATES}, {"model.onnx": graph(INPUTS, OUTPUTS)})))
    assert engine.run(np.zeros((12, 32), np.float32)).tolist() == [[0.5], [0.5], [0.5]]


@pytest.mark.parametrize(
    ("inputs", "outputs", "says"),
    [
        (INPUTS | {"log_mel": (1, 1, 8, 32)}, OUTPUTS, "'log_mel' should be"),
        (INPUTS | {"log_mel": (1, 1, 4, 40)}, OUTPUTS, "'log_mel' should be"),
        (INPUTS | {"state_0": (1, 2, 3, 2)}, OUTPUTS, "'state_0' should be"),
        (INPUTS | {"state_1": (1, 2)}, OUTPUTS, "'state_1' should be absent"),
        ({"sound": (1, 1, 4, 32), "state_0": (1, 2, 2, 2)}, OUTPUTS, "should be"),
        (INPUTS, {"new_state_0": (1, 2, 2, 2)}, "'score' should be .* is absent"),
        (INPUTS, {"score": (1, 1)}, "'new_state_0' should be .* is absent"),
    ],
)
def test_a_graph_with_other_inputs_or_outputs_is_refused(remake, inputs, outputs, says):
    bundle = open_bundle(remake({"states": STATES}, {"model.onnx": graph(inputs, outputs)}))
    with pytest.raises(BundleError, match=says):
        open_engine(bundle)


@pytest.mark.parametrize("content", [b"", b"no graph at all"])
def test_a_graph_that_cannot_be_loaded_is_refused_in_one_line(remake, content):
    bundle = open_bundle(remake(files={"model.onnx": content}))
    with pytest.raises(BundleError, match=r"cannot load model\.onnx") as caught:
        open_engine(bundle)
    assert "\n" not in str(caught.value)


def test_a_state_that_changes_its_type_is_refused(remake):
    bundle = open_bundle(remake({"states": STATES}, {"model.onnx": graph(INPUTS, OUTPUTS, TensorProto.UINT8)}))
    with pytest.raises(BundleError, match=r"cannot run model\.onnx: state_0 and new_state_0 are of different types"):
        open_engine(bundle)


def test_a_graph_that_fails_when_it_runs_is_refused_in_one_line(remake):
    model = onnx.load_from_string(graph(INPUTS, {name: shape for name, shape in OUTPUTS.items() if name != "score"}))
    model.graph.initializer.append(helper.make_tensor("impossible", TensorProto.INT64, [2], [7, 13]))
    model.graph.node.append(helper.make_node("Reshape", ["log_mel", "impossible"], ["reshaped"]))
    model.graph.node.append(helper.make_node("ReduceMean", ["reshaped"], ["mean"], keepdims=1))
    model.graph.node.append(helper.make_node("Identity", ["mean"], ["score"]))
    model.graph.output.append(helper.make_tensor_value_info("score", TensorProto.FLOAT, (1, 1)))
    bundle = open_bundle(remake({"states": STATES}, {"model.onnx": model.SerializeToString()}))
    with pytest.raises(BundleError, match=r"onnxruntime cannot run model\.onnx: .*--graph.*pip install -U onnxruntime") as caught:
        open_engine(bundle)
    assert "\n" not in str(caught.value)


def test_an_operator_that_is_not_known_is_refused(remake, tiny_bundle):
    model = onnx.load_from_string(open_bundle(tiny_bundle).files["model.onnx"])
    model.graph.node[0].op_type = "Oracle"
    with pytest.raises(BundleError, match="cannot load"):
        open_engine(open_bundle(remake(files={"model.onnx": model.SerializeToString()})))


def test_an_unknown_graph_is_refused_with_those_there_are(tiny_bundle):
    with pytest.raises(BundleError, match=r"no graph 'model\.int8\.onnx'; it has: model\.onnx"):
        open_engine(open_bundle(tiny_bundle), "model.int8.onnx")


def test_graphs_of_other_runtimes_are_passed_over_or_refused_by_name(remake):
    other = {"model.xyz": {"runtime": "xyz"}}
    both = open_bundle(remake({"graphs": other | {"model.onnx": {"runtime": "onnx"}}}, {"model.xyz": b"x"}))
    assert open_engine(both).graph == "model.onnx"
    with pytest.raises(SpeechtlError, match=r"No runtime that this version of speechtl supports runs model\.xyz"):
        open_engine(both, "model.xyz")
    with pytest.raises(SpeechtlError, match="pip install -U speechtl"):
        open_engine(open_bundle(remake({"graphs": other}, {"model.xyz": b"x"})))


def test_a_stream_begins_in_the_state_after_long_silence(tiny_bundle):
    engine = open_engine(open_bundle(tiny_bundle))
    scores = engine.run(np.full((400, 32), open_bundle(tiny_bundle).features.silence, np.float32))
    assert np.ptp(scores) < 1e-6


def test_a_reset_leads_back_to_silence(tiny_bundle):
    engine = open_engine(open_bundle(tiny_bundle))
    frames = np.random.default_rng(0).uniform(4, 10, (40, 32)).astype(np.float32)
    first = engine.run(frames)
    engine.reset()
    assert np.array_equal(engine.run(frames), first)
    assert not np.array_equal(engine.run(frames), first)


INT8 = {"model.int8.tflite": {"runtime": "tflite", "precision": "int8"}}


def certified(engine: str, ok: bool = True) -> list[dict]:
    return [{"graph": "model.int8.tflite", "engine": engine, "largest_difference": 0.01, "tolerance": 0.1, "streams": 25, "ok": ok}]


@pytest.mark.parametrize(
    "parity", [[], certified("ai-edge-litert"), certified("tflite-runtime", ok=False)], ids=["none", "other", "failed"]
)
def test_int8_is_not_left_by_itself_to_a_runtime_in_which_it_was_not_measured(remake, parity):
    path = remake({"graphs": INT8, "parity": parity}, {"model.int8.tflite": b"never loaded"})
    with pytest.raises(SpeechtlError, match=r"tflite-runtime does not run a graph of .*; take: ai-edge-litert"):
        open_engine(open_bundle(path), engine="tflite-runtime")


@pytest.mark.parametrize(("parity", "named"), [(certified("tflite-runtime"), None), ([], "model.int8.tflite")], ids=["measured", "by name"])
def test_int8_runs_in_tflite_runtime_where_it_was_measured_and_by_name(remake, parity, named):
    path = remake({"graphs": INT8, "parity": parity}, {"model.int8.tflite": b"no graph at all"})
    with pytest.raises(
        SpeechtlError, match=r"tflite-runtime cannot load|pip install tflite-runtime"
    ):  # it is what is taken, and it may be here
        open_engine(open_bundle(path), named, "tflite-runtime")


def test_engines_of_one_session_take_turns(tiny_bundle):
    frames = np.random.default_rng(0).uniform(-5, 10, (3, 40, 32)).astype(np.float32)
    first = open_engine(open_bundle(tiny_bundle))
    expected = []
    for stream in frames:
        first.reset()
        expected.append(first.run(stream))
    engines = [first, copy.copy(first), copy.copy(first)]
    for engine in engines:
        engine.reset()
    scores = [[], [], []]
    for start in range(0, 40, 8):
        for engine, stream, found in zip(engines, frames, scores, strict=True):
            found.append(engine.run(stream[start : start + 8]))
    np.testing.assert_array_equal([np.concatenate(parts) for parts in scores], expected)
