"""Quantise a TFLite step graph to int8: weights per channel, activations by ranges measured on real recordings.

The features, the first convolution, and the output layer with its sigmoid stay float: a score of 256 steps could not distinguish 0.97
from 0.98. States are int8. A state and its successor have the same scale, so they are not rounded again from step to step.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np

from speechtl.errors import MissingExtraError
from speechtl.export.int8.ranges import Ranges, measure_ranges, share_ranges
from speechtl.export.int8.scales import ALL_LEVELS, weight_scales
from speechtl.export.int8.tflite_model import TfliteGraph, read_model, write_model
from speechtl.runtime.bundle.wake_word import State
from speechtl.runtime.engine.session import INPUT, OUTPUT
from speechtl.runtime.samples import Floats
from speechtl.runtime.silence import quiet

CHANNELS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0}  # the axis of their weights that counts them
CONVOLUTIONS = (*CHANNELS, "BATCH_MATMUL")
ONE_SCALE = ("CONCATENATION", "SLICE", "STRIDED_SLICE", "RESHAPE", "TRANSPOSE", "MAX_POOL_2D")  # their inputs and outputs share one


def quantise_tflite(content: bytes, states: list[State], streams: Iterable[Floats], silent_steps: int, levels: int) -> bytes:
    """The int8 graph of a float one; `streams` are log-mel frames `(frames, bands)` of recordings on which ranges are measured.

    Weights take `levels` steps above and below zero, at most `ALL_LEVELS`; fewer levels compress better.
    """
    try:
        with quiet():
            from ai_edge_quantizer import algorithm_manager, qtyping, quantizer, recipe
    except ImportError as error:
        raise MissingExtraError("Export of int8 to TFLite", "export") from error
    graph = TfliteGraph(read_model(content))
    instrumented = _InstrumentedTflite(content, states)
    left_float = _float_operators(graph)
    ranges = measure_ranges(instrumented, states, streams, instrumented.frames, silent_steps)
    _saturate(graph, ranges)
    share_ranges(
        ranges,
        [
            *(_names(graph, operator) for operator in graph.operators if graph.kind(operator) in ONE_SCALE),
            *([state.name, state.output] for state in states),
        ],
    )
    with quiet():
        made = quantizer.Quantizer(bytearray(content), recipe.static_wi8_ai8())
        for scope in (*left_float, f"{INPUT};", f"{OUTPUT};"):
            made.update_quantization_recipe(
                f"^{scope}", qtyping.TFLOperationName.ALL_SUPPORTED, None, algorithm_manager.AlgorithmName.NO_QUANTIZE
            )
        values = {name: _limits(found.low, found.high) for name, found in ranges.items()}
        values |= _weight_limits(graph, left_float, levels)
        quantised = bytes(made.quantize(values, enable_progress_report=False).quantized_model)
    return _finish(quantised, states)


class _InstrumentedTflite:
    """The float graph, with an interpreter that preserves every tensor."""

    def __init__(self, content: bytes, states: list[State]) -> None:
        from ai_edge_litert.interpreter import Interpreter

        with quiet():
            self._interpreter = Interpreter(model_content=content, num_threads=1, experimental_preserve_all_tensors=True)
            self._interpreter.allocate_tensors()
        self._inputs = {value["name"]: value for value in self._interpreter.get_input_details()}
        self._float_tensors = [value for value in self._interpreter.get_tensor_details() if value["dtype"] == np.float32 and value["name"]]
        self._states = states
        self.frames = int(self._inputs[INPUT]["shape"][1])

    def start(self) -> Mapping[str, Floats]:
        """Zero states by name."""
        return {state.name: np.zeros(self._inputs[state.name]["shape"], np.float32) for state in self._states}

    def step(self, frames: Floats, states: Mapping[str, Floats]) -> Mapping[str, Floats]:
        """All float tensors by name after a step."""
        given = self._inputs[INPUT]
        self._interpreter.set_tensor(given["index"], frames.reshape(given["shape"]))
        for name, values in states.items():
            self._interpreter.set_tensor(self._inputs[name]["index"], values)
        self._interpreter.invoke()
        shown: dict[str, Floats] = {}
        for tensor in self._float_tensors:
            try:
                shown[tensor["name"]] = self._interpreter.get_tensor(tensor["index"])
            except ValueError:  # fused into another operator
                continue
        return shown


def _names(graph: TfliteGraph, operator: Any) -> list[str]:
    return [graph.name(int(tensor)) for tensor in (*operator.inputs, *operator.outputs) if tensor >= 0]


def _weight_limits(graph: TfliteGraph, left_float: Collection[str], levels: int) -> dict[str, dict[str, Floats]]:
    """Ranges of every channel of the weights that become int8, by name."""
    limits = {}
    for operator in graph.operators:
        kind, weights = graph.kind(operator), int(operator.inputs[1]) if len(operator.inputs) > 1 else -1
        if kind in CHANNELS and graph.is_constant(weights) and graph.scope(operator) not in left_float:
            highest = ALL_LEVELS * weight_scales(graph.values(weights), CHANNELS[kind], levels)
            limits[graph.name(weights)] = {"min": -highest, "max": highest}
    return limits


def _limits(low: float, high: float) -> dict[str, Floats]:
    return {"min": np.full((1, 1, 1, 1), low, np.float32), "max": np.full((1, 1, 1, 1), high, np.float32)}


def _saturate(graph: TfliteGraph, ranges: Ranges) -> None:
    """Let `max(leaky_relu(x), c)` be clipped by saturation: the lowest int8 value of x becomes `c / slope`."""
    for operator in graph.operators:
        clip = _clip(graph, operator)
        if clip is None:
            continue
        leaky, low = clip
        found = [leaky.outputs[0], *operator.outputs]
        for tensor in (leaky.inputs[0], *found):
            ranges[graph.name(int(tensor))].low = low if tensor in found else low / leaky.builtinOptions.alpha


def _clip(graph: TfliteGraph, operator: Any) -> tuple[Any, float] | None:
    """The leaky ReLU whose output an operator clips, and the limit; None if it does not clip one."""
    if graph.kind(operator) != "MAXIMUM":
        return None
    constants = [graph.constant(int(tensor)) for tensor in operator.inputs]
    makers = [graph.producer.get(int(tensor)) for tensor in operator.inputs]
    for low, maker in zip(reversed(constants), makers, strict=True):
        if low is not None and graph.kind(maker) == "LEAKY_RELU":
            return maker, low
    return None


def _float_operators(graph: TfliteGraph) -> list[str]:
    """Scopes of the operators up to and including the first convolution, and from the output layer on."""
    front = {graph.tensor(INPUT)}
    left_float: list[Any] = []
    reached: set[int] = set()
    for operator in graph.operators:  # from the features to the first convolution
        if front & {int(tensor) for tensor in operator.inputs}:
            left_float.append(operator)
            if graph.kind(operator) not in CONVOLUTIONS:
                front |= {int(tensor) for tensor in operator.outputs}
                reached |= {int(tensor) for tensor in operator.inputs}
    wanted = {graph.tensor(OUTPUT)} | {tensor for tensor in reached if tensor not in graph.graph.inputs}
    for operator in reversed(graph.operators):  # from the scores back to the output layer, and what joins the features
        if wanted & {int(tensor) for tensor in operator.outputs}:
            left_float.append(operator)
            if graph.kind(operator) not in CONVOLUTIONS:
                wanted |= {int(tensor) for tensor in operator.inputs}
    return sorted(map(graph.scope, left_float))


def _finish(content: bytes, states: list[State]) -> bytes:
    """Make states int8 inputs and outputs, activate in int8, and remove clips that saturation has replaced."""
    graph = TfliteGraph(read_model(content))
    _activate_int8(graph)
    _drop_clips(graph)
    _int8_states(graph, states)
    graph.prune()
    return write_model(graph.model)


def _activate_int8(graph: TfliteGraph) -> None:
    """Move LEAKY_RELU to int8, which the quantizer leaves in float between two conversions."""
    for operator in graph.operators:
        before = graph.producer.get(int(operator.inputs[0])) if len(operator.inputs) else None
        after = graph.consumers.get(int(operator.outputs[0]), [])
        if before is None or graph.kind(operator) != "LEAKY_RELU" or graph.kind(before) != "DEQUANTIZE" or not after:
            continue
        if all(graph.kind(consumer) == "QUANTIZE" for consumer in after):
            operator.inputs = [before.inputs[0]]
            operator.outputs = [after[0].outputs[0]]
            graph.remove(after[:1])
            for consumer in after[1:]:
                graph.replace(int(consumer.outputs[0]), int(operator.outputs[0]))
            graph.index()


def _drop_clips(graph: TfliteGraph) -> None:
    for operator in graph.operators:
        if graph.kind(operator) != "MAXIMUM":
            continue
        for tensor, constant in (tuple(operator.inputs), tuple(reversed(operator.inputs))):
            if graph.is_constant(int(constant)) and _lowest(graph, int(tensor)) >= _constant(graph, int(constant)) - _scale(
                graph, int(tensor)
            ):
                graph.replace(int(operator.outputs[0]), int(tensor))
                graph.remove([operator])
                break


def _int8_states(graph: TfliteGraph, states: list[State]) -> None:
    """Remove the conversions between float states and the int8 tensors of the graph."""
    signature = graph.model.signatureDefs[0]
    taken = {entry.name.decode(): entry for entry in signature.inputs}
    given = {entry.name.decode(): entry for entry in signature.outputs}
    for state in states:
        before, after = taken[state.name], given[state.output]
        consumers, producer = graph.consumers.get(before.tensorIndex, []), graph.producer.get(after.tensorIndex)
        if (
            [graph.kind(consumer) for consumer in consumers] == ["QUANTIZE"]
            and producer is not None
            and graph.kind(producer) == "DEQUANTIZE"
        ):
            graph.replace_input(before.tensorIndex, int(consumers[0].outputs[0]))
            graph.replace(after.tensorIndex, int(producer.inputs[0]))
            graph.remove([consumers[0], producer])
    for name, entry in (taken | given).items():
        graph.tensors[entry.tensorIndex].name = name.encode()


def _lowest(graph: TfliteGraph, tensor: int) -> float:
    """The lowest value that an int8 tensor can represent."""
    quantisation = graph.tensors[tensor].quantization
    if quantisation is None or quantisation.scale is None or len(quantisation.scale) != 1:
        return -np.inf
    return float(quantisation.scale[0] * (-128 - int(quantisation.zeroPoint[0])))


def _scale(graph: TfliteGraph, tensor: int) -> float:
    return float(graph.tensors[tensor].quantization.scale[0])


def _constant(graph: TfliteGraph, tensor: int) -> float:
    held = graph.tensors[tensor]
    number = int(np.frombuffer(bytes(graph.model.buffers[held.buffer].data), np.int8)[0])
    return float((number - int(held.quantization.zeroPoint[0])) * held.quantization.scale[0])
