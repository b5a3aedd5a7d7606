"""One client's audio: its format, its detectors, and when on the client's clock a word was detected."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from speechtl.runtime.detect_files import TAIL_SECONDS
from speechtl.runtime.detector import Detector, Event
from speechtl.runtime.samples import SAMPLE_RATE, Samples
from speechtl.runtime.server.samples import PcmConverter, PcmFormat

LATEST = 2**63  # a clock that counts nanoseconds since 1970 stays below


class AudioStream:
    """The audio from one `audio-start` to the next `audio-stop`."""

    def __init__(self, detectors: list[Detector]) -> None:
        self._zeros = dict.fromkeys(detectors, 0)  # of each detector, the sample at which its time is zero
        self._converter: PcmConverter | None = None
        self._heard = 0  # samples given to the detectors, at 16 kHz
        self._heard_before = 0  # of them before the converter began
        self._stamp = 0  # the client's clock, in milliseconds, ...
        self._stamped = 0.0  # ... after so many seconds of audio
        self.detected = False

    def start(self, data: Mapping[str, Any]) -> None:
        """Take over the client's clock; raise `ProtocolError` for a format that is not usable."""
        PcmFormat.of(data)
        self._stamp = _timestamp(data) or 0

    def go_on_with(self, detectors: list[Detector]) -> None:
        """Give what comes from here on to these detectors; those that heard the stream before just go on."""
        self._zeros = {detector: self._zeros.get(detector, self._heard) for detector in detectors}

    def pieces(self, data: Mapping[str, Any], content: bytes) -> Iterator[bytes]:
        """Yield a chunk in pieces for `feed`; raise `ProtocolError` for a format that is not usable."""
        form = PcmFormat.of(data)
        timestamp = _timestamp(data)
        if self._converter is None or self._converter.form != form:
            self._converter = PcmConverter(form)
            self._heard_before = self._heard
        if timestamp is not None:  # of the chunk's first sample, which the converter lets out later
            self._stamp = timestamp
            self._stamped = self._heard_before / SAMPLE_RATE + self._converter.frames / form.rate
        return self._converter.pieces(content)

    def feed(self, piece: bytes) -> list[Event]:
        """Return the events that a piece completes."""
        assert self._converter is not None
        return self._detect(self._converter.convert(piece))

    def end(self) -> list[Event]:
        """Return the events at the very end, which silence after the audio completes."""
        rest = self._converter.end() if self._converter else np.zeros(0, np.float32)
        return self._detect(rest) + self._detect(np.zeros(int(TAIL_SECONDS * SAMPLE_RATE), np.float32))

    def milliseconds(self, event: Event) -> int:
        """When an event was decided: milliseconds on the client's clock, or since the first sample where it has no usable one."""
        return max(self._stamp + round(1000.0 * (event.time - self._stamped)), 0)

    def _detect(self, samples: Samples) -> list[Event]:
        self._heard += len(samples)
        found = [
            replace(event, time=event.time + zero / SAMPLE_RATE)
            for detector, zero in self._zeros.items()
            for event in detector.feed(samples)
        ]
        return sorted(found, key=lambda event: event.time)


def _timestamp(data: Mapping[str, Any]) -> int | None:
    """The client's clock; None where it gives nothing that counts: a timestamp is optional, and no reason to refuse audio."""
    given = data.get("timestamp")
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given < LATEST:  # NaN is not
        return None
    return round(given)
