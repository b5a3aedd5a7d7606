"""Say which operator of which layer a converter cannot convert; the converters themselves say it on pages of their own."""

from __future__ import annotations

import re
from collections.abc import Iterator

import torch
from torch import Tensor, nn

OPERATOR = re.compile(r"\baten\.(\w+)")
INSTEAD = "Build that layer of convolutions, products, sums, pooling, ReLU, sigmoid, tanh or softmax instead."


def explain(network: nn.Module, examples: tuple[Tensor, ...], error: BaseException) -> str:
    """Return in one sentence or two what a converter stumbled over, and what to use instead."""
    found = next((match[1] for message in _messages(error) if (match := OPERATOR.search(message))), None)
    if found is None:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return f"{(lines[0] if lines else type(error).__name__).rstrip('.:')}."
    return f"it has no operator {found!r}, which {_layer(network, examples, found)} uses. {INSTEAD}"


def _messages(error: BaseException | None) -> Iterator[str]:
    """Yield what the causes of an error say, the first cause first."""
    if error is not None:
        yield from _messages(error.__cause__)
        yield str(error)


def _layer(network: nn.Module, examples: tuple[Tensor, ...], operator: str) -> str:
    """Return the name and type of the first layer that uses an operator."""
    program = torch.export.export(network, examples).run_decompositions()
    for node in program.graph.nodes:
        stack = list(node.meta.get("nn_module_stack", {}).values())
        if node.op == "call_function" and f"aten.{operator}." in f"{node.target}." and len(stack) > 1:
            path, kind = stack[-1]
            return f"the layer {path} ({str(kind).rpartition('.')[2]})"
    return "the network"
