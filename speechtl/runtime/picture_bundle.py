"""The bundle of a picture network: the same kind of file as a wake word's, with the pictures' form, the tasks and the graphs.

Runs with numpy, ONNX Runtime and Pillow alone.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechtl.errors import BundleError, SpeechtlError
from speechtl.runtime.bundle import DAMAGE, GOLDEN, PICTURE_KIND, Files, read_archive
from speechtl.runtime.pictures import PictureSettings
from speechtl.runtime.verify import TOLERANCE, Parity

try:
    from speechtl.runtime.onnx_engine import load_graph
except ImportError as error:
    raise SpeechtlError("Bundles for pictures need ONNX Runtime. Install it with: pip install onnxruntime (64-bit systems)") from error

INPUT = "pixels"
OUTPUT = "scores"
ENGINE = "onnxruntime"
REQUIRED = ("name", "pictures", "tasks", "graphs", "files")

Pixels = NDArray[np.uint8]
Scores = NDArray[np.float32]


@dataclass(frozen=True)
class PictureBundle:
    """A bundle that was read and checked."""

    path: Path
    about: Mapping[str, Any]
    files: Files

    @property
    def settings(self) -> PictureSettings:
        """The form in which the graphs take pictures."""
        return PictureSettings(**self.about["pictures"])

    @property
    def tasks(self) -> list[tuple[str, tuple[str, ...]]]:
        """Each task's name and classes; without classes the answer is yes or no."""
        return [(str(task["name"]), tuple(map(str, task["classes"]))) for task in self.about["tasks"]]

    @property
    def outputs(self) -> int:
        """How many scores there are for a picture."""
        return sum(len(classes) or 1 for _, classes in self.tasks)

    def graph(self, name: str | None = None) -> str:
        """Return the graph of that name, or the first that runs by default."""
        graphs = self.about["graphs"]
        if name is not None and name not in graphs:
            raise BundleError(f"{self.path} has no graph {name!r}; it has: {', '.join(graphs)}.")
        return name or next(graph for graph, about in graphs.items() if about.get("default", True))

    def golden(self) -> tuple[Pixels, Scores]:
        """Return the golden pictures and the scores expected of them."""
        if GOLDEN not in self.files:
            raise BundleError(f"{self.path} carries no golden pictures; export it again.")
        try:
            with np.load(io.BytesIO(self.files[GOLDEN]), allow_pickle=False) as arrays:
                pixels, scores = arrays["pixels"], arrays["scores"]
        except (KeyError, *DAMAGE) as error:
            raise BundleError(f"{self.path} is damaged: {GOLDEN} cannot be read ({error}).") from error
        size = self.settings.size
        shown = pixels.size > 0 and pixels.dtype == np.uint8 and pixels.shape[1:] == (3, size, size)
        if not shown or scores.dtype.kind != "f" or scores.shape != (len(pixels), self.outputs):
            raise BundleError(f"{self.path} is damaged: {GOLDEN} does not hold pictures and their scores.")
        return pixels, scores


def open_picture_bundle(path: Path | str) -> PictureBundle:
    """Read and check a bundle; raise `BundleError` for anything that is damaged, unknown or unsafe."""
    path = Path(path)
    bundle = PictureBundle(path, *read_archive(path, PICTURE_KIND, REQUIRED))
    try:
        _ = bundle.settings, bundle.tasks, bundle.graph()
        fits = all(name in bundle.files and about["runtime"] == "onnx" for name, about in bundle.about["graphs"].items())
    except (KeyError, TypeError, ValueError, AttributeError, StopIteration) as error:
        raise BundleError(f"{path} is damaged: its bundle.json holds values of the wrong kind ({error!r}).") from error
    if not fits:
        raise BundleError(f"{path} is damaged, or made by a newer speechtl: it names a graph that is not in it or cannot be run.")
    return bundle


class PictureEngine:
    """One graph of a bundle in ONNX Runtime, on one thread."""

    def __init__(self, bundle: PictureBundle, graph: str | None = None) -> None:
        self.bundle = bundle
        self.graph = bundle.graph(graph)
        try:
            self._session = load_graph(bundle.files[self.graph])
        except Exception as error:  # the runtime raises a dozen types without a common parent
            raise BundleError(f"{bundle.path}: {ENGINE} cannot load {self.graph}: {str(error).splitlines()[0]}") from error
        size = bundle.settings.size
        given = ([value.name for value in self._session.get_inputs()], [value.shape for value in self._session.get_inputs()])
        if given != ([INPUT], [[1, 3, size, size]]):
            raise BundleError(f"{bundle.path} is damaged: {self.graph} does not take the pictures that it announces.")

    def run(self, pixels: Pixels) -> Scores:
        """Return the scores `(outputs,)` of one picture, bytes `(3, size, size)`."""
        scores: Scores = self._session.run([OUTPUT], {INPUT: pixels[None]})[0][0]
        return scores

    def answers(self, scores: Scores) -> dict[str, Any]:
        """Return the answer and the scores of every task, as JSON stores them."""
        found: dict[str, Any] = {}
        first = 0
        for name, classes in self.bundle.tasks:
            width = len(classes) or 1
            found[name] = answer(classes, scores[first : first + width].tolist())
            first += width
        return found


def answer(classes: tuple[str, ...], scores: list[float]) -> dict[str, Any]:
    """Return what the scores of one task say: the most probable class, or yes or no."""
    if not classes:
        return {"answer": scores[0] > 0.5, "score": round(scores[0], 4)}
    best = max(range(len(scores)), key=scores.__getitem__)
    return {"answer": classes[best], "scores": {name: round(score, 4) for name, score in zip(classes, scores, strict=True)}}


def verify_pictures(bundle: PictureBundle) -> list[Parity]:
    """Show the golden pictures to every graph and compare the scores with those of the trained network."""
    bundle.files.check_hashes()
    pixels, expected = bundle.golden()
    results = []
    for name, about in bundle.about["graphs"].items():
        engine = PictureEngine(bundle, name)
        difference = max(float(np.abs(engine.run(picture) - scores).max()) for picture, scores in zip(pixels, expected, strict=True))
        tolerance = float(about.get("tolerance", TOLERANCE))
        results.append(Parity(name, ENGINE, difference, tolerance, len(pixels), difference <= tolerance))
    return results
