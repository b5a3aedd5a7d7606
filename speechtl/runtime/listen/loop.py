"""The listening loop: blocks of a microphone, or of a file at the same pace, to events, commands and clips."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from speechtl.errors import MicrophoneError, SpeechtlError
from speechtl.runtime.detect_files import TAIL_SECONDS
from speechtl.runtime.events import Event
from speechtl.runtime.listen.clips import Clips
from speechtl.runtime.listen.commands import Command
from speechtl.runtime.listen.hand_over import HandOver
from speechtl.runtime.listen.hearing import Heard, Hearing
from speechtl.runtime.listen.signals import Signals
from speechtl.runtime.listen.tally_file import TallyFile
from speechtl.runtime.microphone.stream import BLOCK_SECONDS, Block, to_block
from speechtl.runtime.microphone.watch import InputWatch
from speechtl.runtime.samples import SAMPLE_RATE, Samples
from speechtl.runtime.sound.files import read_blocks
from speechtl.runtime.systemd import Notifier

READ_SECONDS = 0.25  # at most between two checks of the signals


class Source(Protocol):
    """A source of sound."""

    @property
    def ended(self) -> bool:
        """True when no more blocks will come."""

    @property
    def hung(self) -> bool:
        """True where only a new process can help."""

    @property
    def lost(self) -> bool:
        """True while the device delivers nothing."""

    def read(self, timeout: float) -> Block | None:
        """The next block, or None when none came in time."""

    def close(self) -> None:
        """Close what was opened."""

    def describe(self) -> str:
        """A description of the source for people."""


class PacedFile:
    """A recording in the blocks and at the pace of a microphone, followed by a little silence."""

    hung = False
    lost = False

    def __init__(self, path: Path) -> None:
        self._path = path
        self._blocks = read_blocks(path, block_seconds=BLOCK_SECONDS)
        self._next: Samples | None = next(self._blocks, None)
        self._tail = round(TAIL_SECONDS / BLOCK_SECONDS)
        self._due: float | None = None

    @property
    def ended(self) -> bool:
        """True when the file has been played to its end."""
        return self._next is None

    def read(self, timeout: float) -> Block | None:
        """The next block when its time has come."""
        if self._next is None:
            return None
        now = time.monotonic()
        self._due = now if self._due is None else self._due
        length = len(self._next) / SAMPLE_RATE
        time.sleep(min(max(self._due + length - now, 0.0), timeout))
        if time.monotonic() < self._due + length:
            return None
        self._due += length
        samples, self._next = self._next, self._advance()
        return to_block(samples, SAMPLE_RATE, time.monotonic())

    def close(self) -> None:
        """Close the file."""
        self._next = None
        self._blocks = iter(())  # the generator is collected, which closes the file

    def describe(self) -> str:
        """A description of the file for people."""
        return f"{self._path}, played at the pace of a microphone"

    def _advance(self) -> Samples | None:
        block = next(self._blocks, None)
        if block is None and self._tail:
            self._tail -= 1
            return np.zeros(round(BLOCK_SECONDS * SAMPLE_RATE), np.float32)
        return block


@dataclass
class Tally:
    """Totals of a run of the loop."""

    seconds: float = 0.0
    detections: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Listener:
    """The parts of the loop; `report` receives every detection, `log` a sentence for every problem."""

    source: Source
    hearing: Hearing
    watch: InputWatch
    report: Callable[[Event], None]
    log: Callable[[str], None]
    command: Command | None = None
    clips: Clips | None = None
    hand_over: HandOver | None = None
    tally_file: TallyFile | None = None

    def run(self, signals: Signals, notifier: Notifier) -> Tally:
        """Listen until a signal ends it, or the source does; raise `MicrophoneError` where only a new process can help."""
        tally = Tally()
        lost = False
        notifier.ready(self._status())
        while not signals.stopping and not self.source.ended:
            if signals.take_reload():
                self._reload(notifier)
            if self.hearing.look():
                notifier.status(self._status())
            block = self.source.read(READ_SECONDS)
            if self.source.hung:
                raise MicrophoneError(f"The audio driver is stuck on {self.source.describe()}; restart speechtl, or reboot.")
            if self.source.lost != lost:
                lost = self.source.lost
                notifier.status(self._status())
                if lost and self.hand_over is not None:
                    self.hand_over.end()
            notifier.alive()
            if block is not None:
                self._hear(block, tally)
        notifier.stopping()
        return tally

    def close(self) -> None:
        """Close everything; commands first, because closing the rest may hang and end the process early."""
        for running in (self.command, self.hand_over):
            if running is not None:
                running.close()
        self.source.close()
        for written in (self.clips, self.tally_file):
            if written is not None:
                written.close()

    def _hear(self, block: Block, tally: Tally) -> None:
        self.watch.feed(block)
        heard = self.hearing.feed(block)
        tally.seconds = heard.end / SAMPLE_RATE
        if self.hand_over is not None:
            self.hand_over.feed(heard.samples, heard.end)
        for event in heard.events:
            tally.detections[event.name] = tally.detections.get(event.name, 0) + 1
            if self.command is not None:
                self.command.run(event)
            if self.hand_over is not None:
                self.hand_over.begin(event)
            self.report(event)
        self._keep(heard)

    def _keep(self, heard: Heard) -> None:
        """Keep clips of events, and the tally."""
        if self.tally_file is not None:
            self.tally_file.heard(self.hearing.detectors, heard.samples)
        for event in heard.events:
            clip = self.clips.add(event) if self.clips is not None else None
            if self.tally_file is not None:
                self.tally_file.add(event, clip)
        if self.clips is not None:
            self.clips.feed(heard.samples, heard.end)

    def _reload(self, notifier: Notifier) -> None:
        notifier.reloading()
        try:
            self.hearing.reload()
            self.log("The bundles were reloaded.")
        except (SpeechtlError, OSError) as error:
            self.log(f"The bundles were not reloaded, and the old ones stay in use: {error}")
        notifier.ready(self._status())

    def _status(self) -> str:
        where = self.source.describe()
        return f"no sound from {where}; it is opened again when it responds" if self.source.lost else f"listening to {where}"
