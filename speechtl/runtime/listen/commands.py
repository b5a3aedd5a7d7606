"""Commands on detection: run without a shell by default, and never able to stall the loop."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from queue import SimpleQueue

from speechtl.errors import SpeechtlError
from speechtl.runtime.events import Event
from speechtl.runtime.listen.signals import KILL
from speechtl.runtime.samples import SAMPLE_RATE, Samples, to_int16

AT_ONCE = 4  # commands that may run at the same time
END_SECONDS = 0.2  # between SIGTERM and SIGKILL
SAMPLE_BYTES = 2
SHELL = ("/bin/sh", "-c")


class Sound:
    """Sound for a command's standard input: the loop puts it, a thread takes it, and neither waits for the other."""

    def __init__(self) -> None:
        self._pieces: SimpleQueue[bytes | None] = SimpleQueue()
        self.unread = False  # true where the command reads no more

    def put(self, samples: Samples) -> None:
        """Add samples, as 16-bit little-endian PCM."""
        self._pieces.put(to_int16(samples).astype("<i2").tobytes())

    def end(self) -> None:
        """Say that no more sound comes."""
        self._pieces.put(None)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._pieces.get, None)


class Command:
    """Run a command on every detection, each on a thread of its own, a few at a time, each at most `seconds` long.

    `option` is the one that gave the command, for messages.
    """

    def __init__(
        self, text: str, log: Callable[[str], None], *, shell: bool = False, seconds: float = 60.0, option: str = "--on-detect"
    ) -> None:
        self._arguments = [*SHELL, text] if shell else _split(text, option)
        self.refused = 0  # runs that were not started, because too many had not ended
        self._text = text
        self._log = log
        self._seconds = seconds
        self._lock = threading.Lock()
        self._running: dict[threading.Thread, subprocess.Popen[bytes] | None] = {}
        self._closed = False

    def run(self, detection: Event, sound: Sound | None = None) -> bool:
        """Start the command, with sound on its standard input; return at once, with false where it is not started."""
        thread = threading.Thread(target=self._run, args=(detection, sound), name="speechtl-command", daemon=True)
        with self._lock:
            busy = len(self._running) >= AT_ONCE
            if not busy:
                self._running[thread] = None
        if busy:
            self.refused += 1
            self._log(
                f"{AT_ONCE} runs of {self._text!r} have not ended yet, so it is not run for {detection.name} at {detection.time:.2f} s."
            )
        else:
            thread.start()
        return not busy

    def close(self, patience: float = 0.0) -> None:
        """End all commands that still run after so many seconds: SIGTERM first, then SIGKILL."""
        with self._lock:
            self._closed = True
            running = dict(self._running)
        end = time.monotonic() + patience
        for thread in running:
            thread.join(max(end - time.monotonic(), 0.0))
        for number in (signal.SIGTERM, KILL):
            with self._lock:
                running = dict(self._running)
            for process in running.values():
                if process is not None:
                    _signal(process, number)
            deadline = time.monotonic() + END_SECONDS
            for thread in running:
                thread.join(max(deadline - time.monotonic(), 0.0))

    def _run(self, detection: Event, sound: Sound | None) -> None:
        thread = threading.current_thread()
        try:
            # A session of its own: Ctrl-C ends the loop, and the loop ends the command and its child processes.
            # What it prints goes to standard error: standard output belongs to the events.
            process = subprocess.Popen(
                self._arguments,
                stdin=subprocess.DEVNULL if sound is None else subprocess.PIPE,
                bufsize=0,
                stdout=2,
                env={**os.environ, **detection.environment()},
                start_new_session=True,
            )
            with self._lock:
                self._running[thread] = process
                closed = self._closed
            if closed:
                _signal(process, signal.SIGTERM)
            if sound is not None:
                threading.Thread(target=self._feed, args=(process, sound), name="speechtl-sound", daemon=True).start()
            self._wait(process)
        except OSError as error:
            self._log(f"{self._text!r} cannot be run: {error.strerror or error}.")
            if sound is not None:
                sound.unread = True
        finally:
            with self._lock:
                del self._running[thread]

    def _feed(self, process: subprocess.Popen[bytes], sound: Sound) -> None:
        """Write sound to a command at its own pace, until the sound or the command ends."""
        assert process.stdin is not None
        written = 0
        try:
            with process.stdin:
                for piece in sound:
                    process.stdin.write(piece)
                    written += len(piece)
        except OSError:
            sound.unread = True
            if not self._closed:
                self._log(f"{self._text!r} stopped reading after {written / SAMPLE_BYTES / SAMPLE_RATE:.1f} s of sound.")

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        try:
            code = process.wait(self._seconds)
        except subprocess.TimeoutExpired:
            self._log(f"{self._text!r} had not ended after {self._seconds:.0f} s and was stopped.")
            _signal(process, signal.SIGTERM)
            try:
                process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                _signal(process, KILL)
                process.wait()
            return
        if code != 0 and not self._closed:
            self._log(f"{self._text!r} ended with {f'exit code {code}' if code > 0 else f'signal {-code}'}.")


def _split(text: str, option: str) -> list[str]:
    try:
        arguments = shlex.split(text)
    except ValueError as error:
        raise SpeechtlError(f"{option} {text!r} cannot be parsed: {error}. Check its quotes.") from error
    if not arguments:
        raise SpeechtlError(f"{option} was given an empty command.")
    program = shutil.which(arguments[0])
    if program is None:
        raise SpeechtlError(
            f"{option}: the command {arguments[0]!r} does not exist or is not executable. "
            "Give its full path, make it executable (chmod +x), or, for a shell command line, add --shell."
        )
    return [program, *arguments[1:]]


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    """Signal a command and its child processes; it may have ended already."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            if hasattr(os, "killpg"):
                os.killpg(process.pid, number)
            else:  # Windows
                process.send_signal(number)
