"""Events: which word, when, how sure, and how loud it was against what was heard before."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from time import monotonic as clock
from time import time as wall_clock

import numpy as np

from speechtl.runtime.samples import SAMPLE_RATE, Doubles, Json, Samples
from speechtl.text import one_line

FRAME = SAMPLE_RATE // 100  # samples of which the level meter keeps the mean power
HELD_SECONDS = 8.0  # in the level meter
BACK_SECONDS = 6.5  # before an event, of which levels are known: a second of what is held may be behind the event
NOISE_SECONDS = 2.0  # before the word, which the word is compared with
GUARD_SECONDS = 0.2  # directly before the word, left out because its start is an estimate
LEAST_NOISE = 0.5  # seconds without which there is no signal-to-noise ratio
QUIETEST = 1e-10  # mean square: -100 dBFS, below the last bit of 16
PEAK_SECONDS = 2.0  # after an event, in which its peak is looked for


@dataclass(frozen=True)
class Event:
    """A word was detected.

    `time` is when that was decided, in seconds from the start of the stream, and `score` the smoothed score that reached the threshold.
    `start` and `end` of the word are estimated from that time by the bundle's median length and delay. `level` is the root mean square
    of the word in dBFS, `snr` the decibels by which it exceeds the two seconds before. These four are None where they are not known.

    `peak` is the highest smoothed score of the word so far: an event never waits, so it equals `score` in a live stream; in a recording
    it is that of the whole word. `wall` (seconds since 1970) and `monotonic` (this machine's clock that is never set) are the moment
    of the decision.
    """

    name: str
    time: float
    score: float
    peak: float | None = None
    start: float | None = None
    end: float | None = None
    level: float | None = None
    snr: float | None = None
    wall: float = field(default_factory=wall_clock, compare=False)
    monotonic: float = field(default_factory=clock, compare=False)

    @property
    def at(self) -> str:
        """The date and time of the decision (ISO 8601, UTC)."""
        return datetime.fromtimestamp(self.wall, timezone.utc).isoformat(timespec="milliseconds")

    def later(self, seconds: float) -> Event:
        """The event in a stream that began that much earlier."""
        start, end = (None if moment is None else moment + seconds for moment in (self.start, self.end))
        return replace(self, time=self.time + seconds, start=start, end=end)

    def to_json(self, live: bool = True) -> Json:
        """The fields as JSON; null where one is not known. Those of the clocks tell nothing about a recording."""
        heard: Json = {
            "name": self.name,
            "time": round(self.time, 3),
            "score": round(self.score, 4),
            "peak": round(self.score if self.peak is None else self.peak, 4),
            "start": None if self.start is None else round(self.start, 3),
            "end": None if self.end is None else round(self.end, 3),
            "level": self.level,
            "snr": self.snr,
        }
        return {**heard, "at": self.at, "monotonic": round(self.monotonic, 3)} if live else heard

    def environment(self) -> dict[str, str]:
        """The environment variables of a command: those of the JSON line, empty where one is not known."""
        decimals = {
            "time": ".3f",
            "score": ".4f",
            "peak": ".4f",
            "start": ".3f",
            "end": ".3f",
            "level": ".1f",
            "snr": ".1f",
            "monotonic": ".3f",
        }
        told = self.to_json().items()
        return {f"SPEECHTL_{key.upper()}": "" if value is None else one_line(format(value, decimals.get(key, ""))) for key, value in told}

    def __str__(self) -> str:
        loud = "" if self.level is None else f", {self.level:.0f} dBFS"
        over = "" if self.snr is None else f", {self.snr:.0f} dB over the sound before"
        return f"{self.name} at {self.time:.2f} s (score {self.score if self.peak is None else self.peak:.2f}{loud}{over})"


class LevelMeter:
    """The mean power of every hundredth of a second of a stream's last seconds, the same for every chunk length."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin a new stream."""
        self._rest = np.zeros(0, np.float32)
        self._powers: deque[float] = deque(maxlen=round(HELD_SECONDS * SAMPLE_RATE / FRAME))
        self._frames = 0

    def feed(self, samples: Samples) -> None:
        """Take the next samples, at most a second."""
        held = np.concatenate([self._rest, samples])
        whole = len(held) // FRAME * FRAME
        self._rest = held[whole:]
        frames = held[:whole].reshape(-1, FRAME).astype(np.float64)
        self._powers.extend((frames * frames).mean(axis=1).tolist())
        self._frames += len(frames)

    def describe(self, event: Event) -> Event:
        """The event with its level and signal-to-noise ratio."""
        if event.start is None or event.end is None:
            return event
        powers = np.array(self._powers)
        oldest = max(event.time - BACK_SECONDS, 0.0)
        word = self._between(powers, max(event.start, oldest), min(event.end, event.time))
        noise = self._between(powers, max(event.start - GUARD_SECONDS - NOISE_SECONDS, oldest), event.start - GUARD_SECONDS)
        if not len(word):
            return event
        level = _decibels(word)
        enough = len(noise) >= LEAST_NOISE * SAMPLE_RATE / FRAME
        return replace(event, level=round(level, 1), snr=round(level - _decibels(noise), 1) if enough else None)

    def _between(self, powers: Doubles, start: float, end: float) -> Doubles:
        first = self._frames - len(powers)
        begin, stop = (round(moment * SAMPLE_RATE / FRAME) - first for moment in (start, end))
        return powers[max(begin, 0) : max(stop, 0)]


class Peaks:
    """Find the highest score of each event's word, from the scores that a detector reports with `on_score`."""

    def __init__(self) -> None:
        self._above: dict[str, tuple[float, float]] = {}  # when each word's score rose to its threshold, and the peak since then
        self._found: dict[tuple[str, float], float] = {}
        self._now = 0.0

    def feed(self, scored: Event, threshold: float) -> None:
        """Take a word's next smoothed score."""
        self._now = scored.time
        if scored.score >= threshold:
            rise, peak = self._above.get(scored.name, (scored.time, 0.0))
            self._above[scored.name] = (rise, max(peak, scored.score))
        elif scored.name in self._above:
            rise, peak = self._above.pop(scored.name)
            self._found[scored.name, rise] = peak

    def settle(self, waiting: deque[Event], everything: bool = False) -> Iterator[Event]:
        """Yield the first of the waiting events with their peaks, as far as these are known."""
        while waiting:
            event = waiting[0]
            peak = self._found.pop((event.name, event.time), None)
            if peak is None and not everything and self._now < event.time + PEAK_SECONDS:
                return
            rise, so_far = self._above.get(event.name, (None, 0.0))
            waiting.popleft()
            yield replace(event, peak=peak or (so_far if rise == event.time else event.score))
        self._found.clear()


def _decibels(powers: Doubles) -> float:
    return 10.0 * float(np.log10(powers.mean() + QUIETEST))
