"""Clips of the sound around events and near misses, kept within limits of age and size. Off by default."""

from __future__ import annotations

import re
import threading
import time
import unicodedata
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from queue import Empty, Full, Queue

from speechtl.errors import SpeechtlError
from speechtl.files import writing
from speechtl.runtime.events import Event
from speechtl.runtime.listen.recent import Recent
from speechtl.runtime.samples import SAMPLE_RATE, Samples
from speechtl.runtime.sound.files import load_soundfile

BEFORE_SECONDS, AFTER_SECONDS = 3.0, 1.0  # around the decision
NEAR_MISS = 0.6  # of the threshold
# Folders within that of the clips, into which people move clips to say what is heard; nothing in them is ever removed.
VERDICTS = WORD, NOT_WORD, UNSURE = ("word", "not-word", "unsure")
WAITING = 8  # clips that may be queued for a slow disk
PRUNE_SECONDS = 600.0  # at most between two checks of the clips' age
CLOSE_SECONDS = 0.3
LONGEST_WORD = 150  # bytes of a word's name in a clip's: file systems allow 255 for the whole
# Only files of this form are ever removed or sent: 20261121T093012.345Z_computer_0.97.wav, _near_0.41.wav
OURS = re.compile(r"(\d{8}T\d{6}\.\d{3})Z_(.*?)(_near)?_(\d\.\d\d)\.wav")


@dataclass(frozen=True)
class ClipName:
    """What the name of a saved clip tells: when (UTC), the word in its form for file names, whether it was a near miss, the score."""

    at: datetime
    word: str
    near: bool
    score: float

    @classmethod
    def of(cls, name: str) -> ClipName | None:
        """What a name tells, or None for a file that is no saved clip."""
        found = OURS.fullmatch(name)
        try:
            at = datetime.strptime(f"{found[1]}+0000", "%Y%m%dT%H%M%S.%f%z") if found else None
        except ValueError:
            return None  # digits that are no time
        return cls(at, found[2], bool(found[3]), float(found[4])) if found and at else None


@dataclass(frozen=True)
class ClipLimits:
    """Limits of a folder of clips: age in days, and total size in megabytes."""

    days: float = 30.0
    megabytes: float = 200.0


class NearMisses:
    """Find peaks of the smoothed score that come close to the threshold without reaching it."""

    def __init__(self) -> None:
        self._peaks: dict[str, Event] = {}

    def feed(self, scored: Event, threshold: float) -> Event | None:
        """Take the next smoothed score; return the near miss that has just ended."""
        peak = self._peaks.get(scored.name)
        if scored.score >= NEAR_MISS * threshold:
            if peak is None or scored.score > peak.score:
                self._peaks[scored.name] = scored
            return None
        self._peaks.pop(scored.name, None)
        return peak if peak is not None and peak.score < threshold else None


class Clips:
    """Keep the last seconds of sound, and write those around an event once they are complete; never wait for the disk."""

    def __init__(self, folder: Path, log: Callable[[str], None], limits: ClipLimits | None = None, words: Collection[str] = ()) -> None:
        self._folder = folder
        self._log = log
        self._limits = limits or ClipLimits()
        self._words = words  # whose clips are kept; empty: all words
        self._soundfile = load_soundfile()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._prune()
        except OSError as error:
            raise SpeechtlError(
                f"Clips cannot be saved in {folder}: {error.strerror or error}. Give another folder with --save-clips."
            ) from error
        self._recent = Recent(BEFORE_SECONDS + AFTER_SECONDS + 1.0)
        self._pending: deque[tuple[Event, str]] = deque()
        self._queue: Queue[tuple[str, Samples] | None] = Queue(WAITING)
        self._troubled = False
        self._thread = threading.Thread(target=self._write_all, name="speechtl-clips", daemon=True)
        self._thread.start()

    def feed(self, samples: Samples, end: int) -> None:
        """Take the next sound; `end` is the number of samples from the start of the stream to the end of this sound."""
        if not self._recent.continued_by(samples, end):
            while self._pending and round(self._pending[0][0].time * SAMPLE_RATE) <= self._recent.end:
                self._cut(*self._pending.popleft())
        self._recent.feed(samples, end)
        while self._pending and end >= (self._pending[0][0].time + AFTER_SECONDS) * SAMPLE_RATE:
            self._cut(*self._pending.popleft())

    def add(self, event: Event, near: bool = False) -> Path | None:
        """Keep the seconds around an event, or a near miss, of that time since the start; return where, or None for other words."""
        if self._words and event.name not in self._words:
            return None
        word = in_file_name(event.name)
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(event.wall)) + f".{int(event.wall * 1000) % 1000:03d}Z"
        name = f"{stamp}_{word}{'_near' if near else ''}_{event.score:.2f}.wav"
        self._pending.append((event, name))
        return self._folder / name

    def close(self) -> None:
        """Write all pending clips, even incomplete ones, and stop."""
        while self._pending:
            self._cut(*self._pending.popleft())
        try:
            self._queue.put(None, timeout=CLOSE_SECONDS)
        except Full:
            return
        self._thread.join(CLOSE_SECONDS)

    def _cut(self, event: Event, name: str) -> None:
        sound = self._recent.between(*(round((event.time + apart) * SAMPLE_RATE) for apart in (-BEFORE_SECONDS, AFTER_SECONDS)))
        try:
            self._queue.put_nowait((name, sound))
        except Full:
            self._trouble("the disk is too slow")

    def _write_all(self) -> None:
        while (job := self._next()) is not None:
            try:
                for name, sound in job:
                    with writing(self._folder / name) as beside:
                        self._soundfile.write(beside, sound, SAMPLE_RATE, format="WAV", subtype="PCM_16")
                self._prune()
                self._troubled = False
            except (OSError, self._soundfile.SoundFileError) as error:
                self._trouble(str(error).rstrip("."))

    def _next(self) -> list[tuple[str, Samples]] | None:
        """The next clip to write, or an empty list when it is time to prune; None at the end."""
        try:
            job = self._queue.get(timeout=PRUNE_SECONDS)
        except Empty:
            return []
        return None if job is None else [job]

    def _prune(self) -> None:
        """Remove the oldest clips beyond the limits; files of other names are left alone."""
        found = [(path, path.stat()) for path in self._folder.iterdir() if OURS.fullmatch(path.name)]
        total = 0
        for path, about in sorted(found, key=lambda entry: entry[0].name, reverse=True):
            total += about.st_size
            if total > self._limits.megabytes * 1e6 or time.time() - about.st_mtime > self._limits.days * 86_400:
                path.unlink(missing_ok=True)

    def _trouble(self, what: str) -> None:
        if not self._troubled:
            self._log(f"A clip could not be saved in {self._folder}: {what}. Listening continues.")
        self._troubled = True


def in_file_name(word: str) -> str:
    """A word's name in a form for file names: letters of every script with their marks, and not too many bytes."""
    signs = (sign if unicodedata.category(sign)[0] in "LMN" or sign in "_-" else " " for sign in word)
    return "_".join("".join(signs).split()).encode()[:LONGEST_WORD].decode(errors="ignore")
