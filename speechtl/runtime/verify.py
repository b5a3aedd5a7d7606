"""Parity: does every graph of a bundle give, on this machine, the scores that the trained network gave?"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from speechtl.runtime.bundle import Bundle
from speechtl.runtime.detector import Scorer
from speechtl.runtime.engine import pairs

CHUNKS = (160, 441, 1280, 1999, 16_000)  # samples
PHASES = (0, 1, 79)  # samples that come as a chunk of their own at the start
TOLERANCE = 1e-4  # of a score, which lies between 0 and 1


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
        """Return the fields as JSON stores them."""
        return asdict(self)


def verify(bundle: Bundle) -> list[Parity]:
    """Play the golden audio to every graph that runs here, in chunks of many lengths, and compare the scores."""
    golden = bundle.golden()
    results = []
    for graph, runtime in pairs(bundle):
        scorer = Scorer.of(bundle, graph.name, runtime.package)
        differences = [_difference(scorer, golden, chunk, phase) for chunk in CHUNKS for phase in PHASES]
        tolerance = TOLERANCE if graph.tolerance is None else graph.tolerance
        results.append(Parity(graph.name, runtime.package, max(differences), tolerance, len(differences), max(differences) <= tolerance))
    return results


def _difference(scorer: Scorer, golden: dict[str, npt.NDArray[Any]], chunk: int, phase: int) -> float:
    scorer.reset()
    audio, expected = golden["audio"], golden["scores"]
    parts = [scorer.feed(audio[:phase])]
    parts += [scorer.feed(audio[start : start + chunk]) for start in range(phase, len(audio), chunk)]
    scores = np.concatenate(parts).astype(np.float64)
    expected = expected.reshape(len(expected), -1)
    if scores.shape != expected.shape:
        return float("inf")
    return float(np.abs(scores - expected).max())
