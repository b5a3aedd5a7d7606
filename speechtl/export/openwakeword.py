"""Convert a run's head to openWakeWord's format: 16 embeddings `(1, 16, 96)` in, one score `(1, 1)` out.

openWakeWord computes the embeddings itself, with the published encoder, and keeps the last 16. Therefore only heads on that encoder with
a receptive field of at most 16 embeddings can be converted; for these the conversion is exact. The detector's smoothing becomes part
of the graph, because openWakeWord compares single scores.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from speechtl.audio.encoders import load_encoder
from speechtl.audio.run import Run
from speechtl.errors import SpeechtlError
from speechtl.export.onnx_graph import network_to_onnx
from speechtl.export.step import lean
from speechtl.export.tflite_graph import network_to_tflite
from speechtl.files import write_json, writing

ENCODER = "speech-embedding"
WINDOW = 16  # embeddings that openWakeWord keeps


class WindowHead(nn.Module):
    """A head and the detector's smoothing, applied to a window of embeddings."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.head = lean(run.network.head)
        self.embedding_size = run.network.head.input_size
        self.steps = run.network.head.receptive_field + run.trigger.smoothing - 1
        self.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        self.eval()

    def forward(self, embeddings: Tensor) -> Tensor:
        """The smoothed score `(1, 1)` after embeddings `(1, 16, 96)`."""
        recent = embeddings[:, WINDOW - self.steps :].transpose(1, 2)[:, :, :, None]
        logits: Tensor = self.head(recent)
        return torch.sigmoid(logits.mean(dim=2)).reshape(1, 1)

    def window(self) -> Tensor:
        """An example input of `forward`."""
        return torch.zeros(1, WINDOW, self.embedding_size)


def convert(run: Run, folder: Path, *, tflite: bool = True) -> dict[str, Any] | None:
    """Write `NAME.onnx` into a folder, with `tflite` also `NAME.tflite` and linux-voice-assistant's `NAME.json`; return that JSON.

    linux-voice-assistant runs TFLite only, so that without it there is no JSON.
    Raises `SpeechtlError` with the reason when the conversion is impossible.
    """
    _check(run)
    head = WindowHead(run)
    made = {f"{run.name}.onnx": network_to_onnx(head, (head.window(),), ["embeddings"], ["score"])}
    made |= {f"{run.name}.tflite": network_to_tflite(head, (head.window(),))} if tflite else {}
    for name, content in made.items():
        with writing(folder / name) as beside:
            beside.write_bytes(content)
    if not tflite:
        return None
    described = describe(run, f"{run.name}.tflite")
    write_json(folder / f"{run.name}.json", described)
    return described


def describe(run: Run, model: str) -> dict[str, Any]:
    """The JSON file with which linux-voice-assistant finds an openWakeWord model."""
    cutoff: Mapping[str, float] = {"probability_cutoff": round(run.trigger.threshold, 4)}
    return {"type": "openWakeWord", "wake_word": run.about["phrases"][0], "model": model, "openWakeWord": dict(cutoff)}


def _check(run: Run) -> None:
    if run.network.encoder.info.name != ENCODER:
        raise SpeechtlError(
            f"{run.name} uses the encoder {run.network.encoder.info.name!r}; openWakeWord only has Google's speech_embedding. "
            f'Train with encoder = "{ENCODER}".'
        )
    if run.network.head.words != 1:
        raise SpeechtlError(f"{run.name} has {run.network.head.words} words; openWakeWord takes one word per file.")
    published: dict[str, Tensor] = load_encoder(ENCODER).state_dict()
    tuned = [name for name, weights in run.network.encoder.state_dict().items() if not torch.equal(weights, published[name])]
    if tuned:
        raise SpeechtlError(
            f"The encoder of {run.name} was fine-tuned ({len(tuned)} of its tensors changed, policy {run.about['policy']}), and "
            "openWakeWord computes the embeddings with the published one, for which this head gives random scores. "
            'Train with policy = "head" to convert.'
        )
    needed = run.network.head.receptive_field + run.trigger.smoothing - 1
    if needed > WINDOW:
        raise SpeechtlError(
            f"A score of {run.name} needs {needed} embeddings (the head {run.network.head.receptive_field}, smoothing over "
            f"{run.trigger.smoothing}); openWakeWord keeps {WINDOW}. Train with a shorter head or less smoothing."
        )
