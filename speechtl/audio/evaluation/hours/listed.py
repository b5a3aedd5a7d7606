"""The recordings to hear, listed in a file: of half a million, only their durations are in memory.

The processes that hear them load this module: it needs little.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator
from pathlib import Path

from speechtl.audio.data.manifest import Clip


class Listed:
    """Recordings in a file of JSON lines, read from it when they are asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._starts = array("Q", [0])  # bytes in the file
        self.durations = array("d")  # seconds, as the manifests tell; 0 where they do not

    def __len__(self) -> int:
        return len(self.durations)

    def write(self, clips: Iterator[Clip]) -> None:
        """Write clips to the file."""
        with self.path.open("wb") as file:
            for clip in clips:
                size = file.write(line_of(clip))
                self._starts.append(self._starts[-1] + size)
                self.durations.append(clip.duration)

    def __iter__(self) -> Iterator[Clip]:
        """The clips of all recordings, one at a time."""
        with self.path.open("rb") as file:
            yield from map(clip_of, file)

    def lines(self, first: int, last: int) -> list[bytes]:
        """The lines of the recordings from `first` up to `last`."""
        with self.path.open("rb") as file:
            file.seek(self._starts[first])
            return file.read(self._starts[last] - self._starts[first]).splitlines()

    def clip(self, index: int) -> Clip:
        """A recording's clip."""
        return clip_of(self.lines(index, index + 1)[0])


def line_of(clip: Clip) -> bytes:
    """The line of a clip."""
    place = {"manifest": str(clip.manifest), "line": clip.line, "path": str(clip.path)}
    return json.dumps([clip.to_json(), place]).encode() + b"\n"


def clip_of(line: bytes) -> Clip:
    """The clip of a line that `line_of` made."""
    entry, place = json.loads(line)
    known = {name: entry.pop(name) for name in _KEYS if name in entry}
    return Clip(**known, extra=entry, manifest=Path(place["manifest"]), line=place["line"], path=Path(place["path"]))


_KEYS = tuple(name for name in Clip.__dataclass_fields__ if name not in ("extra", "manifest", "line", "path"))
