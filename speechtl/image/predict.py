"""Predictions for pictures, with a run's folder or a bundle."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechtl.errors import PictureError, SpeechtlError
from speechtl.runtime.bundle.pictures import open_picture_bundle
from speechtl.runtime.engine.pictures import PictureEngine, answer
from speechtl.runtime.pictures import PictureSettings, read_pixels

Answer = Callable[[NDArray[np.uint8]], dict[str, Any]]  # for every task of a picture


def predict_files(model: Path, files: Sequence[Path], graph: str | None = None) -> Iterator[dict[str, Any]]:
    """Yield for each file `{"file", task: {"answer", "scores"}, ...}`, or `{"file", "error"}` if it cannot be read.

    A run's folder needs the packages for training; a bundle only needs ONNX Runtime and Pillow. Raises `SpeechtlError` for `graph` with
    a run's folder, which has no graphs.
    """
    if graph is not None and model.is_dir():
        raise SpeechtlError(f"--graph chooses a graph of a bundle, but {model} is a run folder; leave out --graph, or give a bundle.")
    settings, answers = _of_run(model) if model.is_dir() else _of_bundle(model, graph)
    for file in files:
        try:
            pixels = read_pixels(file, settings)
        except PictureError as error:
            yield {"file": str(file), "error": str(error)}
            continue
        yield {"file": str(file)} | answers(pixels)


def _of_bundle(model: Path, graph: str | None) -> tuple[PictureSettings, Answer]:
    bundle = open_picture_bundle(model)
    engine = PictureEngine(bundle, graph)
    return bundle.settings, lambda pixels: engine.answers(engine.run(pixels))


def _of_run(model: Path) -> tuple[PictureSettings, Answer]:
    import torch

    from speechtl.image.run import load_run

    run = load_run(model)

    def answers(pixels: NDArray[np.uint8]) -> dict[str, Any]:
        scores = run.network.scores(torch.from_numpy(pixels)[None])
        return {task.name: answer(task.classes, part[0].tolist()) for task, part in zip(run.network.head.tasks, scores, strict=True)}

    return run.settings, answers
