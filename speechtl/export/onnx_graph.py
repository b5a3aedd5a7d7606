"""A network's step as an ONNX graph with all states in the open."""

from __future__ import annotations

import importlib.util
import logging
import warnings
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from speechtl.errors import MissingExtraError, SpeechtlError
from speechtl.export.step import ExportStep
from speechtl.export.unconverted import explain
from speechtl.quiet import quiet
from speechtl.runtime.engine import INPUT, OUTPUT

OPSET = 18
LARGEST = 2_000_000_000  # bytes of weights: a file of Protocol Buffers ends at 2 GiB


def to_onnx(step: ExportStep) -> bytes:
    """Return the graph `(log_mel, states) -> (score, new states)` as ONNX; raise `SpeechtlError` when an operator cannot be converted."""
    if importlib.util.find_spec("onnxscript") is None:
        raise MissingExtraError("Export to ONNX", "train")
    weights = sum(values.numel() for values in step.parameters())
    if weights * 4 > LARGEST:
        raise SpeechtlError(
            f"The network has {weights / 1e6:.0f} million weights, and an ONNX file holds at most 2 GB. Take a smaller encoder."
        )
    states = step.states()
    try:
        with warnings.catch_warnings(), quiet(), sdpa_kernel(SDPBackend.MATH):  # it reports every stage; kernels lay out memory otherwise
            warnings.simplefilter("ignore")
            logging.getLogger("torch.onnx").setLevel(logging.ERROR)
            program = torch.onnx.export(
                step,
                step.inputs(),
                dynamo=True,
                external_data=False,
                opset_version=OPSET,
                input_names=[INPUT, *(state.name for state in states)],
                output_names=[OUTPUT, *(state.output for state in states)],
            )
    except torch.onnx.errors.OnnxExporterError as error:
        raise SpeechtlError(f"The network cannot be converted to ONNX: {explain(step, error)}") from error
    assert program is not None
    return _without_notes(program.model_proto)


def _without_notes(model: Any) -> bytes:
    """Return the graph without what the exporter notes on every node: a tenth of the file."""
    for holder in (model, model.graph, *model.graph.node, *model.graph.input, *model.graph.output, *model.graph.value_info):
        del holder.metadata_props[:]
        holder.doc_string = ""
    del model.graph.value_info[:]
    content: bytes = model.SerializeToString()
    return content
