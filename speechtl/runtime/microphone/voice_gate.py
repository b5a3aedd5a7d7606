"""The voice-activity gate: run the network only while somebody may be speaking. Off by default."""

from __future__ import annotations

from collections import deque

import numpy as np

from speechtl.runtime.microphone.speech import SpeechFrames, by_webrtc
from speechtl.runtime.samples import SAMPLE_RATE, Samples

SPEECH_FRAMES = 2  # in a row open the gate
BEFORE_SECONDS = 1.5  # before the block that opens the gate: the start of the word, and the network's memory before it
AFTER_SECONDS = 1.0  # the gate stays open after the last speech: the network decides a little after the word's end


class Gate:
    """Pass the sound around speech; sound before speech is buffered, so that no word loses its start."""

    def __init__(self) -> None:
        self._is_speech = by_webrtc("The voice-activity gate")
        self.reset()

    def reset(self) -> None:
        """Begin a new stream."""
        self._frames = SpeechFrames(self._is_speech)
        self._before: deque[Samples] = deque()
        self._kept = 0
        self._in_a_row = 0
        self._open_for = 0

    def feed(self, samples: Samples) -> tuple[Samples, bool]:
        """Take the next samples; return the samples for the network, and whether they begin a new stream.

        The result always ends with the last sample taken, or is empty.
        """
        was_open = self._open_for > 0
        self._watch(samples)
        if was_open:
            self._open_for = max(self._open_for - len(samples), 0)
            return samples, False
        self._keep(samples)
        if self._open_for == 0:
            return np.zeros(0, np.float32), False
        heard = np.concatenate(self._before)
        self._before.clear()
        self._kept = 0
        return heard, True

    def _keep(self, samples: Samples) -> None:
        self._before.append(samples)
        self._kept += len(samples)
        while self._kept - len(self._before[0]) - len(samples) >= BEFORE_SECONDS * SAMPLE_RATE:
            self._kept -= len(self._before.popleft())

    def _watch(self, samples: Samples) -> None:
        for speech in self._frames.feed(samples):
            self._in_a_row = self._in_a_row + 1 if speech else 0
            if self._in_a_row >= SPEECH_FRAMES:
                self._open_for = round(AFTER_SECONDS * SAMPLE_RATE) + len(samples)
