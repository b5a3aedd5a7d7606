"""The bundle of a picture network: the same kind of file as a wake word's, with the pictures' form, the tasks and the graphs.

Runs with numpy, ONNX Runtime and Pillow alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechtl.errors import BundleError, SpeechtlError
from speechtl.runtime.arrays import read_arrays
from speechtl.runtime.bundle import DAMAGE, GOLDEN, PICTURE_KIND, Files, field_of, read_archive, reason
from speechtl.runtime.description import MAX_GRAPHS, MAX_NAME, check_provenance, read_tolerance
from speechtl.runtime.document import Field
from speechtl.runtime.passed import trial_name
from speechtl.runtime.pictures import PictureSettings
from speechtl.runtime.trial import try_once
from speechtl.runtime.verify import TOLERANCE, Allowance, Parity

try:
    import onnxruntime

    from speechtl.runtime.onnx_engine import load_graph
except ImportError as error:
    raise SpeechtlError("Bundles for pictures need ONNX Runtime. Install it with: pip install onnxruntime (64-bit systems)") from error

INPUT = "pixels"
OUTPUT = "scores"
ENGINE = "onnxruntime"
MAX_SIDE = 1024  # pixels
MAX_TASKS = 256
MAX_CLASSES = 10_000
MAX_PIXELS = 16 * 3 * MAX_SIDE**2  # values of all golden pictures
SECONDS_PER_PICTURE = 2.0  # of processor time, with which the largest networks still come to an end
MAX_SCORES = 1_000_000
REQUIRED = ("name", "pictures", "tasks", "graphs", "files")

Pixels = NDArray[np.uint8]
Scores = NDArray[np.float32]


@dataclass(frozen=True)
class PictureGraph:
    """One graph of a bundle: how precise it is, whether it runs unless another is asked for, and what its verification allows."""

    precision: str
    default: bool
    tolerance: float


@dataclass(frozen=True)
class PictureBundle:
    """A bundle that was read and checked."""

    path: Path
    about: Mapping[str, Any]
    files: Files

    settings: PictureSettings  # the form in which the graphs take pictures
    tasks: tuple[tuple[str, tuple[str, ...]], ...]  # each task's name and classes; without classes the answer is yes or no
    graphs: Mapping[str, PictureGraph]
    made_here: bool = False  # by this very process, so its graphs are no stranger's

    @property
    def name(self) -> str:
        """What the bundle is called."""
        return str(self.about["name"])

    @property
    def outputs(self) -> int:
        """How many scores there are for a picture."""
        return sum(len(classes) or 1 for _, classes in self.tasks)

    def graph(self, name: str | None = None) -> str:
        """Return the graph of that name, or the first that runs by default."""
        if name is not None and name not in self.graphs:
            raise BundleError(f"{self.path} has no graph {name!r}; it has: {', '.join(self.graphs)}.")
        return name or next(name for name, graph in self.graphs.items() if graph.default)

    def golden(self) -> tuple[Pixels, Scores]:
        """Return the golden pictures and the scores expected of them."""
        if GOLDEN not in self.files:
            raise BundleError(f"{self.path} carries no golden pictures; export it again.")
        try:
            arrays = read_arrays(self.files[GOLDEN], {"pixels": (0, MAX_PIXELS), "scores": (0, MAX_SCORES)})
            pixels, scores = arrays["pixels"], arrays["scores"]
        except (KeyError, *DAMAGE) as error:
            raise BundleError(f"{self.path} is damaged: {GOLDEN} cannot be read ({reason(error)}).") from error
        size = self.settings.size
        shown = pixels.size > 0 and pixels.dtype == np.uint8 and pixels.shape[1:] == (3, size, size)
        if not shown or scores.dtype.kind != "f" or scores.shape != (len(pixels), self.outputs):
            raise BundleError(f"{self.path} is damaged: {GOLDEN} does not hold pictures and their scores.")
        return pixels, scores


def open_picture_bundle(path: Path | str) -> PictureBundle:
    """Read and check a bundle; raise `BundleError` for anything that is damaged, unknown or unsafe."""
    path = Path(path)
    about, files = read_archive(path, PICTURE_KIND, REQUIRED)
    field = Field("", about)
    with field_of(path):
        field["name"].text(MAX_NAME)
        bundle = PictureBundle(path, about, files, _settings(field["pictures"]), _tasks(field["tasks"]), _graphs(field["graphs"]))
        check_provenance(field)
    if any(name not in files for name in bundle.graphs):
        raise BundleError(f"{path} is damaged, or made by a newer speechtl: it names a graph that is not in it.")
    if not any(graph.default for graph in bundle.graphs.values()):
        raise BundleError(f"{path} is damaged: it names no graph to run by default.")
    return bundle


def _settings(field: Field) -> PictureSettings:
    field.only("size", "shape", "grey")
    standard = PictureSettings()
    return PictureSettings(
        field.get("size", standard.size).whole(1, MAX_SIDE),
        field.get("shape", standard.shape).one_of("stretch", "crop", "pad"),
        field.get("grey", standard.grey).flag(),
    )


def _tasks(field: Field) -> tuple[tuple[str, tuple[str, ...]], ...]:
    tasks = tuple(
        (task["name"].text(MAX_NAME), tuple(one.text(MAX_NAME) for one in task["classes"].list(0, MAX_CLASSES)))
        for task in field.list(1, MAX_TASKS)
    )
    if len({name for name, _ in tasks}) < len(tasks) or any(len(set(classes)) < len(classes) for _, classes in tasks):
        raise BundleError("tasks holds two tasks, or two classes of one task, of one name.")
    return tasks


def _graphs(field: Field) -> dict[str, PictureGraph]:
    return {Field("a name in graphs", name).text(MAX_NAME): _graph(graph) for name, graph in field.items(MAX_GRAPHS)}


def _graph(field: Field) -> PictureGraph:
    field["runtime"].one_of("onnx")
    tolerance = read_tolerance(field)
    return PictureGraph(
        field.get("precision", "fp32").text(MAX_NAME), field.get("default", True).flag(), TOLERANCE if tolerance is None else tolerance
    )


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
        """A session that takes the pictures and gives the scores that the bundle announces."""
        try:
            session = load_graph(content)
        except Exception as error:  # the runtime raises a dozen types without a common parent
            raise BundleError(f"{self.bundle.path}: {ENGINE} cannot load {self.graph}: {reason(error)}") from error
        size = self.bundle.settings.size
        given = [(value.name, value.shape, value.type) for value in session.get_inputs()]
        if given != [(INPUT, [1, 3, size, size], "tensor(uint8)")]:
            raise BundleError(f"{self.bundle.path} is damaged: {self.graph} does not take the pictures that it announces.")
        scores = [(value.shape, value.type) for value in session.get_outputs() if value.name == OUTPUT]
        if scores != [([1, self.bundle.outputs], "tensor(float)")]:
            raise BundleError(f"{self.bundle.path} is damaged: {self.graph} does not give the scores that it announces.")
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
    for name, graph in bundle.graphs.items():
        engine = PictureEngine(bundle, name)
        allowance = Allowance(f"{bundle.path}: verifying {name}", SECONDS_PER_PICTURE, bounded=not bundle.made_here)
        difference = 0.0
        for picture, scores in zip(pixels, expected, strict=True):
            difference = float(np.maximum(difference, np.abs(engine.run(picture) - scores).max()))  # NaN where one is
            allowance.spend(1.0)
        results.append(Parity(name, ENGINE, difference, graph.tolerance, len(pixels), difference <= graph.tolerance))
    return results
