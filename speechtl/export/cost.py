"""Cost of a graph: weights and multiply-adds, read from an ONNX or TFLite file, and CPU time of a step on this machine.

Counts convolutions and matrix products, nearly all of a network: the numbers in their constants, without biases, and a multiply-add for
every weight and every output that it contributes to.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from speechtl.export.int8.tflite_model import TfliteGraph, read_model
from speechtl.runtime.bundle.wake_word import Bundle
from speechtl.runtime.engine.select import Engine, pairs

ONNX_CONVOLUTIONS = {"Conv", "ConvInteger", "QLinearConv"}
ONNX_PRODUCTS = {"Gemm", "MatMul", "MatMulInteger", "QLinearMatMul"}
TFLITE_INPUTS = {  # axes of the weights, or of the second factor, that are summed for one output
    "CONV_2D": slice(1, 4),
    "DEPTHWISE_CONV_2D": slice(1, 3),
    "FULLY_CONNECTED": slice(1, 2),
    "BATCH_MATMUL": slice(-2, -1),
}
REPETITIONS, STEPS = 40, 50  # of every measurement of time; steps are taken in one run
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


def step_costs(bundle: Bundle) -> list[dict[str, Any]]:
    """CPU milliseconds per step (80 ms of audio, one thread) of every graph in every runtime on this machine, as JSON stores them.

    Medians over repetitions in which the graphs take turns, so that other load on the machine affects all of them.
    """
    engines = [Engine(bundle, graph, runtime) for graph, runtime in pairs(bundle)]
    frames = np.random.default_rng(0).uniform(4.0, 10.0, (STEPS * bundle.frames_per_step, bundle.features.bands)).astype(np.float32)
    times: list[list[float]] = [[] for _ in engines]
    for _ in range(REPETITIONS):
        for engine, measured in zip(engines, times, strict=True):
            begin = time.process_time()
            engine.run(frames)
            measured.append((time.process_time() - begin) / STEPS * 1000.0)
    return [
        {
            "graph": engine.graph,
            "engine": engine.runtime,
            "bytes": len(bundle.files[engine.graph]),
            "cpu_ms_per_step": round(statistics.median(measured), 4),
        }
        for engine, measured in zip(engines, times, strict=True)
    ]
