"""Export picture runs as bundles of float and int8 ONNX graphs that contain the evidence of their own parity."""

from __future__ import annotations

import io
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from speechtl import __version__
from speechtl.errors import CheckFailedError, MissingExtraError
from speechtl.export.onnx_graph import network_to_onnx, to_bytes
from speechtl.files import writing
from speechtl.image.data import prepare
from speechtl.image.network import PictureNetwork
from speechtl.image.recipe import ImageRecipe
from speechtl.image.run import ImageRun
from speechtl.progress import progress, say
from speechtl.runtime.bundle.archive import PICTURE_KIND, write_bundle
from speechtl.runtime.bundle.pictures import INPUT, OUTPUT, PictureBundle, open_picture_bundle
from speechtl.runtime.bundle.wake_word import GOLDEN
from speechtl.runtime.engine.pictures import PictureEngine
from speechtl.runtime.parity import TOLERANCE, verify_pictures

QUANTISED = ("Conv", "MaxPool", "Concat", "Relu", "Clip", "Add")  # the output layer stays float
FLOAT, INT8 = "model.onnx", "model.int8.onnx"
GOLDEN_PICTURES = 16
CALIBRATION_PICTURES = 96  # training pictures on which the ranges of int8 are measured
CHECKED_PICTURES = 200  # validation pictures on which int8 is compared with float
AGREEMENT = 0.98  # fraction of equal answers below which int8 does not run by default
MARGIN = 1.25  # factor by which int8 may differ more on another machine
SLACK = 0.01  # of a score


class ScoringNetwork(nn.Module):
    """A picture network whose output is the probabilities of all tasks in one row."""

    def __init__(self, network: PictureNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        """Scores `(1, outputs)` of bytes `(1, 3, size, size)`."""
        return torch.cat(self.network.head.scores(self.network(pixels)), dim=1)


@progress("exporting")
def export_image_run(run: ImageRun, out: Path, *, int8: bool = True) -> dict[str, Any]:
    """Write a picture run as a bundle to `out`, complete or not at all; return its `bundle.json`.

    Golden, calibration and checked pictures are read from the recipe, so they must be on this machine. Raises `CheckFailedError` when a
    graph does not reproduce the network's scores.
    """
    data = prepare(ImageRecipe.model_validate(run.about["recipe"]), say)
    network = ScoringNetwork(run.network.to(memory_format=torch.contiguous_format).eval())  # type: ignore[call-overload]
    graph = to_onnx(network, run.settings.size)
    shown = data.validation.pixels[:GOLDEN_PICTURES]
    files = {FLOAT: graph, GOLDEN: _golden(network, shown)}
    graphs: dict[str, dict[str, Any]] = {FLOAT: {"runtime": "onnx", "precision": "fp32", "tolerance": TOLERANCE}}
    if int8:
        chosen = np.linspace(0, len(data.train) - 1, min(CALIBRATION_PICTURES, len(data.train))).astype(int).tolist()
        files[INT8] = quantise(graph, data.train.pixels[chosen].numpy())
        graphs = {INT8: {"runtime": "onnx", "precision": "int8"}, **graphs}
    about = describe(run) | {"graphs": graphs}
    with tempfile.TemporaryDirectory() as folder:
        trial = Path(folder) / "trial.wake"
        if int8:
            write_bundle(trial, about, files)
            graphs[INT8].update(_check_int8(trial, data.validation.pixels[:CHECKED_PICTURES]))
        write_bundle(trial, about, files)
        about["parity"] = [result.to_json() for result in verify_pictures(_opened(trial))]
    wrong = [result for result in about["parity"] if not result["ok"]]
    if wrong:
        raise CheckFailedError(
            f"{wrong[0]['graph']} differs from the network by {wrong[0]['largest_difference']:.2g} where {wrong[0]['tolerance']:.2g} "
            "is allowed; nothing was written."
        )
    with writing(out) as beside:
        write_bundle(beside, about, files)
    return about


def to_onnx(network: nn.Module, size: int) -> bytes:
    """The graph from bytes `(1, 3, size, size)` to scores."""
    return network_to_onnx(network, (torch.zeros(1, 3, size, size, dtype=torch.uint8),), [INPUT], [OUTPUT])


def describe(run: ImageRun) -> dict[str, Any]:
    """The content of `bundle.json` without graphs and parity."""
    copied = ("name", "pictures", "tasks", "encoder", "policy", "validation", "versions")
    return {
        "kind": PICTURE_KIND,
        **{key: run.about[key] for key in copied},
        "data": run.about["data"]["train"],
        "made_by": f"speechtl {__version__}",
    }


def quantise(graph: bytes, pixels: NDArray[np.uint8]) -> bytes:
    """Quantise a graph to uint8 activations and int8 weights per channel; `pixels` `(pictures, 3, size, size)` are for calibration."""
    try:
        import onnx
        from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process
    except ImportError as error:
        raise MissingExtraError("Export of int8 to ONNX", "train") from error

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        """The pictures, one after the other."""

        def __init__(self) -> None:
            self.left = iter(pixels)

        def get_next(self) -> dict[str, Any] | None:
            """The next picture as the graph's input, None after the last."""
            picture = next(self.left, None)
            return None if picture is None else {INPUT: picture[None]}

    with tempfile.TemporaryDirectory() as folder:
        given, prepared, made = (Path(folder) / name for name in ("float.onnx", "prepared.onnx", "int8.onnx"))
        given.write_bytes(graph)
        quant_pre_process(str(given), str(prepared))
        quantize_static(
            str(prepared),
            str(made),
            Reader(),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            calibrate_method=CalibrationMethod.MinMax,
            op_types_to_quantize=list(QUANTISED),
        )
        return to_bytes(onnx.load_from_string(made.read_bytes()))


@torch.no_grad()
def _golden(network: ScoringNetwork, pixels: Tensor) -> bytes:
    scores = torch.cat([network(picture[None]) for picture in pixels])
    stream = io.BytesIO()
    np.savez_compressed(stream, pixels=pixels.numpy(), scores=scores.numpy())
    return stream.getvalue()


def _opened(trial: Path) -> PictureBundle:
    return replace(open_picture_bundle(trial), made_here=True)


def _check_int8(trial: Path, pixels: Tensor) -> dict[str, Any]:
    """Compare int8 with float on validation pictures: tolerance of scores, and fraction of equal answers."""
    bundle = _opened(trial)
    engines = [PictureEngine(bundle, name) for name in (INT8, FLOAT)]
    differences, same = [], 0
    for picture in pixels.numpy():
        quantised, exact = (engine.run(picture) for engine in engines)
        differences.append(float(np.abs(quantised - exact).max()))
        answers = [{task: found["answer"] for task, found in engines[0].answers(scores).items()} for scores in (quantised, exact)]
        same += answers[0] == answers[1]
    agreement = same / len(pixels)
    if agreement < AGREEMENT:
        say(f"{INT8} gives other answers than {FLOAT} on {1 - agreement:.1%} of the pictures, so it only runs when requested by name.")
    return {
        "tolerance": round(max(differences) * MARGIN + SLACK, 4),
        "agreement": round(agreement, 4),
        "pictures": len(pixels),
        "default": agreement >= AGREEMENT,
    }
