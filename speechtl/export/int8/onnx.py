"""Quantise an ONNX step graph to int8: static QDQ, uint8 activations, int8 weights per channel.

As in TFLite, the features, the first convolution, and the output layer with its sigmoid stay float. States are uint8 and channels last,
the layout in which ONNX Runtime computes int8, so that they need not be transposed twice per step.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np

from speechtl.errors import MissingExtraError
from speechtl.export.int8.ranges import Ranges, measure_ranges, share_ranges
from speechtl.export.int8.scales import weight_scales
from speechtl.export.onnx_graph import to_bytes
from speechtl.runtime.bundle.wake_word import State
from speechtl.runtime.engine.session import INPUT, OUTPUT
from speechtl.runtime.samples import Floats
from speechtl.runtime.silence import quiet

TO_CHANNELS_FIRST, TO_CHANNELS_LAST = (0, 3, 1, 2), (0, 2, 3, 1)
ONE_SCALE = ("Concat", "Slice", "Reshape", "Transpose", "MaxPool")  # their inputs and outputs share a scale


def quantise_onnx(content: bytes, states: list[State], streams: Iterable[Floats], silent_steps: int, levels: int) -> bytes:
    """The int8 graph of a float one; `streams` are log-mel frames `(frames, bands)` of recordings on which ranges are measured.

    Weights of convolutions take `levels` steps above and below zero, at most `ALL_LEVELS`; fewer levels compress better.
    """
    try:
        import onnx
        import onnxruntime.quantization  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("Export of int8 to ONNX", "train") from error
    model = onnx.shape_inference.infer_shapes(onnx.load_from_string(content))
    instrumented = _InstrumentedOnnx(model, states)
    left_float = _float_nodes(model)
    ranges = measure_ranges(instrumented, states, streams, instrumented.frames, silent_steps)
    _saturate(model, ranges)
    share_ranges(
        ranges,
        [
            *([*node.input, *node.output] for node in model.graph.node if node.op_type in ONE_SCALE),
            *([state.name, state.output] for state in states),
        ],
    )
    quantised = _quantise(model, ranges, left_float, _scales(model, left_float, levels))
    _channels_last_frames(quantised)
    for state in states:
        _int8_state(quantised, state)
    onnx.checker.check_model(quantised)
    return to_bytes(quantised)


def _quantise(model: Any, ranges: Ranges, left_float: Collection[str], scales: Mapping[str, Any]) -> Any:
    """The model with quantised activations and weights, made by ONNX Runtime's quantizer."""
    from onnxruntime.quantization import CalibrationMethod, QuantType
    from onnxruntime.quantization.calibrate import TensorsData
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    limits = {name: (np.float32(found.low), np.float32(found.high)) for name, found in ranges.items()}
    with quiet():
        quantizer = QDQQuantizer(
            model,
            per_channel=True,
            reduce_range=False,
            weight_qType=QuantType.QInt8,
            activation_qType=QuantType.QUInt8,
            tensors_range=TensorsData(CalibrationMethod.MinMax, limits),
            nodes_to_quantize=[],
            nodes_to_exclude=left_float,
            op_types_to_quantize=["Conv", "Gemm", "MatMul", "LeakyRelu", "Relu", "Clip", *ONE_SCALE],
            extra_options={"TensorQuantOverrides": scales},
        )
        quantizer.quantize_model()
    quantizer.model.topological_sort()
    return quantizer.model.model


class _InstrumentedOnnx:
    """The float graph with every tensor as an output."""

    def __init__(self, model: Any, states: list[State]) -> None:
        import onnx
        import onnxruntime

        shown = onnx.ModelProto()
        shown.CopyFrom(model)
        known = {value.name for value in shown.graph.output}
        for value in model.graph.value_info:
            if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT and value.name not in known:
                shown.graph.output.append(value)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        self._session = onnxruntime.InferenceSession(shown.SerializeToString(), options, providers=["CPUExecutionProvider"])
        self._names = [value.name for value in self._session.get_outputs()]
        self._shapes = {value.name: value.shape for value in self._session.get_inputs()}
        self._states = states
        self.frames = int(self._shapes[INPUT][2])

    def start(self) -> Mapping[str, Floats]:
        """Zero states by name."""
        return {state.name: np.zeros(state.shape, np.float32) for state in self._states}

    def step(self, frames: Floats, states: Mapping[str, Floats]) -> Mapping[str, Floats]:
        """All float tensors by name after a step."""
        inputs = {INPUT: frames[None, None], **states}
        return {**inputs, **dict(zip(self._names, self._session.run(self._names, inputs), strict=True))}


def _scales(model: Any, left_float: Collection[str], levels: int) -> dict[str, list[dict[str, Any]]]:
    """Scales of every channel of int8 convolution weights, by name, in the quantizer's format."""
    from onnx import numpy_helper

    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv" and node.name not in left_float]
    scales = {}
    for name in (node.input[1] for node in convolutions if node.input[1] in constants):
        found = weight_scales(numpy_helper.to_array(constants[name]), 0, levels).reshape(-1)
        scales[name] = [{"axis": 0, "scale": scale, "zero_point": 0} for scale in found]
    return scales


def _saturate(model: Any, ranges: Ranges) -> None:
    """Let `max(leaky_relu(x), c)` be clipped by saturation: the lowest uint8 value of x becomes `c / slope`."""
    from onnx import numpy_helper

    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    producer = {name: node for node in model.graph.node for name in node.output}
    for node in model.graph.node:
        leaky = producer.get(node.input[0]) if node.op_type == "Clip" else None
        if leaky is None or leaky.op_type != "LeakyRelu" or node.input[1] not in constants:
            continue
        low = float(constants[node.input[1]])
        slope = next(attribute.f for attribute in leaky.attribute if attribute.name == "alpha")
        ranges[leaky.input[0]].low = low / slope
        ranges[leaky.output[0]].low = ranges[node.output[0]].low = low


def _float_nodes(model: Any) -> list[str]:
    """Nodes up to and including the first convolution, and from the output layer on."""
    front, made_of_features = {INPUT}, set()
    constants = {tensor.name for tensor in model.graph.initializer}  # such as the ends of a slice, which many nodes share
    left_float: list[str] = []
    for node in model.graph.node:
        if front & set(node.input):
            left_float.append(node.name)
            if node.op_type != "Conv":
                front |= set(node.output)
                made_of_features |= set(node.input) - constants
    wanted = {OUTPUT}
    for node in reversed(model.graph.node):
        if wanted & set(node.output):
            left_float.append(node.name)
            if node.op_type not in ("Conv", "Gemm", "MatMul"):
                wanted |= set(node.input)
    left_float += [node.name for node in model.graph.node if made_of_features & set(node.input)]
    return left_float


def _int8_state(model: Any, state: State) -> None:
    """Make a state an int8 input and output, instead of a float one with conversions."""
    from onnx import TensorProto, helper

    graph = model.graph
    producer = {name: node for node in graph.node for name in node.output}
    consumers = [node for node in graph.node if state.name in node.input]
    given = producer[state.output]
    channels_last = [state.shape[axis] for axis in TO_CHANNELS_LAST]
    if len(consumers) == 1 and consumers[0].op_type == "QuantizeLinear" and given.op_type == "DequantizeLinear":
        kind, inner, outer = TensorProto.UINT8, consumers[0].output[0], given.input[0]
        graph.node.remove(consumers[0])
        _set_free(graph, given, state.output)
    else:
        kind, inner, outer = TensorProto.FLOAT, f"{state.name}_channels_first", f"{state.output}_channels_first"
        for node in consumers:
            node.input[:] = [inner if name == state.name else name for name in node.input]
        for node in graph.node:
            node.input[:] = [outer if name == state.output else name for name in node.input]
            node.output[:] = [outer if name == state.output else name for name in node.output]
    graph.node.insert(0, helper.make_node("Transpose", [state.name], [inner], f"{state.name}_in", perm=TO_CHANNELS_FIRST))
    graph.node.append(helper.make_node("Transpose", [outer], [state.output], f"{state.name}_out", perm=TO_CHANNELS_LAST))
    _declare(graph.input, state.name, kind, channels_last)
    _declare(graph.output, state.output, kind, channels_last)


def _set_free(graph: Any, producer: Any, name: str) -> None:
    """Rename the output of a node, so that its name is free; remove the node if nothing else uses that output."""
    consumers = [node for node in graph.node if name in node.input]
    if not consumers:
        graph.node.remove(producer)
    producer.output[:] = [f"{name}_float"]
    for node in consumers:
        node.input[:] = [f"{name}_float" if given == name else given for given in node.input]


def _channels_last_frames(model: Any) -> None:
    from onnx import TensorProto, helper

    graph = model.graph
    shape = [size.dim_value for size in next(value for value in graph.input if value.name == INPUT).type.tensor_type.shape.dim]
    inner = f"{INPUT}_channels_first"
    for node in graph.node:
        node.input[:] = [inner if name == INPUT else name for name in node.input]
    graph.node.insert(0, helper.make_node("Transpose", [INPUT], [inner], f"{INPUT}_in", perm=TO_CHANNELS_FIRST))
    _declare(graph.input, INPUT, TensorProto.FLOAT, [shape[axis] for axis in TO_CHANNELS_LAST])


def _declare(values: Any, name: str, kind: int, shape: list[int]) -> None:
    from onnx import helper

    place = next(index for index, value in enumerate(values) if value.name == name)
    values[place].CopyFrom(helper.make_tensor_value_info(name, kind, shape))
