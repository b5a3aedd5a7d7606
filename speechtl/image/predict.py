"""What a trained network says about pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from speechtl.errors import PictureError
from speechtl.image.pictures import read_pixels
from speechtl.image.run import ImageRun
from speechtl.transfer import Task


def predict_files(run: ImageRun, files: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """Yield for each file `{"file", task: {"answer", "scores"}, ...}`, or `{"file", "error"}` where it cannot be read."""
    for file in files:
        try:
            pixels = torch.from_numpy(read_pixels(file, run.settings))[None]
        except PictureError as error:
            yield {"file": str(file), "error": str(error)}
            continue
        scores = run.network.scores(pixels)
        yield {"file": str(file)} | {
            task.name: _answer(task, part[0].tolist()) for task, part in zip(run.network.head.tasks, scores, strict=True)
        }


def _answer(task: Task, scores: list[float]) -> dict[str, Any]:
    if not task.classes:
        return {"answer": scores[0] > 0.5, "score": round(scores[0], 4)}
    best = max(range(len(scores)), key=scores.__getitem__)
    return {"answer": task.classes[best], "scores": {name: round(score, 4) for name, score in zip(task.classes, scores, strict=True)}}
