import numpy as np
import pytest

from speechtl.export.int8.onnx import quantise_onnx
from speechtl.export.onnx_graph import to_onnx
from speechtl.export.step import ExportStep

LEVELS = 40


@pytest.fixture(scope="module")
def graphs(tiny):
    """The float and the int8 graph of the tiny network with convolutions in its head, as onnx reads them."""
    import onnx

    step = ExportStep([tiny("conv")])
    frames = np.random.default_rng(0).uniform(step.features.silence, 10.0, (400, step.features.bands)).astype(np.float32)
    content = to_onnx(step)
    quantised = quantise_onnx(content, step.states(), [frames], step.silent_steps, LEVELS)
    return onnx.load_from_string(content), onnx.load_from_string(quantised)


@pytest.fixture
def quantised(graphs):
    return graphs[1]


def test_all_states_are_bytes_but_for_that_of_features(quantised):
    from onnx import TensorProto

    kinds = {value.name: value.type.tensor_type.elem_type for value in (*quantised.graph.input, *quantised.graph.output)}
    assert {kinds.pop(name) for name in ("log_mel", "state_0", "new_state_0", "score")} == {TensorProto.FLOAT}
    assert len(kinds) >= 6
    assert set(kinds.values()) == {TensorProto.UINT8}


def test_weights_have_a_scale_for_every_channel(quantised):
    from onnx import helper, numpy_helper

    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in quantised.graph.initializer}
    makers = {name: node for node in quantised.graph.node for name in node.output}
    weights = [makers[node.input[1]] for node in quantised.graph.node if node.op_type == "Conv" and node.input[1] in makers]
    assert len(weights) >= 3
    for node in weights:
        values, scale, zero = (constants[name] for name in node.input)
        (axis,) = (helper.get_attribute_value(attribute) for attribute in node.attribute if attribute.name == "axis")
        assert (values.dtype, axis) == (np.int8, 0)
        assert scale.shape == values.shape[:1]
        np.testing.assert_allclose(8 * np.log2(scale), np.rint(8 * np.log2(scale)), atol=1e-3)
        assert 10 < np.abs(values.astype(int)).max() <= LEVELS
        assert not zero.any()


def test_every_weight_is_the_nearest_level_of_its_channel(graphs):
    from onnx import numpy_helper

    weights, held = ({tensor.name: numpy_helper.to_array(tensor) for tensor in graph.graph.initializer} for graph in graphs)
    names = [name for name in weights if weights[name].ndim == 4 and f"{name}_quantized" in held]
    assert len(names) >= 3
    for name in names:
        levels = weights[name] / held[f"{name}_scale"].reshape(-1, 1, 1, 1)
        np.testing.assert_array_equal(held[f"{name}_quantized"], np.rint(levels))
