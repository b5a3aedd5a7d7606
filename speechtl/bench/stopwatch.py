"""Where the time goes: wall and processor time of the stages between a microphone's chunk and an event."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from speechtl.runtime.detector import Detector, Event
from speechtl.runtime.samples import from_int16
from speechtl.runtime.sound.files import HELD_BACK, resampler

STAGES = ("resample", "features", "network", "detector")
Doubles = npt.NDArray[np.float64]


class Resampler(Protocol):
    """What converts a stream to 16 kHz."""

    def resample_chunk(self, x: Any, last: bool = False) -> Any:
        """Return the converted samples that these complete."""


class Stopwatch:
    """Adds up the wall and processor time (nanoseconds) of the calls of one method of one object, and keeps their results if asked."""

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
    """The shipped path from a chunk of a microphone to events, with a stopwatch at every stage; nothing of it is a copy.

    `times` has a row of `(wall, processor)` nanoseconds for every chunk and stage; `scores` those that the network gave.
    """

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
        """Begin a new stream, and forget times and scores."""
        self._convert = resampler(self.rate, highest=self._detector.scorer.features.highest)
        self._detector.reset(self._detector.scorer.lead(self.block_seconds, HELD_BACK if self._convert else 0.0))
        self._results.clear()
        self._rows: list[tuple[tuple[int, int], ...]] = []

    @property
    def chunk_seconds(self) -> float:
        """The wall time that the last chunk took."""
        return sum(wall for wall, _ in self._rows[-1]) / 1e9

    @property
    def times(self) -> npt.NDArray[np.int64]:
        """Nanoseconds `(chunks, stages, 2)`: wall and processor time."""
        return np.array(self._rows, np.int64).reshape(-1, len(STAGES), 2)

    @property
    def scores(self) -> npt.NDArray[np.float32]:
        """All scores since the beginning of the stream `(steps, words)`."""
        parts = [np.asarray(result, np.float32).reshape(len(result), -1) for result in self._results if len(result)]
        return np.concatenate(parts) if parts else np.zeros((0, 1), np.float32)

    def feed(self, chunk: npt.NDArray[np.int16]) -> list[Event]:
        """Take a chunk as the microphone gives it; return the events that it completes."""
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
