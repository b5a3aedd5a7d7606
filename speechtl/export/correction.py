"""Take out of an int8 graph what rounding does to its scores on average.

Rounding shifts the logits of a word, besides scattering them, and downwards that loses words that are only just heard. So the output
layer, which is float, gets the mean difference back as a bias (bias correction, Nagel et al. 2019, section 4.2), measured on steps
that are weighted by how near the float graph is to a decision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from speechtl.runtime.engine import OUTPUT, Engine

Floats = npt.NDArray[np.float32]

PRIOR = 2.0  # sum of weights, of at most 1/4 a step, that speak for no shift: few steps say little
LIMIT = 1e-6  # of a score beside 0 and 1
LAYERS = ("Conv", "Gemm", "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")


def measure_shifts(fp32: Engine, int8: Engine, streams: Iterable[Floats]) -> Floats:
    """Return how much `(words,)` the logits of an int8 graph lie too low on log-mel frames `(frames, bands)` of recordings."""
    scores: tuple[list[Floats], list[Floats]] = ([], [])
    for stream in streams:
        for engine, found in zip((fp32, int8), scores, strict=True):
            engine.reset()
            found.append(engine.run(stream))
    return mean_shifts(*(np.concatenate(found) for found in scores))


def mean_shifts(wanted: Floats, given: Floats) -> Floats:
    """Return how much `(words,)` the logits of scores `(steps, words)` lie too low on average, each step weighted by its score's slope."""
    slope = wanted.astype(np.float64) * (1.0 - wanted)
    return np.asarray((slope * (_logits(wanted) - _logits(given))).sum(axis=0) / (slope.sum(axis=0) + PRIOR), np.float32)


def shift_onnx(content: bytes, shifts: Floats) -> bytes:
    """Return an ONNX graph with the logits of its words raised by `shifts`."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load_from_string(content)
    producer = {name: node for node in model.graph.node for name in node.output}
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    layers = _layers(OUTPUT, producer, lambda node: str(node.op_type), lambda node: node.input)
    for bias, part in _parts([constants[layer.input[2]] for layer in layers], shifts, lambda bias: int(np.prod(bias.dims))):
        bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + part, bias.name))
    made: bytes = model.SerializeToString()
    return made


def shift_tflite(content: bytes, shifts: Floats) -> bytes:
    """Return a TFLite graph with the logits of its words raised by `shifts`."""
    from speechtl.export.tflite_model import Graph, read_model, write_model

    graph = Graph(read_model(content))
    layers = _layers(graph.tensor(OUTPUT), graph.producer, graph.kind, lambda operator: [int(tensor) for tensor in operator.inputs])
    for bias, part in _parts([int(layer.inputs[2]) for layer in layers], shifts, lambda bias: len(graph.floats(bias))):
        graph.set_floats(bias, graph.floats(bias) + part)
    return write_model(graph.model)


def _layers(tensor: Any, producer: Mapping[Any, Any], kind: Callable[[Any], str], inputs: Callable[[Any], Iterable[Any]]) -> Iterator[Any]:
    """Yield the layers whose outputs are the logits, in the order of the words."""
    operator = producer.get(tensor)
    if operator is None:
        return
    if kind(operator) in LAYERS:
        yield operator
        return
    for given in inputs(operator):
        yield from _layers(given, producer, kind, inputs)


def _parts(biases: Sequence[Any], shifts: Floats, words: Callable[[Any], int]) -> Iterator[tuple[Any, Floats]]:
    """Yield the bias of each output layer with the shifts of its words."""
    ends = np.cumsum([words(bias) for bias in biases])
    assert ends[-1] == len(shifts), "the output layers found are not those of the words"
    return zip(biases, np.split(shifts, ends[:-1]), strict=True)


def _logits(scores: Floats) -> npt.NDArray[np.float64]:
    held = np.clip(scores.astype(np.float64), LIMIT, 1.0 - LIMIT)
    return np.asarray(np.log(held / (1.0 - held)))
