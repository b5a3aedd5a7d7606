"""A network's step as an ONNX graph with all states in the open."""

from __future__ import annotations

import importlib.util
import io
import logging
import warnings
from contextlib import redirect_stderr, redirect_stdout

import torch

from speechtl.audio.encoders import silence
from speechtl.audio.model import StepNetwork, WakeWordNetwork
from speechtl.errors import MissingExtraError, SpeechtlError
from speechtl.runtime.bundle import State
from speechtl.runtime.engine import INPUT, OUTPUT

OPSET = 18


def to_onnx(network: WakeWordNetwork) -> tuple[bytes, list[State]]:
    """Return the graph `(log_mel, states) -> (score, new states)` as ONNX, and what its states are."""
    if importlib.util.find_spec("onnxscript") is None:
        raise MissingExtraError("Export to ONNX", "train")
    step = StepNetwork(network)
    frames = silence(network.encoder.features, 1, network.encoder.stride)
    with torch.no_grad():
        _, states = step(frames, None)
    described = [State(f"state_{index}", f"new_state_{index}", tuple(state.shape)) for index, state in enumerate(states)]
    return _export(step, (frames, states), described), described


def _export(step: StepNetwork, inputs: tuple[torch.Tensor, list[torch.Tensor]], states: list[State]) -> bytes:
    said = io.StringIO()  # the exporter reports every stage on stdout, which belongs to the command's own output
    try:
        with warnings.catch_warnings(), redirect_stdout(said), redirect_stderr(said):
            warnings.simplefilter("ignore")
            logging.getLogger("torch.onnx").setLevel(logging.ERROR)
            program = torch.onnx.export(
                step,
                inputs,
                dynamo=True,
                external_data=False,
                opset_version=OPSET,
                input_names=[INPUT, *(state.name for state in states)],
                output_names=[OUTPUT, *(state.output for state in states)],
            )
    except torch.onnx.errors.OnnxExporterError as error:
        raise SpeechtlError(f"The network cannot be converted to ONNX: {str(error).splitlines()[0]}") from error
    assert program is not None
    graph: bytes = program.model_proto.SerializeToString()
    return graph
