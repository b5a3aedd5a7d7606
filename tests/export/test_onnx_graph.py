import onnx
import pytest

from speechtl.errors import SpeechtlError
from speechtl.export import onnx_graph
from speechtl.export.onnx_graph import to_onnx
from speechtl.export.step import ExportStep


@pytest.mark.parametrize("head", ["linear", "conv"])
def test_the_graph_has_all_states_in_the_open(tiny, head):
    step = ExportStep([tiny(head)])
    content, states = to_onnx(step), step.states()
    graph = onnx.load_from_string(content).graph
    onnx.checker.check_model(onnx.load_from_string(content), full_check=True)
    shapes = {value.name: tuple(d.dim_value for d in value.type.tensor_type.shape.dim) for value in [*graph.input, *graph.output]}
    assert shapes["log_mel"] == (1, 1, 4, 32)
    assert shapes["score"] == (1, 1)
    assert [value.name for value in graph.input] == ["log_mel", *(state.name for state in states)]
    assert [value.name for value in graph.output] == ["score", *(state.output for state in states)]
    for state in states:
        assert shapes[state.name] == shapes[state.output] == state.shape
    assert len(states) == (2 if head == "linear" else 5)


def test_nothing_is_said_on_standard_output(tiny_network, capfd):
    to_onnx(ExportStep([tiny_network]))
    assert capfd.readouterr().out == ""


def test_a_network_that_no_onnx_file_can_hold_is_refused_before_it_is_converted(tiny, monkeypatch):
    monkeypatch.setattr(onnx_graph, "MAX_BYTES", 1000)
    with pytest.raises(SpeechtlError, match=r"million weights, and an ONNX file holds at most 2 GB\. Take a smaller encoder"):
        to_onnx(ExportStep([tiny("conv")]))
