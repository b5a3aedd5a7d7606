"""Convert networks to TFLite; the step of a wake word is channels last, and its inputs and outputs are named as in ONNX."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from speechtl.errors import MissingExtraError, SpeechtlError
from speechtl.export.onnx_graph import explain
from speechtl.export.step import ExportStep
from speechtl.runtime.engine.session import INPUT, OUTPUT
from speechtl.runtime.silence import quiet


def to_tflite(step: ExportStep) -> bytes:
    """The graph `(log_mel, states) -> (score, new states)` as TFLite, with frames and states `(1, frames, bands, channels)`.

    Raises `SpeechtlError` when an operator cannot be converted.
    """
    inputs = step.inputs()
    return _rename(network_to_tflite(step, inputs, range(len(inputs)), range(1, len(inputs))), step)


def network_to_tflite(
    network: nn.Module, examples: tuple[Tensor, ...], last_inputs: Sequence[int] = (), last_outputs: Sequence[int] = ()
) -> bytes:
    """Convert a network to TFLite; `examples` have the shapes of its inputs, and `last_inputs` and `last_outputs` become channels last.

    Raises `SpeechtlError` when an operator cannot be converted.
    """
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    try:
        with quiet():
            import litert_torch
    except ImportError as error:
        raise MissingExtraError("Export to TFLite", "export") from error
    converted, given = network, examples
    if last_inputs or last_outputs:
        given = tuple(value.permute(0, 2, 3, 1).contiguous() if index in last_inputs else value for index, value in enumerate(examples))
        converted = litert_torch.to_channel_last_io(network, args=list(last_inputs), outputs=list(last_outputs))
    try:
        with warnings.catch_warnings(), quiet(), torch.no_grad():
            warnings.simplefilter("ignore")
            logging.getLogger("torch.export").setLevel(logging.ERROR)
            content: bytes = litert_torch.convert(converted, given).model_content()
    except Exception as error:  # the stages of the converter raise many types
        raise SpeechtlError(
            f"The network cannot be converted to TFLite: {explain(network, examples, error)} Or leave TFLite out with --no-tflite."
        ) from error
    return content


def _rename(content: bytes, step: ExportStep) -> bytes:
    """Give inputs and outputs the names that the engine expects, and short names to all other tensors to save kilobytes."""
    from speechtl.export.int8.tflite_model import read_model, write_model

    model = read_model(content)
    graph, signature, states = model.subgraphs[0], model.signatureDefs[0], step.states()
    for index, tensor in enumerate(graph.tensors):
        tensor.name = f"t{index}".encode()
    for entries, names in (
        (signature.inputs, [INPUT, *(state.name for state in states)]),
        (signature.outputs, [OUTPUT, *(state.output for state in states)]),
    ):
        for entry in entries:
            entry.name = names[_position(entry.name.decode())].encode()
            graph.tensors[entry.tensorIndex].name = entry.name
    return write_model(model)


def _position(name: str) -> int:
    """Index of an input or output in a converter's name such as `args_3` or `output_0`."""
    return int(next(part for part in reversed(name.split("_")) if part.isdigit()))
