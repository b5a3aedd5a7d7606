"""Run the graph of a picture bundle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from speechtl.errors import BundleError, SpeechtlError
from speechtl.runtime.bundle.archive import reason
from speechtl.runtime.bundle.pictures import INPUT, OUTPUT
from speechtl.runtime.engine.passed import trial_name
from speechtl.runtime.engine.trial import try_once

try:
    import onnxruntime

    from speechtl.runtime.engine.onnx import load_graph
except ImportError as error:
    raise SpeechtlError("Bundles for pictures need ONNX Runtime. Install it with: pip install onnxruntime (64-bit systems)") from error

if TYPE_CHECKING:
    from speechtl.runtime.bundle.pictures import PictureBundle, Pixels, Scores

ENGINE = "onnxruntime"
SECONDS_PER_PICTURE = 2.0  # of processor time, enough for the largest networks


class PictureEngine:
    """One graph of a bundle in ONNX Runtime, on one thread."""

    def __init__(self, bundle: PictureBundle, graph: str | None = None) -> None:
        self.bundle = bundle
        self.graph = bundle.graph(graph)
        content = bundle.files[self.graph]
        if not bundle.made_here:
            name = trial_name(bundle.files.sha256(self.graph), onnxruntime, bundle.settings.size, bundle.outputs)
            try_once(name, lambda: self._first_picture(content), len(content), f"{bundle.path}: {self.graph}")
        self._session = self._load(content)

    def _load(self, content: bytes) -> Any:
        """A session whose inputs and outputs are those of the bundle's description."""
        try:
            session = load_graph(content)
        except Exception as error:  # the runtime raises a dozen types without a common parent
            raise BundleError(f"{self.bundle.path}: {ENGINE} cannot load {self.graph}: {reason(error)}") from error
        size = self.bundle.settings.size
        given = [(value.name, value.shape, value.type) for value in session.get_inputs()]
        if given != [(INPUT, [1, 3, size, size], "tensor(uint8)")]:
            raise BundleError(f"{self.bundle.path} is damaged: {self.graph} does not take the pictures in its description.")
        scores = [(value.shape, value.type) for value in session.get_outputs() if value.name == OUTPUT]
        if scores != [([1, self.bundle.outputs], "tensor(float)")]:
            raise BundleError(f"{self.bundle.path} is damaged: {self.graph} does not give the scores in its description.")
        return session

    def _first_picture(self, content: bytes) -> None:
        size = self.bundle.settings.size
        try:
            self._load(content).run([OUTPUT], {INPUT: np.zeros((1, 3, size, size), np.uint8)})
        except BundleError:
            raise
        except Exception as error:
            raise BundleError(f"{self.bundle.path}: {ENGINE} cannot run {self.graph}: {reason(error)}") from error

    def run(self, pixels: Pixels) -> Scores:
        """Scores `(outputs,)` of one picture, bytes `(3, size, size)`."""
        scores: Scores = self._session.run([OUTPUT], {INPUT: pixels[None]})[0][0]
        return scores

    def answers(self, scores: Scores) -> dict[str, Any]:
        """Answer and scores of every task, as JSON stores them."""
        found: dict[str, Any] = {}
        first = 0
        for name, classes in self.bundle.tasks:
            width = len(classes) or 1
            found[name] = answer(classes, scores[first : first + width].tolist())
            first += width
        return found


def answer(classes: tuple[str, ...], scores: list[float]) -> dict[str, Any]:
    """Answer of one task: the most probable class, or yes or no."""
    if not classes:
        return {"answer": scores[0] > 0.5, "score": round(scores[0], 4)}
    best = max(range(len(scores)), key=scores.__getitem__)
    return {"answer": classes[best], "scores": {name: round(score, 4) for name, score in zip(classes, scores, strict=True)}}
