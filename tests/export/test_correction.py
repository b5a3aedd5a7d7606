import numpy as np
import pytest

from speechtl.export.bundle import ORDER, export_runs
from speechtl.export.correction import mean_shifts, shift_onnx, shift_tflite
from speechtl.runtime.bundle import open_bundle
from speechtl.runtime.engine import open_engine

FRAMES = np.random.default_rng(0).uniform(4, 10, (80, 32)).astype(np.float32)


def sigmoid(logits):
    return (1.0 / (1.0 + np.exp(-np.asarray(logits, np.float64)))).astype(np.float32)


def logits(scores):
    scores = scores.astype(np.float64)
    return np.log(scores / (1.0 - scores))


def test_a_shift_is_found_for_every_word_whatever_scatters_around_it():
    random = np.random.default_rng(0)
    wanted = random.normal(0.0, 3.0, (2000, 2))
    given = wanted - [0.12, -0.05] + random.normal(0.0, 0.1, wanted.shape)
    assert mean_shifts(sigmoid(wanted), sigmoid(given)) == pytest.approx([0.12, -0.05], abs=0.01)


def test_what_happens_far_from_a_decision_does_not_count():
    wanted = np.concatenate([np.full(100, 0.3), np.full(1000, -9.0)])[:, None]
    given = wanted - np.concatenate([np.full(100, 0.1), np.full(1000, -0.5)])[:, None]
    assert mean_shifts(sigmoid(wanted), sigmoid(given)) == pytest.approx([0.1], abs=0.015)


def test_few_steps_near_a_decision_move_little_and_none_nothing():
    wanted = np.full((50, 1), -12.0)
    assert mean_shifts(sigmoid(wanted), sigmoid(wanted - 1.0)) == pytest.approx([0.0], abs=1e-3)
    wanted[:2] = 0.0
    assert 0.0 < mean_shifts(sigmoid(wanted), sigmoid(wanted - 1.0))[0] < 0.25


@pytest.mark.parametrize("heads", [("linear", "conv"), ("conv", "conv")], ids=["side by side", "joined"])
def test_the_logits_of_each_word_rise_by_its_shift(recorded_run, remake, tmp_path, heads):
    runs = [recorded_run(name, head) for name, head in zip(("burst", "bang"), heads, strict=True)]
    export_runs(runs, tmp_path / "a.wake", ["model.onnx"])
    bundle = open_bundle(tmp_path / "a.wake")
    changed = dict(bundle.about) | {"graphs": {"model.onnx": bundle.about["graphs"]["model.onnx"]}}
    shifted = remake(changed, {"model.onnx": shift_onnx(bundle.files["model.onnx"], np.float32([0.25, -0.5]))})
    before, after = (logits(open_engine(open_bundle(path)).run(FRAMES)) for path in (tmp_path / "a.wake", shifted))
    np.testing.assert_allclose(after - before, np.tile([0.25, -0.5], (len(before), 1)), atol=1e-3)


def test_the_logits_rise_in_every_graph(full_bundle, tmp_path):
    from speechtl.runtime.bundle import write_bundle

    bundle = open_bundle(full_bundle)
    files = dict(bundle.files)
    for graph in ORDER:
        files[graph] = (shift_tflite if "tflite" in graph else shift_onnx)(files[graph], np.float32([0.25]))
    write_bundle(tmp_path / "b.wake", bundle.about, files)
    for graph in ORDER:
        before, after = (logits(open_engine(open_bundle(path), graph).run(FRAMES)) for path in (full_bundle, tmp_path / "b.wake"))
        np.testing.assert_allclose(after - before, 0.25, atol=1e-3)
