"""Wall and CPU time of the stages between a microphone's chunk and an event."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from speechtl.runtime.detector import Detector, Event
from speechtl.runtime.samples import Floats, Int16, from_int16
from speechtl.runtime.sound.files import HELD_BACK, resampler

STAGES = ("resample", "features", "network", "detector")


class Resampler(Protocol):
    """Converts a stream to 16 kHz."""

    def resample_chunk(self, x: Any, last: bool = False) -> Any:
        """The converted samples that are complete so far."""


class Stopwatch:
    """Sums the wall and CPU time (nanoseconds) of calls of a method of an object; appends their results to `results` if given."""

    def __init__(self, owner: object, method: str, results: list[Any] | None = None) -> None:
        self.spent = (0, 0)
        self._call: Callable[..., Any] = getattr(owner, method)
        self._results = results
        setattr(owner, method, self._timed)

    def _timed(self, *arguments: Any) -> Any:
        wall, cpu = time.perf_counter_ns(), time.process_time_ns()
        result = self._call(*arguments)
        self.spent = (self.spent[0] + time.perf_counter_ns() - wall, self.spent[1] + time.process_time_ns() - cpu)
        if self._results is not None:
            self._results.append(result)
        return result


class TimedStream:
    """The shipped code from a microphone's chunk to events, with a stopwatch at every stage."""

    def __init__(self, detector: Detector, rate: int, block_seconds: float) -> None:
        self.rate = rate
        self.block_seconds = block_seconds
        self._detector = detector
        self._convert: Resampler | None = None
        self._results: list[Any] = []
        self._network = Stopwatch(detector.scorer.engine, "run")
        self._scorer = Stopwatch(detector.scorer, "feed", self._results)
        self._whole = Stopwatch(detector, "feed")
        self.reset()

    def reset(self) -> None:
        """Start a new stream without times and scores."""
        self._convert = resampler(self.rate, highest=self._detector.scorer.features.highest)
        self._detector.reset(self._detector.scorer.lead(self.block_seconds, HELD_BACK if self._convert else 0.0))
        self._results.clear()
        self._rows: list[tuple[tuple[int, int], ...]] = []

    @property
    def chunk_seconds(self) -> float:
        """Wall time of the last chunk."""
        return sum(wall for wall, _ in self._rows[-1]) / 1e9

    @property
    def times(self) -> npt.NDArray[np.int64]:
        """Nanoseconds `(chunks, stages, 2)`: wall and CPU time."""
        return np.array(self._rows, np.int64).reshape(-1, len(STAGES), 2)

    @property
    def scores(self) -> Floats:
        """All scores of the stream `(steps, words)`."""
        parts = [np.asarray(result, np.float32).reshape(len(result), -1) for result in self._results if len(result)]
        return np.concatenate(parts) if parts else np.zeros((0, 1), np.float32)

    def feed(self, chunk: Int16) -> list[Event]:
        """Process a chunk of the microphone; return its events."""
        before = (self._network.spent, self._scorer.spent, self._whole.spent)
        wall, cpu = time.perf_counter_ns(), time.process_time_ns()
        samples = chunk if self._convert is None else self._convert.resample_chunk(from_int16(chunk))
        resampled = (time.perf_counter_ns() - wall, time.process_time_ns() - cpu)
        events = self._detector.feed(samples)
        network, scorer, whole = (
            (after.spent[0] - old[0], after.spent[1] - old[1])
            for after, old in zip((self._network, self._scorer, self._whole), before, strict=True)
        )
        features = (scorer[0] - network[0], scorer[1] - network[1])
        self._rows.append((resampled, features, network, (whole[0] - scorer[0], whole[1] - scorer[1])))
        return events
