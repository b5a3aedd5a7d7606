"""The bundle of a picture network: the same kind of file as for wake words, with the form of the pictures, the tasks and the graphs.

Runs with numpy, ONNX Runtime and Pillow alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechtl.errors import BundleError
from speechtl.runtime.bundle.archive import DAMAGE, PICTURE_KIND, Files, field_of, read_archive, reason
from speechtl.runtime.bundle.arrays import read_arrays
from speechtl.runtime.bundle.description import MAX_GRAPHS, MAX_NAME, TOLERANCE, check_provenance, read_tolerance
from speechtl.runtime.bundle.document import Field
from speechtl.runtime.bundle.wake_word import GOLDEN
from speechtl.runtime.pictures import PictureSettings

INPUT = "pixels"
OUTPUT = "scores"
MAX_SIDE = 1024  # pixels
MAX_TASKS = 256
MAX_CLASSES = 10_000
MAX_PIXELS = 16 * 3 * MAX_SIDE**2  # values of all golden pictures
MAX_SCORES = 1_000_000
REQUIRED = ("name", "pictures", "tasks", "graphs", "files")

Pixels = NDArray[np.uint8]
Scores = NDArray[np.float32]


@dataclass(frozen=True)
class PictureGraph:
    """One graph of a bundle: its precision, whether it runs by default, and the tolerance of its verification."""

    precision: str
    default: bool
    tolerance: float


@dataclass(frozen=True)
class PictureBundle:
    """A bundle that was read and checked."""

    path: Path
    about: Mapping[str, Any]
    files: Files

    settings: PictureSettings  # the input form of the graphs
    tasks: tuple[tuple[str, tuple[str, ...]], ...]  # each task's name and classes; without classes the answer is yes or no
    graphs: Mapping[str, PictureGraph]
    made_here: bool = False  # by this process, so its graphs are trusted

    @property
    def name(self) -> str:
        """The name of the bundle."""
        return str(self.about["name"])

    @property
    def outputs(self) -> int:
        """Number of scores of a picture."""
        return sum(len(classes) or 1 for _, classes in self.tasks)

    def graph(self, name: str | None = None) -> str:
        """The graph of that name, or the first that runs by default."""
        if name is not None and name not in self.graphs:
            raise BundleError(f"{self.path} has no graph {name!r}; it has: {', '.join(self.graphs)}.")
        return name or next(name for name, graph in self.graphs.items() if graph.default)

    def golden(self) -> tuple[Pixels, Scores]:
        """The golden pictures and their expected scores."""
        if GOLDEN not in self.files:
            raise BundleError(f"{self.path} has no golden pictures; export it again.")
        try:
            arrays = read_arrays(self.files[GOLDEN], {"pixels": (0, MAX_PIXELS), "scores": (0, MAX_SCORES)})
            pixels, scores = arrays["pixels"], arrays["scores"]
        except (KeyError, *DAMAGE) as error:
            raise BundleError(f"{self.path} is damaged: {GOLDEN} cannot be read ({reason(error)}).") from error
        size = self.settings.size
        shown = pixels.size > 0 and pixels.dtype == np.uint8 and pixels.shape[1:] == (3, size, size)
        if not shown or scores.dtype.kind != "f" or scores.shape != (len(pixels), self.outputs):
            raise BundleError(f"{self.path} is damaged: {GOLDEN} does not contain pictures and their scores.")
        return pixels, scores


def open_picture_bundle(path: Path | str) -> PictureBundle:
    """Open a bundle; raise `BundleError` for one that is damaged, unknown or unsafe."""
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
        raise BundleError("tasks contains two tasks, or two classes of a task, of the same name.")
    return tasks


def _graphs(field: Field) -> dict[str, PictureGraph]:
    return {Field("a name in graphs", name).text(MAX_NAME): _graph(graph) for name, graph in field.items(MAX_GRAPHS)}


def _graph(field: Field) -> PictureGraph:
    field["runtime"].one_of("onnx")
    tolerance = read_tolerance(field)
    return PictureGraph(
        field.get("precision", "fp32").text(MAX_NAME), field.get("default", True).flag(), TOLERANCE if tolerance is None else tolerance
    )
