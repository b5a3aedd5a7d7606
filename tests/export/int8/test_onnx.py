import numpy as np
import pytest

from speechtl.export.int8.onnx import quantise_onnx
from speechtl.export.onnx_graph import to_onnx
from speechtl.export.step import ExportStep

LEVELS = 40


@pytest.fixture(scope="module")
def quantised(tiny):
    """The int8 graph of the tiny network with convolutions in its head, as onnx reads it."""
    import onnx

    step = ExportStep([tiny("conv")])
    frames = np.random.default_rng(0).uniform(step.features.silence, 10.0, (400, step.features.bands)).astype(np.float32)
    return onnx.load_from_string(quantise_onnx(to_onnx(step), step.states(), [frames], step.silent_steps, LEVELS))


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
