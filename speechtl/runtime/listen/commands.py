"""Commands on detection: run without a shell by default, and never able to stall the loop."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from speechtl.errors import SpeechtlError
from speechtl.runtime.listen.signals import KILL
from speechtl.text import one_line

AT_ONCE = 4  # commands that may run at the same time
END_SECONDS = 0.2  # between SIGTERM and SIGKILL
SHELL = ("/bin/sh", "-c")


@dataclass(frozen=True)
class Detection:
    """An event of the loop: name, score, seconds since the start of listening, and the moment as ISO 8601."""

    name: str
    time: float
    score: float
    at: str

    def environment(self) -> dict[str, str]:
        """The environment variables of a command."""
        return {
            "SPEECHTL_NAME": one_line(self.name),
            "SPEECHTL_SCORE": f"{self.score:.4f}",
            "SPEECHTL_TIME": f"{self.time:.3f}",
            "SPEECHTL_AT": self.at,
        }


class Command:
    """Run a command on every detection, each on a thread of its own, a few at a time, each at most `seconds` long."""

    def __init__(self, text: str, log: Callable[[str], None], *, shell: bool = False, seconds: float = 60.0) -> None:
        self._arguments = [*SHELL, text] if shell else _split(text)
        self._text = text
        self._log = log
        self._seconds = seconds
        self._lock = threading.Lock()
        self._running: dict[threading.Thread, subprocess.Popen[bytes] | None] = {}
        self._closed = False

    def run(self, detection: Detection) -> None:
        """Start the command; return at once."""
        thread = threading.Thread(target=self._run, args=(detection,), name="speechtl-command", daemon=True)
        with self._lock:
            busy = len(self._running) >= AT_ONCE
            if not busy:
                self._running[thread] = None
        if busy:
            self._log(
                f"{AT_ONCE} runs of {self._text!r} have not ended yet, so it is not run for {detection.name} at {detection.time:.2f} s."
            )
        else:
            thread.start()

    def close(self) -> None:
        """End all running commands: SIGTERM first, then SIGKILL."""
        with self._lock:
            self._closed = True
        for number in (signal.SIGTERM, KILL):
            with self._lock:
                running = dict(self._running)
            for process in running.values():
                if process is not None:
                    _signal(process, number)
            deadline = time.monotonic() + END_SECONDS
            for thread in running:
                thread.join(max(deadline - time.monotonic(), 0.0))

    def _run(self, detection: Detection) -> None:
        thread = threading.current_thread()
        try:
            # A session of its own: Ctrl-C ends the loop, and the loop ends the command and its child processes.
            # What it prints goes to standard error: standard output belongs to the events.
            process = subprocess.Popen(
                self._arguments,
                stdin=subprocess.DEVNULL,
                stdout=2,
                env={**os.environ, **detection.environment()},
                start_new_session=True,
            )
            with self._lock:
                self._running[thread] = process
                closed = self._closed
            if closed:
                _signal(process, signal.SIGTERM)
            self._wait(process)
        except OSError as error:
            self._log(f"{self._text!r} cannot be run: {error.strerror or error}.")
        finally:
            with self._lock:
                del self._running[thread]

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


def _split(text: str) -> list[str]:
    try:
        arguments = shlex.split(text)
    except ValueError as error:
        raise SpeechtlError(f"--on-detect {text!r} cannot be parsed: {error}. Check its quotes.") from error
    if not arguments:
        raise SpeechtlError("--on-detect was given an empty command.")
    program = shutil.which(arguments[0])
    if program is None:
        raise SpeechtlError(
            f"--on-detect: the command {arguments[0]!r} does not exist or is not executable. "
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
