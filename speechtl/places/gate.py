"""A gate for sound: closed until a word opens it for some seconds of sound."""

from __future__ import annotations

import math

from speechtl.errors import SpeechtlError

ROUNDING = 1e-6  # seconds


class Gate:
    """Lets `seconds` of sound through each time it is opened; the sound counts, not the clock, so that a slow machine changes nothing."""

    def __init__(self, seconds: float) -> None:
        if not 0.0 < seconds < math.inf:
            raise SpeechtlError(f"awake_seconds must be a number above 0; got {seconds!r}.")
        self._seconds = seconds
        self._left = 0.0

    @property
    def is_open(self) -> bool:
        """True where the next sound passes."""
        return self._left > ROUNDING

    def open(self, seconds: float | None = None) -> None:
        """Let sound through from now on, for other `seconds` where they are given; 0 closes the gate."""
        self._left = self._seconds if seconds is None else seconds

    def passes(self, seconds: float) -> bool:
        """True where the next `seconds` of sound pass."""
        was_open = self.is_open
        self._left -= seconds
        return was_open
