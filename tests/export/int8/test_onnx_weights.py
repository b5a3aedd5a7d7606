"""Layers of an ONNX graph: what is known of their inputs stands where their weights do."""

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from speechtl.export.int8.onnx_weights import layers

LEVELS = 7


def graph_of(*nodes, weights):
    """Return a model that takes "x" of any shape and gives out what every node gives; `weights` are by name."""
    return helper.make_model(
        helper.make_graph(
            nodes,
            "graph",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["a", "b", "c", "d"])],
            [helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, None) for node in nodes],
            [numpy_helper.from_array(values.astype(np.float32), name) for name, values in weights.items()],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )


def run(model, inputs):
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, {"x": inputs})


def smooth(channels):
    """Return inputs `(1, channels, 200, 10)` whose neighbours and channels go together."""
    random = np.random.default_rng(0)
    slow = np.cumsum(random.normal(size=(3, 200, 10)), axis=1) / 5 + 1
    mixed = np.einsum("cs,sht->cht", random.normal(size=(channels, 3)), slow)
    return (mixed + 0.1 * random.normal(size=mixed.shape))[None].astype(np.float32)


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        ((12, 8, 1, 1), {}),
        ((12, 4, 3, 2), {"group": 2, "strides": [1, 2], "pads": [0, 1, 0, 1]}),
        ((16, 1, 5, 1), {"group": 8, "dilations": [2, 1]}),
        ((6, 8, 3, 3), {"pads": [2, 1, 0, 1]}),
    ],
)
def test_rounding_by_what_goes_in_moves_the_output_less_than_nearest_rounding(shape, told):
    weights = np.random.default_rng(1).normal(size=shape)
    inputs = smooth(8)
    models = [graph_of(helper.make_node("Conv", ["x", "w"], ["y"], **told), weights={"w": weights}) for _ in range(3)]
    for model, watched in zip(models[1:], (True, False), strict=True):
        (layer,) = layers(model, [], LEVELS)
        if watched:
            layer.watch({"x": inputs})
        scales = [one["scale"] for one in layer.round()]
        held = numpy_helper.to_array(model.graph.initializer[0]) / np.reshape(scales, (-1, 1, 1, 1))
        assert np.allclose(held, np.rint(held), atol=1e-5)
        if not watched:
            assert np.abs(held - weights / np.reshape(scales, (-1, 1, 1, 1))).max() <= 0.5 + 1e-5
    (meant,), (made,), (nearest,) = (run(model, inputs) for model in models)
    assert np.square(made - meant).mean() < 0.4 * np.square(nearest - meant).mean()


def test_layers_that_share_weights_are_rounded_once_by_what_goes_into_both():
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"]), helper.make_node("Conv", ["y", "w"], ["z"])]
    model = graph_of(*nodes, weights={"w": np.random.default_rng(2).normal(size=(8, 8, 1, 1))})
    (layer,) = layers(model, [], LEVELS)
    with pytest.raises(KeyError, match="y"):
        layer.watch({"x": smooth(8)})


def test_weights_that_something_in_float_uses_too_are_left_alone():
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"], name="int8"), helper.make_node("Conv", ["x", "w"], ["z"], name="float")]
    model = graph_of(*nodes, weights={"w": np.ones((8, 8, 1, 1))})
    assert layers(model, ["float"], LEVELS) == []


def test_convolutions_that_do_not_say_how_they_are_padded_are_left_to_the_quantizer():
    model = graph_of(helper.make_node("Conv", ["x", "w"], ["y"], auto_pad="SAME_UPPER"), weights={"w": np.ones((8, 8, 3, 3))})
    assert layers(model, [], LEVELS) == []
