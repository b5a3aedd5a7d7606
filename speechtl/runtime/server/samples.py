"""Sound as clients send it, of any rate, width and number of channels, to what the detector takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from speechtl.errors import ProtocolError
from speechtl.runtime.samples import Samples, from_int16
from speechtl.runtime.server.wire import shown
from speechtl.runtime.sound.files import resampler

RATES = (1_000, 384_000)  # hertz
CHANNELS = (1, 64)
PIECE_SECONDS = 1.0  # worked on at a time, so that one client's long chunk does not keep the others waiting


@dataclass(frozen=True)
class PcmFormat:
    """Little-endian PCM: hertz, bytes a sample (1 is unsigned, as in WAV files), and interleaved channels."""

    rate: int
    width: int
    channels: int

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> PcmFormat:
        """Read the format from an event's data; raise `ProtocolError` for one that is missing or not usable."""
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
        """Yield the whole frames of what has come so far, at most `PIECE_SECONDS` of them at a time."""
        content = self._held + content
        whole = len(content) // self.form.frame * self.form.frame
        self._held = content[whole:]
        size = max(round(PIECE_SECONDS * self.form.rate), 1) * self.form.frame
        for start in range(0, whole, size):
            yield content[start : min(start + size, whole)]

    def convert(self, piece: bytes) -> Samples:
        """Return the samples `(samples,)` in [-1, 1] of a piece, as far as the change of rate lets them out yet."""
        mono: Samples = to_numbers(piece, self.form.width).reshape(-1, self.form.channels).mean(axis=1, dtype=np.float32)
        self.frames += len(mono)
        return mono if self._resampler is None else self._resampler.resample_chunk(mono)

    def end(self) -> Samples:
        """Return what the change of rate has held back; raise `ProtocolError` when the stream ends within a frame."""
        if self._held:
            raise ProtocolError(
                f"The audio ends within a sample: {len(self._held)} bytes are left where {self.form.frame} make one. "
                "Are width and channels those of the audio?"
            )
        rest = np.zeros(0, np.float32)
        return rest if self._resampler is None else self._resampler.resample_chunk(rest, last=True)


def to_numbers(content: bytes, width: int) -> Samples:
    """Return little-endian PCM of 1 (unsigned), 2, 3 or 4 bytes a sample as float32 in [-1, 1]."""
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
