"""A network's step as a TFLite graph, channels last, with all states in the open and its tensors named as in ONNX."""

from __future__ import annotations

import logging
import os
import warnings

import torch

from speechtl.errors import MissingExtraError, SpeechtlError
from speechtl.export.step import ExportStep
from speechtl.export.unconverted import explain
from speechtl.runtime.engine.session import INPUT, OUTPUT
from speechtl.runtime.silence import quiet


def to_tflite(step: ExportStep) -> bytes:
    """Return the graph `(log_mel, states) -> (score, new states)` as TFLite, its frames and states `(1, frames, bands, channels)`.

    Raises `SpeechtlError` when an operator cannot be converted.
    """
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    try:
        with quiet():
            import litert_torch
    except ImportError as error:
        raise MissingExtraError("Export to TFLite", "export") from error
    inputs = step.inputs()
    states = list(range(1, len(inputs)))
    channels_last = tuple(value.permute(0, 2, 3, 1).contiguous() for value in inputs)
    try:
        with warnings.catch_warnings(), quiet(), torch.no_grad():
            warnings.simplefilter("ignore")
            logging.getLogger("torch.export").setLevel(logging.ERROR)
            module = litert_torch.to_channel_last_io(step, args=[0, *states], outputs=states)
            content: bytes = litert_torch.convert(module, channels_last).model_content()
    except Exception as error:  # the converter's many stages raise types of their own
        raise SpeechtlError(
            f"The network cannot be converted to TFLite: {explain(step, step.inputs(), error)} Or leave TFLite out with --no-tflite."
        ) from error
    return _rename(content, step)


def _rename(content: bytes, step: ExportStep) -> bytes:
    """Name inputs and outputs as the engine knows them, and everything between shortly: the converter's names fill kilobytes."""
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
    """Return which input or output the converter means by a name such as `args_3` or `output_0`."""
    return int(next(part for part in reversed(name.split("_")) if part.isdigit()))
