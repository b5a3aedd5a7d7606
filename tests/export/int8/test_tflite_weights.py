"""Layers of a TFLite graph: what is known of their inputs stands where their weights do."""

import numpy as np
import pytest
import torch

from speechtl.export.int8.tflite_weights import same_padding

LEVELS = 7


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "dilation", "expected"),
    [
        ((5, 6), (3, 3), (2, 2), (1, 1), ((1, 1), (0, 1))),
        ((4, 32), (1, 3), (1, 1), (1, 1), ((0, 0), (1, 1))),
        ((9, 9), (3, 2), (1, 1), (2, 1), ((2, 2), (0, 1))),
        ((8, 8), (1, 1), (2, 2), (1, 1), ((0, 0), (0, 0))),
    ],
)
def test_same_padding_is_tensorflows(size, kernel, stride, dilation, expected):
    assert same_padding(size, kernel, stride, dilation) == expected


class Layers(torch.nn.Module):
    """One of each kind, all on the same inputs, and one pair that shares weights."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.several = torch.nn.ModuleList(
            [
                torch.nn.Conv2d(8, 12, 1),
                torch.nn.Conv2d(8, 12, (3, 2), stride=(1, 2), groups=2),
                torch.nn.Conv2d(8, 16, (5, 1), groups=8),
                torch.nn.Conv2d(8, 6, (1, 3), padding="same"),
            ]
        )

    def forward(self, inputs):
        inputs = inputs.permute(0, 3, 1, 2)
        return tuple(layer(inputs).permute(0, 2, 3, 1) for layer in self.several)


def test_rounding_by_what_goes_in_moves_the_output_less_than_nearest_rounding():
    litert_torch = pytest.importorskip("litert_torch", reason="litert-torch is not installed")
    from ai_edge_litert.interpreter import Interpreter

    from speechtl.export.int8.tflite_model import Graph, read_model, write_model
    from speechtl.export.int8.tflite_weights import layers

    random = np.random.default_rng(0)
    slow = np.cumsum(random.normal(size=(200, 10, 3)), axis=0) / 5 + 1
    inputs = (slow @ random.normal(size=(3, 8)) + 0.1 * random.normal(size=(200, 10, 8)))[None].astype(np.float32)
    content = litert_torch.convert(Layers().eval(), (torch.from_numpy(inputs),)).model_content()

    def run(content):
        interpreter = Interpreter(model_content=content, experimental_preserve_all_tensors=True)
        interpreter.allocate_tensors()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], inputs)
        interpreter.invoke()
        tensors = {tensor["name"]: interpreter.get_tensor(tensor["index"]) for tensor in interpreter.get_tensor_details() if tensor["name"]}
        return tensors, [interpreter.get_tensor(output["index"]) for output in interpreter.get_output_details()]

    tensors, meant = run(content)
    results = []
    for watched in (True, False):
        graph = Graph(read_model(content))
        several = layers(graph, [], LEVELS)
        assert {graph.kind(operator) for layer in several for operator in layer._operators} == {"CONV_2D", "DEPTHWISE_CONV_2D"}
        assert len(several) == 4
        for layer in several:
            if watched:
                layer.watch(tensors)
            for name, (low, high) in layer.round().items():
                held = graph.values(graph.tensor(name)) / (high / 127)
                assert np.allclose(held, np.rint(held), atol=1e-5)
                assert (low == -high).all()
        results.append(run(write_model(graph.model))[1])
    for good, made, nearest in zip(meant, *results, strict=True):
        assert np.square(made - good).mean() < 0.4 * np.square(nearest - good).mean()
        assert np.square(nearest - good).mean() < 0.1 * np.square(good).mean()
