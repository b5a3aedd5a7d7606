import numpy as np
import onnx
import pytest

from speechtl.audio.evaluation.hours.steps import STEPS, ManySteps, widen, widened
from speechtl.runtime.bundle.wake_word import open_bundle
from speechtl.runtime.engine.select import open_engine


@pytest.fixture
def bundle(tiny_bundle):
    return open_bundle(tiny_bundle)


@pytest.fixture
def engine(bundle):
    return open_engine(bundle, "model.onnx")


@pytest.mark.parametrize("lengths", [[STEPS * 2 + 40], [1, 30, 1, STEPS, 3]])
def test_many_steps_at_a_time_give_the_scores_of_single_steps(bundle, engine, lengths):
    frames = np.random.default_rng(0).uniform(4.0, 9.0, (sum(lengths) * bundle.frames_per_step, bundle.features.bands)).astype(np.float32)
    many = ManySteps(widened(bundle, engine), bundle, engine)
    engine.reset()
    expected = engine.run(frames)
    assert np.ptp(expected) > 0.1
    for _ in range(2):  # a new stream begins like the first
        many.reset()
        ends = np.cumsum(lengths) * bundle.frames_per_step
        given = [many.run(part) for part in np.split(frames, ends[:-1])]
        assert [len(scores) for scores in given] == lengths
        np.testing.assert_allclose(np.concatenate(given), expected, atol=1e-6)


def test_a_graph_of_another_form_runs_step_by_step(bundle, engine, monkeypatch):
    model = onnx.load_model_from_string(bundle.files["model.onnx"])
    last = next(node for node in model.graph.node if node.op_type == "Gather")
    last.attribute[0].i = 1
    assert widen(model.SerializeToString()) is None
    monkeypatch.setattr("speechtl.audio.evaluation.hours.steps.widen", lambda content, axis: model.SerializeToString())
    assert widened(bundle, engine) is None  # also where the runtime refuses it, or its scores are others
