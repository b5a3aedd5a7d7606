"""A file of what a detector did in daily use: hours listened, events, and what people said of their clips.

Lines of JSON that are only ever appended, so that neither a power failure nor a restart loses more than the last minutes. Hours are
counted by the samples that were heard, not by clocks, which may be set; a muted microphone does not count.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from speechtl.errors import os_sentence
from speechtl.runtime.detector import Detector
from speechtl.runtime.events import Event
from speechtl.runtime.listen.clips import VERDICTS
from speechtl.runtime.samples import SAMPLE_RATE, Samples

EVERY_SECONDS = 600.0  # of sound, the most that a power failure loses
CLOSE_SECONDS = 0.3
MOST_WAITING = 10_000  # lines for a disk that is full
HEARD, EVENT, NEAR, VERDICT = "heard", "event", "near", "verdict"

Line = dict[str, Any]
Which = tuple[str, str, float]  # a detector: its word, the bundle's fingerprint, and the threshold


class TallyFile:
    """Append to the file on a thread of its own, so that the loop never waits for the disk; a failure is told and tried again."""

    def __init__(self, path: Path, log: Callable[[str], None], clips: Path | None = None) -> None:
        self._path = path
        self._log = log
        self._clips = clips
        self._detectors: list[Detector] = []
        self._which: list[Which] = []
        self._samples = 0
        self._queue: SimpleQueue[Line | None] = SimpleQueue()
        self._troubled = False
        self._thread = threading.Thread(target=self._write_all, name="speechtl-tally", daemon=True)
        self._thread.start()

    def heard(self, detectors: Sequence[Detector], samples: Samples) -> None:
        """Count sound that these detectors have heard."""
        if list(detectors) != self._detectors:
            self._flush()
            self._detectors = list(detectors)
            self._which = [(word.name, detector.fingerprint, word.trigger.threshold) for detector in detectors for word in detector.words]
        if samples.any():
            self._samples += len(samples)
        if self._samples >= EVERY_SECONDS * SAMPLE_RATE:
            self._flush()

    def add(self, event: Event, clip: Path | None, near: bool = False) -> None:
        """Note an event or a near miss, and where its clip will be."""
        word, bundle, threshold = next((which for which in self._which if which[0] == event.name), (event.name, "", 0.0))
        about = {"word": word, "bundle": bundle, "threshold": round(threshold, 6), "score": round(event.score, 4)}
        loud = {"level": event.level, "snr": event.snr}
        where = None if clip is None else str(clip.absolute())
        self._queue.put({"what": NEAR if near else EVENT, "at": event.at, **about, **loud, "clip": where})

    def close(self) -> None:
        """Write what was counted since the last time."""
        self._flush()
        self._queue.put(None)
        self._thread.join(CLOSE_SECONDS)

    def _flush(self) -> None:
        seconds, self._samples = self._samples / SAMPLE_RATE, 0
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        for word, bundle, threshold in self._which if seconds else []:
            about = {"word": word, "bundle": bundle, "threshold": round(threshold, 6)}
            self._queue.put({"what": HEARD, "at": now, **about, "seconds": round(seconds, 3)})

    def _write_all(self) -> None:
        known = self._known_verdicts()
        waiting: list[Line] = []
        while (line := self._queue.get()) is not None:
            waiting = [*waiting, line][-MOST_WAITING:]
            if line["what"] == HEARD and self._clips is not None:
                found = verdicts_in(self._clips)
                waiting += [{"what": VERDICT, "clip": clip, "verdict": said} for clip, said in found.items() if known.get(clip) != said]
                known = {**known, **found}
            waiting = self._written(waiting)

    def _written(self, lines: list[Line]) -> list[Line]:
        """Append lines; return those that could not be written."""
        try:
            append_lines(self._path, lines)
        except OSError as error:
            if not self._troubled:
                self._log(f"The tally could not be written: {os_sentence(error)} Listening continues, and it is tried again.")
            self._troubled = True
            return lines
        self._troubled = False
        return []

    def _known_verdicts(self) -> dict[str, str]:
        try:
            lines, _ = read_lines(self._path)
        except OSError:
            return {}
        return {line["clip"]: line["verdict"] for line in lines if line["what"] == VERDICT}


def append_lines(path: Path, lines: Sequence[Line]) -> None:
    """Append lines; one that a power failure has torn stays alone in its line."""
    with path.open("ab+") as file:
        size = file.seek(0, 2)
        if size:
            file.seek(size - 1)
        torn = size > 0 and file.read(1) != b"\n"
        file.write(b"\n" * torn + b"".join(json.dumps(line, ensure_ascii=False).encode(errors="replace") + b"\n" for line in lines))


def read_lines(path: Path) -> tuple[list[Line], int]:
    """The lines of a tally, and the number of those that cannot be used."""
    lines: list[Line] = []
    damaged = 0
    with path.open("rb") as file:
        for raw in file:
            line = _line(raw)
            lines += [line] if line is not None else []
            damaged += line is None and bool(raw.strip())
    return lines, damaged


def _line(raw: bytes) -> Line | None:
    try:
        line = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return line if isinstance(line, dict) and _usable(line) else None


def _usable(line: Line) -> bool:
    what, seconds = line.get("what"), line.get("seconds")
    if what == VERDICT:
        return isinstance(line.get("clip"), str) and line.get("verdict") in VERDICTS
    named = all(isinstance(line.get(key), str) for key in ("word", "bundle")) and _is_number(line.get("threshold"), 1.0)
    if what == HEARD:
        return named and _is_number(seconds, 2.0 * EVERY_SECONDS)
    return named and what in (EVENT, NEAR) and isinstance(line.get("clip"), str | None)


def _is_number(value: Any, most: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0.0 <= value <= most


def verdicts_in(clips: Path) -> dict[str, str]:
    """What people said of clips, by moving them into the folders of that name: the clip's own path, and the verdict."""
    return {
        str((clips / moved.name).absolute()): verdict
        for verdict in VERDICTS
        if (clips / verdict).is_dir()
        for moved in (clips / verdict).iterdir()
    }
