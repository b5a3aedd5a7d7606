"""The last seconds of a stream."""

from __future__ import annotations

from collections import deque

import numpy as np

from speechtl.runtime.samples import SAMPLE_RATE, Samples


class Recent:
    """The last seconds of sound, addressed by sample numbers since the start of the stream."""

    def __init__(self, seconds: float) -> None:
        self._most = round(seconds * SAMPLE_RATE)
        self._held: deque[Samples] = deque()
        self._count = 0  # samples held
        self.end = 0  # samples since the start

    def continued_by(self, samples: Samples, end: int) -> bool:
        """Whether sound that ends at sample number `end` follows without a gap."""
        return end - len(samples) == self.end

    def feed(self, samples: Samples, end: int) -> None:
        """Take the next sound; what is before a gap is dropped."""
        if not self.continued_by(samples, end):
            self._held.clear()
            self._count = 0
        self._held.append(samples)
        self._count += len(samples)
        self.end = end
        while self._count - len(self._held[0]) >= self._most:
            self._count -= len(self._held.popleft())

    def between(self, start: int, stop: int) -> Samples:
        """The part of the sound between two sample numbers that is still held."""
        if not self._held:
            return np.zeros(0, np.float32)
        first = self.end - self._count
        return np.concatenate(self._held)[max(start - first, 0) : max(stop - first, 0)]
