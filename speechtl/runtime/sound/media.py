"""Sound that libsndfile cannot read, or not to its end, decoded with PyAV where that is installed (m4a, webm, amr, joined files)."""

from __future__ import annotations

import importlib.util
import shlex
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from speechtl.errors import AudioError
from speechtl.runtime.samples import Samples

# Which libsndfile does not read: recorders and cameras of phones, browsers.
SUFFIXES = frozenset({".m4a", ".mp4", ".mov", ".aac", ".webm", ".mka", ".amr", ".awb", ".3gp", ".3gpp", ".3ga", ".wma", ".caf"})

MOST_BAD = 10  # one packet in so many at most


def installed() -> bool:
    """True where PyAV is installed."""
    return importlib.util.find_spec("av") is not None


def advice(path: Path) -> str:
    """A sentence on how to make a file readable."""
    converted = path.with_name(f"{path.stem}-16k.wav")
    return (
        f"Install PyAV, which reads it (pip install 'speechtl[media]'), or convert it with: "
        f"ffmpeg -i {shlex.quote(str(path))} -ar 16000 -ac 1 {shlex.quote(str(converted))}"
    )


class MediaFile:
    """A file that PyAV decodes, read like a `soundfile.SoundFile`; raises `AudioError` where it cannot be decoded."""

    extra_info = ""

    def __init__(self, path: Path) -> None:
        about = path.stat()
        self._path = path
        self.samplerate, self.channels, self.frames = _about(path, about.st_size, about.st_mtime_ns)
        self._blocks = _decoded(path)
        self._held: Samples = np.zeros((0, self.channels), np.float32)

    def seek(self, start: int) -> None:
        """Skip the first frames of a file that was not read yet."""
        while start > 0 and len(passed := self.read(min(start, self.samplerate))):
            start -= len(passed)

    def read(self, frames: int, **_form: Any) -> Samples:
        """The next frames, float32 `(frames, channels)`; fewer at the end."""
        parts, count = [self._held], len(self._held)
        while count < frames and (block := next(self._blocks, None)) is not None:
            parts.append(block)
            count += len(block)
        joined = np.concatenate(parts)
        self._held = joined[frames:]
        return joined[:frames]

    def __enter__(self) -> MediaFile:
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        self._blocks.close()  # type: ignore[attr-defined]


@lru_cache(maxsize=4096)
def _about(path: Path, _size: int, _changed: int) -> tuple[int, int, int]:
    """Rate, channels and frames; the whole file is decoded, since its header gives the length roughly or not at all."""
    import av

    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise AudioError(f"{path} contains no sound.")
            rate, channels = container.streams.audio[0].rate, container.streams.audio[0].channels
    except (av.FFmpegError, ValueError) as error:
        raise AudioError(f"{path} is not an audio file that can be read: {_reason(error)}.") from error
    return rate, channels, sum(map(len, _decoded(path)))


def _decoded(path: Path) -> Iterator[Samples]:
    import av

    try:
        with av.open(str(path)) as container:
            stream = container.streams.audio[0]
            to_float = av.AudioResampler(format="fltp", layout=stream.layout, rate=stream.rate)
            good = bad = 0
            for packet in container.demux(stream):
                try:
                    frames = packet.decode()
                except av.InvalidDataError:  # the tags at the seams of joined files
                    bad += 1
                    continue
                good += 1
                for frame in frames:
                    frame.pts = None  # they restart within joined files
                    yield from map(_samples, to_float.resample(frame))
            if bad * MOST_BAD > good:
                raise AudioError(f"{path} is damaged: {bad} of its {good + bad} packets cannot be decoded.")
            yield from map(_samples, to_float.resample(None))
    except (av.FFmpegError, ValueError) as error:
        raise AudioError(f"{path} is damaged: {_reason(error)}.") from error


def _reason(error: Exception) -> str:
    """What an error says, without its number and the path."""
    return str(getattr(error, "strerror", None) or error)


def _samples(frame: Any) -> Samples:
    """The samples `(frames, channels)` of a frame in planar float32."""
    return np.asarray(frame.to_ndarray().T, np.float32)
