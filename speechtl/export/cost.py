"""Weights and multiply-adds of a graph, read from an ONNX or TFLite file.

Counts convolutions and matrix products, nearly all of a network: the numbers in their constants, without biases, and a multiply-add for
every weight and every output that it contributes to.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

from speechtl.export.int8.tflite_model import TfliteGraph, read_model

ONNX_CONVOLUTIONS = {"Conv", "ConvInteger", "QLinearConv"}
ONNX_PRODUCTS = {"Gemm", "MatMul", "MatMulInteger", "QLinearMatMul"}
TFLITE_INPUTS = {  # axes of the weights, or of the second factor, that are summed for one output
    "CONV_2D": slice(1, 4),
    "DEPTHWISE_CONV_2D": slice(1, 3),
    "FULLY_CONNECTED": slice(1, 2),
    "BATCH_MATMUL": slice(-2, -1),
}
WEIGHTS_AT = {"QLinearConv": 3, "QLinearMatMul": 3}  # index of the input; 1 for all others


@dataclass(frozen=True)
class GraphCost:
    """Cost of one run of a graph."""

    weights: int
    multiply_adds: int

    def __add__(self, other: GraphCost) -> GraphCost:
        """Cost of running one graph after the other."""
        return GraphCost(self.weights + other.weights, self.multiply_adds + other.multiply_adds)

    def __mul__(self, runs: float) -> GraphCost:
        """Cost of `runs` runs."""
        return GraphCost(self.weights, round(self.multiply_adds * runs))


def graph_cost(graph: bytes, name: str) -> GraphCost:
    """Cost of a run with a batch of one; `name` ends in the format, `.onnx` or `.tflite`."""
    return _tflite_cost(graph) if name.endswith(".tflite") else _onnx_cost(graph)


def _onnx_cost(graph: bytes) -> GraphCost:
    import onnx

    model = onnx.load_model_from_string(graph)
    for given in model.graph.input:
        for size in given.type.tensor_type.shape.dim:
            size.dim_value = size.dim_value or 1
    model = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    shapes = {value.name: _sizes(value) for value in (*model.graph.value_info, *model.graph.input, *model.graph.output)}
    constants = {constant.name: tuple(constant.dims) for constant in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant":
            constants[node.output[0]] = tuple(node.attribute[0].t.dims)
        if node.op_type in ("DequantizeLinear", "Transpose") and node.input[0] in constants:
            constants[node.output[0]] = constants[node.input[0]]
    counted: dict[str, int] = {}
    multiply_adds = 0
    for node in model.graph.node:
        if node.op_type not in ONNX_CONVOLUTIONS | ONNX_PRODUCTS:
            continue
        second = node.input[WEIGHTS_AT.get(node.op_type, 1)]
        shape = shapes.get(second) or constants[second]  # a transposed constant: its shape in the product
        if second in constants:
            counted[second] = prod(shape)
        transposed = node.op_type == "Gemm" and any(one.name == "transB" and one.i for one in node.attribute)
        inputs = prod(shape[1:]) if node.op_type in ONNX_CONVOLUTIONS else shape[-1 if transposed else -2]
        multiply_adds += prod(shapes[node.output[0]]) * inputs
    return GraphCost(sum(counted.values()), multiply_adds)


def _sizes(value: Any) -> tuple[int, ...]:
    return tuple(size.dim_value for size in value.type.tensor_type.shape.dim)


def _tflite_cost(graph: bytes) -> GraphCost:
    read = TfliteGraph(read_model(graph))
    counted: dict[int, int] = {}
    multiply_adds = 0
    for operator in read.operators:
        if (kind := read.kind(operator)) not in TFLITE_INPUTS:
            continue
        second = int(operator.inputs[1])
        shape = [int(size) for size in read.tensors[second].shape]
        if read.is_constant(second):
            counted[second] = prod(shape)
        outputs = prod(int(size) for size in read.tensors[int(operator.outputs[0])].shape)
        multiply_adds += outputs * prod(shape[TFLITE_INPUTS[kind]])
    return GraphCost(sum(counted.values()), multiply_adds)
