"""One client's audio: its format, its detectors, and when on the client's clock a word was detected."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from speechtl.errors import ProtocolError
from speechtl.runtime.detector import Detector, Event
from speechtl.runtime.files import TAIL_SECONDS
from speechtl.runtime.samples import SAMPLE_RATE, Samples
from speechtl.runtime.server_audio import PcmConverter, PcmFormat
from speechtl.runtime.server_wire import shown

LARGEST_TIMESTAMP = 2**53  # milliseconds


class AudioStream:
    """The audio from one `audio-start` to the next `audio-stop`."""

    def __init__(self, detectors: list[Detector]) -> None:
        self._detectors = detectors
        self._converter: PcmConverter | None = None
        self._heard = 0  # samples given to the detectors, at 16 kHz
        self._heard_before = 0  # of them before the converter began
        self._zero = 0  # sample at which the detectors' time is zero
        self._origin = 0.0  # milliseconds on the client's clock at the first sample
        self.detected = False

    def start(self, data: Mapping[str, Any]) -> None:
        """Note where the client's clock stands; raise `ProtocolError` for a format or a timestamp that is not usable."""
        PcmFormat.of(data)
        self._origin = float(_timestamp(data) or 0)

    def go_on_with(self, detectors: list[Detector]) -> None:
        """Give what comes from here on to other detectors."""
        self._detectors = detectors
        self._zero = self._heard

    def pieces(self, data: Mapping[str, Any], content: bytes) -> Iterator[bytes]:
        """Yield a chunk in pieces for `feed`; raise `ProtocolError` for a format or timestamp that is not usable."""
        form = PcmFormat.of(data)
        timestamp = _timestamp(data)
        if self._converter is None or self._converter.form != form:
            self._converter = PcmConverter(form)
            self._heard_before = self._heard
        if timestamp is not None:  # of the chunk's first sample, which the converter lets out later
            self._origin = timestamp - 1000.0 * (self._heard_before / SAMPLE_RATE + self._converter.frames / form.rate)
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
        """Return when, on the client's clock, an event was decided."""
        return max(round(self._origin + 1000.0 * (self._zero / SAMPLE_RATE + event.time)), 0)

    def _detect(self, samples: Samples) -> list[Event]:
        self._heard += len(samples)
        return sorted((event for detector in self._detectors for event in detector.feed(samples)), key=lambda event: event.time)


def _timestamp(data: Mapping[str, Any]) -> int | None:
    given = data.get("timestamp")
    if given is None:
        return None
    if type(given) is not int or not -LARGEST_TIMESTAMP <= given <= LARGEST_TIMESTAMP:
        raise ProtocolError(f"A timestamp must be a whole number of milliseconds; got {shown(given)}.")
    return given
