"""The audio of one client: converted from any rate, width and number of channels, detected in, timed by the client's clock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from speechtl.errors import ProtocolError
from speechtl.runtime.detect_files import TAIL_SECONDS
from speechtl.runtime.detector import Detector, Event
from speechtl.runtime.samples import SAMPLE_RATE, Samples, from_int16
from speechtl.runtime.server.wire import shown
from speechtl.runtime.sound.files import resampler

LATEST = 2**63  # a clock that counts nanoseconds since 1970 stays below this
RATES = (1_000, 384_000)  # hertz
CHANNELS = (1, 64)
PIECE_SECONDS = 1.0  # processed at a time, so that one client's long chunk does not delay the others


@dataclass(frozen=True)
class PcmFormat:
    """Little-endian PCM: hertz, bytes a sample (1 is unsigned, as in WAV files), and interleaved channels."""

    rate: int
    width: int
    channels: int

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> PcmFormat:
        """Read the format from an event's data; raise `ProtocolError` for one that is missing or unsupported."""
        return cls(_between(data, "rate", *RATES), _between(data, "width", 1, 4), _between(data, "channels", *CHANNELS))

    @property
    def frame(self) -> int:
        """Bytes of one sample of all channels."""
        return self.width * self.channels


class PcmConverter:
    """A stream of PCM bytes to mono float32 samples at 16 kHz; channels are averaged, bytes may be cut anywhere."""

    def __init__(self, form: PcmFormat) -> None:
        self.form = form
        self._resampler = resampler(form.rate)
        self._held = b""
        self.frames = 0  # taken, at the form's rate

    def pieces(self, content: bytes) -> Iterator[bytes]:
        """Yield the whole frames received so far, at most `PIECE_SECONDS` of them at a time."""
        content = self._held + content
        whole = len(content) // self.form.frame * self.form.frame
        self._held = content[whole:]
        size = max(round(PIECE_SECONDS * self.form.rate), 1) * self.form.frame
        for start in range(0, whole, size):
            yield content[start : min(start + size, whole)]

    def convert(self, piece: bytes) -> Samples:
        """The samples `(samples,)` in [-1, 1] of a piece, except those that the resampler still holds back."""
        mono: Samples = to_numbers(piece, self.form.width).reshape(-1, self.form.channels).mean(axis=1, dtype=np.float32)
        self.frames += len(mono)
        return mono if self._resampler is None else self._resampler.resample_chunk(mono)

    def end(self) -> Samples:
        """The samples that the resampler has held back; raises `ProtocolError` when the stream ends within a frame."""
        if self._held:
            raise ProtocolError(
                f"The audio ends within a frame: {len(self._held)} of its {self.form.frame} bytes are there. "
                "Check the width and channels that the client announces."
            )
        rest = np.zeros(0, np.float32)
        return rest if self._resampler is None else self._resampler.resample_chunk(rest, last=True)


def to_numbers(content: bytes, width: int) -> Samples:
    """Little-endian PCM of 1 (unsigned), 2, 3 or 4 bytes a sample as float32 in [-1, 1]."""
    if width == 1:
        return (np.frombuffer(content, np.uint8).astype(np.float32) - np.float32(128.0)) / np.float32(128.0)
    if width == 2:
        return from_int16(np.frombuffer(content, "<i2"))
    if width == 3:
        padded = np.zeros((len(content) // 3, 4), np.uint8)
        padded[:, 1:] = np.frombuffer(content, np.uint8).reshape(-1, 3)
        content = padded.tobytes()
    return np.frombuffer(content, "<i4").astype(np.float32) / np.float32(2.0**31)


def _between(data: Mapping[str, Any], name: str, least: int, most: int) -> int:
    given = data.get(name)
    if type(given) is not int or not least <= given <= most:
        raise ProtocolError(f"The audio's {name} must be a whole number from {least} to {most}; got {shown(given)}.")
    return given


class AudioStream:
    """The audio from one `audio-start` to the next `audio-stop`."""

    def __init__(self, detectors: list[Detector]) -> None:
        self._zeros = dict.fromkeys(detectors, 0)  # of each detector, the sample at which its time is zero
        self._converter: PcmConverter | None = None
        self._heard = 0  # samples fed to the detectors, at 16 kHz
        self._heard_before = 0  # samples fed before the current converter was made
        self._stamp = 0  # the last timestamp of the client, in milliseconds, ...
        self._stamped = 0.0  # ... after so many seconds of audio
        self.detected = False

    def start(self, data: Mapping[str, Any]) -> None:
        """Set the clock to the client's; raise `ProtocolError` for an unsupported format."""
        PcmFormat.of(data)
        self._stamp = _timestamp(data) or 0

    def go_on_with(self, detectors: list[Detector]) -> None:
        """Feed the rest of the stream to these detectors; those that are in use already keep their state."""
        self._zeros = {detector: self._zeros.get(detector, self._heard) for detector in detectors}

    def pieces(self, data: Mapping[str, Any], content: bytes) -> Iterator[bytes]:
        """Yield a chunk in pieces for `feed`; raise `ProtocolError` for an unsupported format."""
        form = PcmFormat.of(data)
        timestamp = _timestamp(data)
        if self._converter is None or self._converter.form != form:
            self._converter = PcmConverter(form)
            self._heard_before = self._heard
        if timestamp is not None:  # of the chunk's first sample, which the resampler returns later
            self._stamp = timestamp
            self._stamped = self._heard_before / SAMPLE_RATE + self._converter.frames / form.rate
        return self._converter.pieces(content)

    def feed(self, piece: bytes) -> list[Event]:
        """The events that a piece completes."""
        assert self._converter is not None
        return self._detect(self._converter.convert(piece))

    def end(self) -> list[Event]:
        """The events at the very end, which silence after the audio completes."""
        rest = self._converter.end() if self._converter else np.zeros(0, np.float32)
        return self._detect(rest) + self._detect(np.zeros(int(TAIL_SECONDS * SAMPLE_RATE), np.float32))

    def milliseconds(self, event: Event) -> int:
        """Time of an event's decision: milliseconds on the client's clock, or since the first sample without usable timestamps."""
        return max(self._stamp + round(1000.0 * (event.time - self._stamped)), 0)

    def _detect(self, samples: Samples) -> list[Event]:
        self._heard += len(samples)
        found = [event.later(zero / SAMPLE_RATE) for detector, zero in self._zeros.items() for event in detector.feed(samples)]
        return sorted(found, key=lambda event: event.time)


def _timestamp(data: Mapping[str, Any]) -> int | None:
    """The client's timestamp; None for one that is missing or unusable: timestamps are optional, and no reason to refuse audio."""
    given = data.get("timestamp")
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given < LATEST:  # NaN is not
        return None
    return round(given)
