"""Quantise a TFLite step graph to int8: weights per channel, activations by ranges measured on real recordings.

The features and the first convolution, which takes them, stay float, and so does the output layer with its sigmoid: a score in
256 steps could not tell 0.97 from 0.98. States are int8. A state and the new one that replaces it get one scale, so a stream
carries them from step to step without rounding them again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from speechtl.errors import MissingExtraError
from speechtl.export.int8.ranges import Ranges, measure, share
from speechtl.export.int8.scales import ALL_LEVELS, weight_scales
from speechtl.export.int8.tflite_model import Graph, read_model, write_model
from speechtl.runtime.bundle.wake_word import State
from speechtl.runtime.engine.session import INPUT, OUTPUT
from speechtl.runtime.silence import quiet

Floats = npt.NDArray[np.float32]

CHANNELS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0}  # the axis of their weights that counts them
CONVOLUTIONS = (*CHANNELS, "BATCH_MATMUL")
ONE_SCALE = ("CONCATENATION", "SLICE", "STRIDED_SLICE", "RESHAPE", "TRANSPOSE", "MAX_POOL_2D")  # their inputs and outputs share one


def quantise_tflite(content: bytes, states: list[State], streams: Iterable[Floats], silent_steps: int, levels: int) -> bytes:
    """Return the int8 graph of a float one; `streams` are log-mel frames `(frames, bands)` of recordings to measure ranges on.

    Weights take `levels` steps above and below zero, at most `ALL_LEVELS`: with fewer a bundle packs better.
    """
    try:
        with quiet():
            from ai_edge_quantizer import algorithm_manager, qtyping, quantizer, recipe
    except ImportError as error:
        raise MissingExtraError("Export of int8 to TFLite", "export") from error
    graph = Graph(read_model(content))
    watched = _WatchedTflite(content, states)
    kept = _float_operators(graph)
    ranges = measure(watched, states, streams, watched.frames, silent_steps)
    _saturate(graph, ranges)
    share(
        ranges,
        [
            *(_names(graph, operator) for operator in graph.operators if graph.kind(operator) in ONE_SCALE),
            *([state.name, state.output] for state in states),
        ],
    )
    with quiet():
        made = quantizer.Quantizer(bytearray(content), recipe.static_wi8_ai8())
        for scope in (*kept, f"{INPUT};", f"{OUTPUT};"):
            made.update_quantization_recipe(
                f"^{scope}", qtyping.TFLOperationName.ALL_SUPPORTED, None, algorithm_manager.AlgorithmName.NO_QUANTIZE
            )
        values = {name: _limits(found.low, found.high) for name, found in ranges.items()}
        values |= _weight_limits(graph, kept, levels)
        quantised = bytes(made.quantize(values, enable_progress_report=False).quantized_model)
    return _finish(quantised, states)


class _WatchedTflite:
    """The float graph, whose memory keeps every tensor."""

    def __init__(self, content: bytes, states: list[State]) -> None:
        from ai_edge_litert.interpreter import Interpreter

        with quiet():
            self._interpreter = Interpreter(model_content=content, num_threads=1, experimental_preserve_all_tensors=True)
            self._interpreter.allocate_tensors()
        self._inputs = {value["name"]: value for value in self._interpreter.get_input_details()}
        self._watched = [value for value in self._interpreter.get_tensor_details() if value["dtype"] == np.float32 and value["name"]]
        self._states = states
        self.frames = int(self._inputs[INPUT]["shape"][1])

    def start(self) -> Mapping[str, Floats]:
        """Return zero states by name."""
        return {state.name: np.zeros(self._inputs[state.name]["shape"], np.float32) for state in self._states}

    def step(self, frames: Floats, states: Mapping[str, Floats]) -> Mapping[str, Floats]:
        """Return all float tensors by name after a step."""
        given = self._inputs[INPUT]
        self._interpreter.set_tensor(given["index"], frames.reshape(given["shape"]))
        for name, values in states.items():
            self._interpreter.set_tensor(self._inputs[name]["index"], values)
        self._interpreter.invoke()
        shown: dict[str, Floats] = {}
        for tensor in self._watched:
            try:
                shown[tensor["name"]] = self._interpreter.get_tensor(tensor["index"])
            except ValueError:  # fused away: no operator of its own writes it
                continue
        return shown


def _names(graph: Graph, operator: Any) -> list[str]:
    return [graph.name(int(tensor)) for tensor in (*operator.inputs, *operator.outputs) if tensor >= 0]


def _weight_limits(graph: Graph, kept: Collection[str], levels: int) -> dict[str, dict[str, Floats]]:
    """The range of every channel of the weights that become int8, by name."""
    limits = {}
    for operator in graph.operators:
        kind, weights = graph.kind(operator), int(operator.inputs[1]) if len(operator.inputs) > 1 else -1
        if kind in CHANNELS and graph.is_constant(weights) and graph.scope(operator) not in kept:
            highest = ALL_LEVELS * weight_scales(graph.values(weights), CHANNELS[kind], levels)
            limits[graph.name(weights)] = {"min": -highest, "max": highest}
    return limits


def _limits(low: float, high: float) -> dict[str, Floats]:
    return {"min": np.full((1, 1, 1, 1), low, np.float32), "max": np.full((1, 1, 1, 1), high, np.float32)}


def _saturate(graph: Graph, ranges: Ranges) -> None:
    """Let `max(leaky_relu(x), c)` clip by the lowest number of x that int8 can hold: nothing below `c / slope` matters."""
    for operator in graph.operators:
        clip = _clip(graph, operator)
        if clip is None:
            continue
        leaky, low = clip
        found = [leaky.outputs[0], *operator.outputs]
        for tensor in (leaky.inputs[0], *found):
            ranges[graph.name(int(tensor))].low = low if tensor in found else low / leaky.builtinOptions.alpha


def _clip(graph: Graph, operator: Any) -> tuple[Any, float] | None:
    """Return the leaky ReLU behind which an operator clips, and from where on."""
    if graph.kind(operator) != "MAXIMUM":
        return None
    constants = [graph.constant(int(tensor)) for tensor in operator.inputs]
    makers = [graph.producer.get(int(tensor)) for tensor in operator.inputs]
    for low, maker in zip(reversed(constants), makers, strict=True):
        if low is not None and graph.kind(maker) == "LEAKY_RELU":
            return maker, low
    return None


def _float_operators(graph: Graph) -> list[str]:
    """Return the scopes of all operators before and with the first convolution, and with and behind the output layer."""
    front = {graph.tensor(INPUT)}
    kept: list[Any] = []
    reached: set[int] = set()
    for operator in graph.operators:  # everything made of the features up to the first convolution
        if front & {int(tensor) for tensor in operator.inputs}:
            kept.append(operator)
            if graph.kind(operator) not in CONVOLUTIONS:
                front |= {int(tensor) for tensor in operator.outputs}
                reached |= {int(tensor) for tensor in operator.inputs}
    wanted = {graph.tensor(OUTPUT)} | {tensor for tensor in reached if tensor not in graph.graph.inputs}
    for operator in reversed(graph.operators):  # what makes the scores, back to the output layer; and what joins the features
        if wanted & {int(tensor) for tensor in operator.outputs}:
            kept.append(operator)
            if graph.kind(operator) not in CONVOLUTIONS:
                wanted |= {int(tensor) for tensor in operator.inputs}
    return sorted(map(graph.scope, kept))


def _finish(content: bytes, states: list[State]) -> bytes:
    """Let int8 states go in and out as they are, activate in int8, and drop clips that saturation has taken over."""
    graph = Graph(read_model(content))
    _activate_int8(graph)
    _drop_clips(graph)
    _int8_states(graph, states)
    graph.prune()
    return write_model(graph.model)


def _activate_int8(graph: Graph) -> None:
    """The quantizer leaves LEAKY_RELU in float between two conversions; runtimes have it in int8."""
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


def _drop_clips(graph: Graph) -> None:
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


def _int8_states(graph: Graph, states: list[State]) -> None:
    """Take the conversions away that stand between a float state and the int8 that the graph computes with."""
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


def _lowest(graph: Graph, tensor: int) -> float:
    """Return the lowest number that an int8 tensor can hold."""
    quantisation = graph.tensors[tensor].quantization
    if quantisation is None or quantisation.scale is None or len(quantisation.scale) != 1:
        return -np.inf
    return float(quantisation.scale[0] * (-128 - int(quantisation.zeroPoint[0])))


def _scale(graph: Graph, tensor: int) -> float:
    return float(graph.tensors[tensor].quantization.scale[0])


def _constant(graph: Graph, tensor: int) -> float:
    held = graph.tensors[tensor]
    number = int(np.frombuffer(bytes(graph.model.buffers[held.buffer].data), np.int8)[0])
    return float((number - int(held.quantization.zeroPoint[0])) * held.quantization.scale[0])
