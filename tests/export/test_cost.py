import numpy as np
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from speechtl.export.cost import GraphCost, graph_cost, step_costs
from speechtl.runtime.bundle.wake_word import open_bundle


def exported(network: nn.Module, example: torch.Tensor, tmp_path) -> bytes:
    torch.onnx.export(network.eval(), (example,), tmp_path / "network.onnx", dynamo=True, verbose=False)
    return (tmp_path / "network.onnx").read_bytes()


def test_convolutions_and_products_are_counted_by_weight_and_output(tmp_path):
    network = nn.Sequential(nn.Conv2d(4, 6, (3, 1), groups=2), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 8 * 5, 7))
    cost = graph_cost(exported(network, torch.zeros(1, 4, 10, 5), tmp_path), "network.onnx")
    assert cost.weights == 6 * 2 * 3 + 240 * 7  # biases are not counted
    assert cost.multiply_adds == 6 * 8 * 5 * (2 * 3) + 240 * 7


def test_a_weight_that_is_used_twice_is_one_weight(tmp_path):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(8, 8, bias=False)

        def forward(self, inputs):
            return self.inner(self.inner(inputs).relu())

    cost = graph_cost(exported(Twice(), torch.zeros(3, 8), tmp_path), "network.onnx")
    assert cost == GraphCost(weights=64, multiply_adds=2 * 3 * 64)


def test_a_constant_is_counted_as_it_is_multiplied_turned_around_or_not():
    weights = numpy_helper.from_array(np.ones((7, 5), np.float32), "weights")
    turned = helper.make_node("Transpose", ["weights"], ["turned"], perm=[1, 0])
    product = helper.make_node("MatMul", ["inputs", "turned"], ["outputs"])
    sizes = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [3, size]) for name, size in (("inputs", 5), ("outputs", 7))]
    model = helper.make_model(helper.make_graph([turned, product], "one", sizes[:1], sizes[1:], [weights]))
    assert graph_cost(model.SerializeToString(), "model.onnx") == GraphCost(weights=35, multiply_adds=3 * 5 * 7)


def test_costs_add_up_over_graphs_and_seconds():
    assert GraphCost(10, 100) * 12.5 + GraphCost(1, 2) == GraphCost(11, 1252)


def test_every_graph_of_a_bundle_costs_the_same(full_bundle):
    bundle = open_bundle(full_bundle)
    costs = {graph_cost(bundle.files[name], name) for name in bundle.graphs}
    assert len(bundle.graphs) == 4
    assert len(costs) == 1
    assert costs.pop().weights > 1000


def test_the_published_encoder_costs_42_million_a_window(embedding_path):
    assert graph_cost(embedding_path.read_bytes(), "embedding_model.onnx") == GraphCost(326_808, 41_955_840)


def test_the_time_of_a_step_is_measured_for_every_graph(tiny_bundle):
    bundle = open_bundle(tiny_bundle)
    (row,) = step_costs(bundle)
    assert (row["graph"], row["engine"], row["bytes"]) == ("model.onnx", "onnxruntime", len(bundle.files["model.onnx"]))
    assert 0.0 < row["cpu_ms_per_step"] < 100.0
