"""Convert networks to ONNX; the step of a wake word has its states as inputs and outputs."""

from __future__ import annotations

import importlib.util
import logging
import re
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from speechtl.errors import MissingExtraError, SpeechtlError
from speechtl.export.step import ExportStep
from speechtl.runtime.engine.session import INPUT, OUTPUT
from speechtl.runtime.silence import quiet

OPSET = 18
IR_VERSION = 8  # the lowest with this opset; ONNX Runtime 1.17, also in browsers, reads up to 9
OPERATOR = re.compile(r"\baten\.(\w+)")
ALTERNATIVES = "Build that layer of convolutions, products, sums, pooling, ReLU, sigmoid, tanh or softmax instead."
MAX_BYTES = 2_000_000_000  # of weights: Protocol Buffers files end at 2 GiB


def to_onnx(step: ExportStep) -> bytes:
    """The graph `(log_mel, states) -> (score, new states)` as ONNX; raises `SpeechtlError` when an operator cannot be converted."""
    weights = sum(values.numel() for values in step.parameters())
    if weights * 4 > MAX_BYTES:
        raise SpeechtlError(
            f"The network has {weights / 1e6:.0f} million weights, and an ONNX file holds at most 2 GB. Take a smaller encoder."
        )
    states = step.states()
    names = [INPUT, *(state.name for state in states)], [OUTPUT, *(state.output for state in states)]
    with sdpa_kernel(SDPBackend.MATH):  # other kernels change the memory layout
        return network_to_onnx(step, step.inputs(), *names)


def network_to_onnx(network: nn.Module, examples: tuple[Tensor, ...], inputs: Sequence[str], outputs: Sequence[str]) -> bytes:
    """Convert a network to ONNX with names for its inputs and outputs; `examples` have the shapes of the inputs.

    Raises `SpeechtlError` when an operator cannot be converted.
    """
    if importlib.util.find_spec("onnxscript") is None:
        raise MissingExtraError("Export to ONNX", "train")
    try:
        with warnings.catch_warnings(), quiet():  # the exporter prints every stage
            warnings.simplefilter("ignore")
            logging.getLogger("torch.onnx").setLevel(logging.ERROR)
            program = torch.onnx.export(
                network,
                examples,
                dynamo=True,
                external_data=False,
                opset_version=OPSET,
                input_names=inputs,
                output_names=outputs,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        raise SpeechtlError(f"The network cannot be converted to ONNX: {explain(network, examples, error)}") from error
    assert program is not None
    return to_bytes(program.model_proto)


def to_bytes(model: Any) -> bytes:
    """A graph as a file for every supported version of ONNX Runtime, without metadata, which is a tenth of it."""
    model.ir_version = IR_VERSION
    used = {node.domain for node in model.graph.node} | {""}
    opsets = [opset for opset in model.opset_import if opset.domain in used]  # ONNX Runtime refuses newer ones, even if unused
    del model.opset_import[:]
    model.opset_import.extend(opsets)
    for holder in (model, model.graph, *model.graph.node, *model.graph.input, *model.graph.output, *model.graph.value_info):
        del holder.metadata_props[:]
        holder.doc_string = ""
    del model.graph.value_info[:]
    content: bytes = model.SerializeToString()
    return content


def explain(network: nn.Module, examples: tuple[Tensor, ...], error: BaseException) -> str:
    """One or two sentences about the operator that a converter does not support, the layer that uses it, and alternatives."""
    found = next((match[1] for message in _messages(error) if (match := OPERATOR.search(message))), None)
    if found is None:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return f"{(lines[0] if lines else type(error).__name__).rstrip('.:')}."
    return f"it has no operator {found!r}, which {_layer(network, examples, found)} uses. {ALTERNATIVES}"


def _messages(error: BaseException | None) -> Iterator[str]:
    """Yield the messages of an error and its causes, the first cause first."""
    if error is not None:
        yield from _messages(error.__cause__)
        yield str(error)


def _layer(network: nn.Module, examples: tuple[Tensor, ...], operator: str) -> str:
    """Name and type of the first layer that uses an operator."""
    program = torch.export.export(network, examples).run_decompositions()
    for node in program.graph.nodes:
        stack = list(node.meta.get("nn_module_stack", {}).values())
        if node.op == "call_function" and f"aten.{operator}." in f"{node.target}." and len(stack) > 1:
            path, kind = stack[-1]
            return f"the layer {path} ({str(kind).rpartition('.')[2]})"
    return "the network"
