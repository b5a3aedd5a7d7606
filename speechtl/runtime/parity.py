"""Parity: whether every graph of a bundle gives, on this machine, the scores of the trained network."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from speechtl.errors import BundleError
from speechtl.progress import tracked
from speechtl.runtime.bundle.description import TOLERANCE as TOLERANCE
from speechtl.runtime.bundle.wake_word import Bundle, Graph
from speechtl.runtime.detector import Scorer
from speechtl.runtime.engine.select import RUNTIMES, open_engine, pairs
from speechtl.runtime.features import LogMelSettings, WaveformSettings
from speechtl.runtime.samples import SAMPLE_RATE, Array

if TYPE_CHECKING:
    from speechtl.runtime.bundle.pictures import PictureBundle

CHUNKS = (1, 37, 160, 441, 1280, 1999, 16_000)  # samples, to a second
PHASES = (0, 1, 79, 159)  # samples within a hop that come as a chunk of their own at the start
STREAMS = [(chunk, phase) for chunk in CHUNKS for phase in PHASES if chunk > 1 or phase == 0]
SAMPLE_BY_SAMPLE = 16_000  # samples that are fed one at a time; the rest follows in larger chunks
FEW = STREAMS[::8]  # where features are the samples themselves, which chunks cannot change
GRACE = 5.0  # seconds of processor time that any graph may take
PACE = {LogMelSettings.kind: 1.0, WaveformSettings.kind: 10.0}  # a network that takes longer than the audio lasts cannot listen
MAX_SECONDS = 150.0  # of processor time for one graph, whatever the length of its golden audio


@dataclass(frozen=True)
class Parity:
    """The largest score difference of a graph over all chunk lengths and start phases."""

    graph: str
    engine: str
    largest_difference: float
    tolerance: float
    streams: int
    ok: bool

    def to_json(self) -> dict[str, Any]:
        """The fields, as JSON stores them."""
        return asdict(self)


class Allowance:
    """Limit of the processor time for verifying a graph; a graph made by this process has none."""

    def __init__(self, what: str, pace: float, *, bounded: bool = True) -> None:
        self._what, self._pace, self._bounded = what, pace, bounded
        self._begin = time.process_time()
        self._work = 0.0

    def spend(self, work: float = 0.0) -> None:
        """Add `work` to what was done; raise `BundleError` where the time so far is too long for it."""
        self._work += work
        most = min(GRACE + self._pace * self._work, MAX_SECONDS)
        if self._bounded and time.process_time() - self._begin > most:
            raise BundleError(
                f"{self._what} was stopped: it took more than {most:.0f} s of processor time, which is too slow to be of use on this "
                "machine. Verify another graph with --graph, or on a faster machine."
            )


def verify(bundle: Bundle, graph: str | None = None, engine: str | None = None) -> list[Parity]:
    """Play the golden audio to every graph that runs here, in chunks of several lengths, and compare the scores.

    `graph` and `engine` select what is verified; a graph given by name is also verified in runtimes in which it was not measured
    yet. Raises as `open_engine` does where nothing here runs the selection, and `BundleError` where a file's hash differs from
    the one that the bundle lists.
    """
    bundle.files.check_hashes()
    golden = bundle.golden()
    if graph is not None or engine is not None:
        open_engine(bundle, graph, engine)
    streams = STREAMS if isinstance(bundle.features, LogMelSettings) else FEW
    results = []
    for made, runtime in pairs(bundle, unmeasured=graph is not None):
        if graph not in (None, made.name) or engine not in (None, runtime.package):
            continue
        scorer = Scorer.of(bundle, made.name, runtime.package)
        what = f"{made.name} in {runtime.package}"
        allowance = Allowance(f"{bundle.path}: verifying {what}", PACE[bundle.features.kind], bounded=not bundle.made_here)
        differences = [
            _difference(scorer, golden, chunk, phase, allowance)
            for chunk, phase in tracked(
                f"verifying {what}, stream", streams[::-1], len(streams)
            )  # long chunks first: they show a slow graph soonest
        ]
        tolerance = TOLERANCE if made.tolerance is None else made.tolerance
        largest = float(np.max(differences))  # NaN where one of them is
        results.append(Parity(made.name, runtime.package, largest, tolerance, len(differences), largest <= tolerance))
    return results


def verify_pictures(bundle: PictureBundle) -> list[Parity]:
    """Show the golden pictures to every graph and compare the scores with those of the trained network."""
    from speechtl.runtime.engine.pictures import ENGINE, SECONDS_PER_PICTURE, PictureEngine  # needs Pillow and ONNX Runtime

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


def not_run(bundle: Bundle) -> list[str]:
    """A sentence, with what to do, for each graph that was not verified on this machine."""
    judged = {made.name for made, _ in pairs(bundle)}
    here = {made.name: runtime.package for made, runtime in pairs(bundle, unmeasured=True)}
    return [_not_run(bundle, made, here.get(made.name)) for made in bundle.graphs.values() if made.name not in judged]


def _not_run(bundle: Bundle, graph: Graph, unmeasured: str | None) -> str:
    if unmeasured:
        return (
            f"{graph.name} was not verified: it was not measured in {unmeasured} yet, which runs it only when it is given by name. "
            f"Measure it with: speechtl verify {bundle.path} --graph {graph.name}"
        )
    package = next((runtime.package for runtime in RUNTIMES.values() if runtime.runs(graph)), "-U speechtl")
    return f"{graph.name} was not verified: nothing on this machine runs it. Install a runtime with: pip install {package}"


def table(results: Sequence[Mapping[str, Any]]) -> str:
    """A table of results as `Parity.to_json` gives them."""
    rows = [("graph", "engine", "difference", "allowed", "streams", "verdict")]
    rows += [
        (
            result["graph"],
            result["engine"],
            f"{result['largest_difference']:.1e}",
            f"{result['tolerance']:.1e}",
            str(result["streams"]),
            "ok" if result["ok"] else "FAILED",
        )
        for result in results
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)


def _difference(scorer: Scorer, golden: dict[str, Array], chunk: int, phase: int, allowance: Allowance) -> float:
    scorer.reset()
    audio, expected = golden["audio"], golden["scores"]
    parts = [scorer.feed(audio[:phase])]
    start = phase
    while start < len(audio):
        length = chunk if chunk > 1 or start < SAMPLE_BY_SAMPLE else 160
        parts.append(scorer.feed(audio[start : start + length]))
        start += length
        allowance.spend(length / SAMPLE_RATE)
    scores = np.concatenate(parts).astype(np.float64)
    expected = expected.reshape(len(expected), -1)
    if scores.shape != expected.shape:
        return float("inf")
    return float(np.abs(scores - expected).max())
