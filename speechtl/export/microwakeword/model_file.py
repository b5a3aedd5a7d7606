"""The student as a TFLite file in the form of microWakeWord's models, written directly.

It takes `(1, 3, 40)` int8 features and gives `(1, 1)` uint8, the probability times 256. What a layer needs of earlier steps is in
variables of the file, which a second graph sets to silence at the first call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from speechtl.errors import CheckFailedError, MissingExtraError
from speechtl.export.microwakeword.features import BANDS
from speechtl.export.microwakeword.int8 import Int8Layer, Quantisation
from speechtl.export.microwakeword.student import STRIDE

SCHEMA_VERSION = 3
ALIGNMENT = 16  # bytes: a microcontroller reads weights where they are, and may not read integers that are not aligned
LARGEST = 100_000  # bytes
PROBABILITY = 1.0 / 256.0  # value of a step
# Operators that ESPHome 2024.7 and later registers for these models (esphome/components/micro_wake_word, `register_streaming_ops_`).
REGISTERED = {
    *("CALL_ONCE", "VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "RESHAPE", "STRIDED_SLICE", "CONCATENATION", "SPLIT_V", "PACK", "PAD"),
    *("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "AVERAGE_POOL_2D", "MAX_POOL_2D", "MEAN", "MUL", "ADD", "LOGISTIC", "QUANTIZE"),
}
VERSIONS = {"CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "CONCATENATION": 2, "STRIDED_SLICE": 2, "LOGISTIC": 2}  # of operators on int8


def to_tflite(layers: Sequence[Int8Layer]) -> bytes:
    """The file of a student; raises `CheckFailedError` if ESPHome could not run it."""
    model = _Model()
    step, first_call = model.graph("step"), model.graph("first call")
    step.add("CALL_ONCE", [], [], initSubgraphIndex=1)
    features = step.tensor("features", (1, STRIDE, BANDS), "INT8", layers[0].before)
    flow = step.reshaped(features, (1, STRIDE, 1, BANDS), layers[0].before)
    frames = STRIDE
    for number, layer in enumerate(layers):
        if layer.kernel > layer.stride:
            flow = _with_past(step, first_call, flow, frames, layer, f"past {number}")
        frames //= layer.stride
        flow = _convolved(step, flow, layer, f"layer {number}")
    logit = step.reshaped(flow, (1, 1), layers[-1].after)
    signed = step.tensor("signed probability", (1, 1), "INT8", Quantisation(PROBABILITY, -128))
    step.add("LOGISTIC", [logit], [signed])
    probability = step.tensor("probability", (1, 1), "UINT8", Quantisation(PROBABILITY, 0))
    step.add("QUANTIZE", [signed], [probability])
    step.limits([features], [probability])
    content = model.content()
    check(content)
    return content


def check(content: bytes) -> None:
    """Raise `CheckFailedError` for an operator that ESPHome does not register, or a file that is too large."""
    model = utilities().read_model_from_bytearray(bytearray(content))
    names = {utilities().opcode_to_name(model, index) for index in range(len(model.operatorCodes))}
    if unknown := sorted(names - REGISTERED):
        raise CheckFailedError(
            f"The model uses {', '.join(unknown)}, which ESPHome does not run; it runs: {', '.join(sorted(REGISTERED))}."
        )
    if len(content) > LARGEST:
        raise CheckFailedError(f"The model has {len(content)} bytes, and a listener takes at most {LARGEST}.")


def _with_past(step: _Graph, first_call: _Graph, fresh: int, frames: int, layer: Int8Layer, name: str) -> int:
    """The last frames of earlier steps before the new ones; the newest are kept for the next step."""
    kept = layer.kernel - layer.stride
    shape = (1, kept, 1, layer.channels)
    for graph in (first_call, step):
        handle = graph.tensor(name, (), "RESOURCE")
        graph.add("VAR_HANDLE", [], [handle], container="", sharedName=name)
        if graph is first_call:
            silence = graph.constant(f"{name}, silence", np.full(shape, layer.before.zero, np.int8), layer.before)
            graph.add("ASSIGN_VARIABLE", [handle, silence], [])
    past = step.tensor(f"{name}, read", shape, "INT8", layer.before)
    step.add("READ_VARIABLE", [handle], [past])
    whole = step.tensor(f"{name}, joined", (1, kept + frames, 1, layer.channels), "INT8", layer.before)
    step.add("CONCATENATION", [past, fresh], [whole], axis=1)
    newest = step.tensor(f"{name}, kept", shape, "INT8", layer.before)
    # Bits of the masks leave out a limit: everything from frame `frames` on.
    limits = {"begin": [0, frames, 0, 0], "end": [0, 0, 0, 0], "strides": [1, 1, 1, 1]}
    given = [step.integers(f"{name}, {what}", values) for what, values in limits.items()]
    step.add("STRIDED_SLICE", [whole, *given], [newest], beginMask=0b1101, endMask=0b1111)
    step.add("ASSIGN_VARIABLE", [handle, newest], [])
    return whole


def _convolved(step: _Graph, flow: int, layer: Int8Layer, name: str) -> int:
    # TFLite's weights: (outputs, kernel, 1, inputs), and (1, kernel, 1, channels) where each channel has its own.
    order, axis = ((1, 2, 0), 3) if layer.depthwise else ((0, 2, 1), 0)
    weights = step.constant(f"{name}, weights", layer.weights.transpose(order)[:, :, None], _PerChannel(layer.scales, axis))
    bias = step.constant(f"{name}, bias", layer.bias, _PerChannel(layer.scales * np.float32(layer.before.scale), 0))
    out = step.tensor(name, (1, 1, 1, len(layer.weights)), "INT8", layer.after)
    options = {"padding": 1, "strideH": layer.stride, "strideW": 1, "fusedActivationFunction": int(layer.relu)}
    options |= {"depthMultiplier": 1} if layer.depthwise else {}
    step.add("DEPTHWISE_CONV_2D" if layer.depthwise else "CONV_2D", [flow, weights, bias], [out], **options)
    return out


class _PerChannel:
    """Scales of the slices of a constant along an axis."""

    def __init__(self, scales: npt.NDArray[np.float32], axis: int) -> None:
        self.scales, self.axis = scales, axis


class _Model:
    """A model as the tree of objects that TFLite's schema has."""

    def __init__(self) -> None:
        self.schema = utilities().schema_fb
        self.tree = self.schema.ModelT()
        self.tree.version, self.tree.description = SCHEMA_VERSION, "speechtl"
        self.tree.buffers, self.tree.subgraphs, self.tree.operatorCodes = [self.schema.BufferT()], [], []
        self._codes: dict[str, int] = {}

    def graph(self, name: str) -> _Graph:
        """A new graph; the first one is run at every step."""
        made = self.schema.SubGraphT()
        made.name, made.tensors, made.operators, made.inputs, made.outputs = name, [], [], [], []
        self.tree.subgraphs.append(made)
        return _Graph(self, made)

    def code(self, operator: str) -> int:
        """The index of an operator."""
        if operator not in self._codes:
            made = self.schema.OperatorCodeT()
            made.builtinCode = getattr(self.schema.BuiltinOperator, operator)
            made.deprecatedBuiltinCode = min(made.builtinCode, self.schema.BuiltinOperator.PLACEHOLDER_FOR_GREATER_OP_CODES)
            made.version = VERSIONS.get(operator, 1)
            self._codes[operator] = len(self.tree.operatorCodes)
            self.tree.operatorCodes.append(made)
        return self._codes[operator]

    def buffer(self, values: npt.NDArray[Any]) -> int:
        """The index of a new buffer with these values."""
        made = _aligned_buffer(self.schema)()
        made.data = np.frombuffer(values.tobytes(), np.uint8)
        self.tree.buffers.append(made)
        return len(self.tree.buffers) - 1

    def content(self) -> bytes:
        """The file."""
        return bytes(utilities().convert_object_to_bytearray(self.tree))


class _Graph:
    """A graph of a model: tensors, which are called by their index, and operators in order of execution."""

    def __init__(self, model: _Model, tree: Any) -> None:
        self.model, self.tree = model, tree

    def tensor(
        self, name: str, shape: Sequence[int], kind: str, quantised: Quantisation | _PerChannel | None = None, buffer: int = 0
    ) -> int:
        """A new tensor."""
        schema = self.model.schema
        made = schema.TensorT()
        made.name, made.shape, made.type, made.buffer, made.hasRank = name, list(shape), getattr(schema.TensorType, kind), buffer, True
        if quantised is not None:
            made.quantization = given = schema.QuantizationParametersT()
            if isinstance(quantised, Quantisation):
                given.scale, given.zeroPoint = [quantised.scale], [quantised.zero]
            else:
                given.scale, given.zeroPoint = quantised.scales.tolist(), [0] * len(quantised.scales)
                given.quantizedDimension = quantised.axis
        self.tree.tensors.append(made)
        return len(self.tree.tensors) - 1

    def constant(self, name: str, values: npt.NDArray[Any], quantised: Quantisation | _PerChannel | None = None) -> int:
        """A new tensor with values."""
        return self.tensor(name, values.shape, values.dtype.name.upper(), quantised, self.model.buffer(values))

    def integers(self, name: str, values: Sequence[int]) -> int:
        """A new tensor of sizes or limits."""
        return self.constant(name, np.array(values, np.int32))

    def reshaped(self, tensor: int, shape: Sequence[int], quantised: Quantisation) -> int:
        """A tensor in another shape."""
        name = self.tree.tensors[tensor].name
        made = self.tensor(f"{name}, reshaped", shape, "INT8", quantised)
        self.add("RESHAPE", [tensor, self.integers(f"{name}, shape", shape)], [made])
        return made

    def add(self, operator: str, inputs: Sequence[int], outputs: Sequence[int], **options: Any) -> None:
        """Add an operator; its options are named as in TFLite's schema."""
        schema = self.model.schema
        made = schema.OperatorT()
        made.opcodeIndex, made.inputs, made.outputs = self.model.code(operator), list(inputs), list(outputs)
        if options:
            kind = OPTIONS[operator]
            made.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
            made.builtinOptions = getattr(schema, f"{kind}T")()
            for name, value in options.items():
                assert hasattr(made.builtinOptions, name), name
                setattr(made.builtinOptions, name, value)
        self.tree.operators.append(made)

    def limits(self, inputs: Sequence[int], outputs: Sequence[int]) -> None:
        """Name the inputs and outputs of the graph."""
        self.tree.inputs, self.tree.outputs = list(inputs), list(outputs)


OPTIONS = {
    "CALL_ONCE": "CallOnceOptions",
    "VAR_HANDLE": "VarHandleOptions",
    "CONCATENATION": "ConcatenationOptions",
    "STRIDED_SLICE": "StridedSliceOptions",
    "CONV_2D": "Conv2DOptions",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
}


def _aligned_buffer(schema: Any) -> Any:
    """A buffer whose data begin at a multiple of `ALIGNMENT`, as TFLite's schema asks; its Python code does not see to that."""

    class AlignedBuffer(schema.BufferT):  # type: ignore[misc]
        def Pack(self, builder: Any) -> Any:  # noqa: N802
            """Write the data, then the buffer that refers to them."""
            builder.StartVector(1, len(self.data), ALIGNMENT)
            builder.head = builder.Head() - len(self.data)
            builder.Bytes[builder.Head() : builder.Head() + len(self.data)] = self.data.tobytes()
            data = builder.EndVector()
            schema.BufferStart(builder)
            schema.BufferAddData(builder, data)
            return schema.BufferEnd(builder)

    return AlignedBuffer


def utilities() -> Any:
    """LiteRT's tools for TFLite files; raises `MissingExtraError` without them."""
    try:
        from ai_edge_litert.tools import flatbuffer_utils
    except ImportError as error:
        raise MissingExtraError("Writing a model for microWakeWord", "microwakeword") from error
    return flatbuffer_utils
