from types import SimpleNamespace

import numpy as np
import pytest

from speechtl.errors import SpeechtlError
from speechtl.runtime.bundle.wake_word import State, open_bundle
from speechtl.runtime.engine.select import RUNTIMES, open_engine
from speechtl.runtime.engine.tflite import TfliteSession

STATE = State("state_0", "new_state_0", (1, 1, 2, 1))


class Interpreter:
    """What TFLite's interpreter does, with a graph that gives its state plus one: in int8, and in another scale than it takes it."""

    def __init__(self, model_content: bytes, num_threads: int) -> None:
        assert num_threads == 1
        self.memory = {}

    def allocate_tensors(self) -> None:
        pass

    def get_input_details(self):
        return [tensor("log_mel", 0, (1, 4, 1, 1), np.float32), tensor("state_0", 1, (1, 2, 1, 1), np.int8, (0.5, 0))]

    def get_output_details(self):
        return [tensor("score", 2, (1, 1), np.int8, (1 / 256, -128)), tensor("new_state_0", 3, (1, 2, 1, 1), np.int8, (0.25, 10))]

    def set_tensor(self, index, values):
        details = next(one for one in self.get_input_details() if one["index"] == index)
        assert values.dtype == details["dtype"]
        assert values.shape == tuple(details["shape"])
        self.memory[index] = values.copy()

    def invoke(self) -> None:
        state = self.memory[1].astype(np.float32) * 0.5 + 1.0
        self.memory[3] = np.clip(np.round(state / 0.25) + 10, -128, 127).astype(np.int8)
        self.memory[2] = np.full((1, 1), round(float(self.memory[0].mean()) * 256) - 128, np.int8)

    def get_tensor(self, index):
        return self.memory[index].copy()


def tensor(name, index, shape, dtype, quantization=(0.0, 0)):
    return {"name": name, "index": index, "shape": np.array(shape), "dtype": dtype, "quantization": quantization}


def test_a_state_of_another_scale_than_the_one_it_replaces_is_quantised_again():
    session = TfliteSession(SimpleNamespace(Interpreter=Interpreter), b"")
    session.bind([STATE])
    session.load([np.zeros((1, 2, 1, 1))])
    for count in range(1, 5):
        score = session.step(np.full((4, 1), 0.25, np.float32))
        assert score == pytest.approx([0.25])
        np.testing.assert_array_equal(session.save()[0].ravel(), [2 * count] * 2)  # count, in steps of a half


def test_what_was_saved_is_where_a_stream_goes_on():
    session = TfliteSession(SimpleNamespace(Interpreter=Interpreter), b"")
    session.bind([STATE])
    session.load([np.full((1, 2, 1, 1), 6)])
    saved = session.save()
    session.step(np.zeros((4, 1), np.float32))
    session.load(saved)
    np.testing.assert_array_equal(session.save()[0].ravel(), [6, 6])


def litert_only(monkeypatch, *missing):
    for name in missing:
        monkeypatch.setitem(RUNTIMES, name, SimpleNamespace(**(vars(RUNTIMES[name]) | {"installed": False})))


def test_the_preferred_graph_runs_where_its_runtime_is_and_the_next_one_where_it_is_not(full_bundle, monkeypatch):
    bundle = open_bundle(full_bundle)
    assert open_engine(bundle).graph == "model.int8.tflite"
    assert open_engine(bundle, engine="onnxruntime").graph == "model.int8.onnx"
    assert open_engine(bundle, "model.tflite").runtime == "ai-edge-litert"
    litert_only(monkeypatch, "ai-edge-litert", "tflite-runtime")
    assert open_engine(bundle).graph == "model.int8.onnx"
    with pytest.raises(SpeechtlError, match=r"No installed runtime runs model\.tflite.*pip install ai-edge-litert"):
        open_engine(bundle, "model.tflite")


def test_an_engine_that_is_not_known_or_does_not_fit_is_refused(full_bundle):
    bundle = open_bundle(full_bundle)
    with pytest.raises(SpeechtlError, match=r"'onnxruntme' is not known \(did you mean 'onnxruntime'\?\)"):
        open_engine(bundle, engine="onnxruntme")
    with pytest.raises(SpeechtlError, match=r"onnxruntime does not run model\.tflite.*take: ai-edge-litert, tflite-runtime"):
        open_engine(bundle, "model.tflite", "onnxruntime")


def test_a_reset_and_a_second_engine_give_the_same_scores(full_bundle):
    frames = np.random.default_rng(0).uniform(4, 10, (40, 32)).astype(np.float32)
    for graph in ("model.tflite", "model.int8.tflite"):
        engine = open_engine(open_bundle(full_bundle), graph)
        first = engine.run(frames)
        engine.reset()
        np.testing.assert_array_equal(engine.run(frames), first)
        np.testing.assert_array_equal(open_engine(open_bundle(full_bundle), graph).run(frames), first)
