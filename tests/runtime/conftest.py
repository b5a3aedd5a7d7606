"""A microphone without hardware: ALSA's file plugin on a FIFO that a thread fills at a microphone's pace."""

import ctypes.util
import fcntl
import importlib.util
import os
import subprocess
import sys
import termios
import threading
import time
from collections import deque
from pathlib import Path

import numpy as np
import pytest

BLOCK_SECONDS = 0.04
PIPE_BYTES = 65_536
DTYPE = "<f4"  # what the loop asks for: ALSA's file plugin gives garbage where another plugin converts behind it
CONFIGURATION = """</usr/share/alsa/alsa.conf>
pcm.{name} {{ type plug rate_converter "{converter}" slave {{
  pcm {{ type file slave.pcm "null" file "/dev/null" infile "{fifo}" format "raw" }}
  rate {rate} channels {channels} format FLOAT_LE }} }}
"""


def needs_portaudio() -> None:
    if importlib.util.find_spec("sounddevice") is None:
        pytest.skip("sounddevice is not installed: pip install 'speechtl[mic]'")
    if ctypes.util.find_library("portaudio") is None:
        pytest.skip("PortAudio is not installed: apt-get install libportaudio2")
    if not Path("/usr/share/alsa/alsa.conf").exists():
        pytest.skip("ALSA's configuration is not installed: apt-get install libasound2-data")


class VirtualMicrophone:
    """A device named speechtl_mic; `strict` leaves it no other rate than its own. Plays silence, and what `play` queues."""

    def __init__(self, folder: Path, rate: int = 16_000, channels: int = 2, strict: bool = False, names=("speechtl_mic",)):
        self.rate, self.channels = rate, channels
        self.fifo = folder / "mic.fifo"
        converter = "there_is_none" if strict else "linear"
        parts = [CONFIGURATION.format(name=name, converter=converter, fifo=self.fifo, rate=rate, channels=channels) for name in names]
        (folder / "asound.conf").write_text("".join(parts).replace("</usr/share/alsa/alsa.conf>\n", "") + "</usr/share/alsa/alsa.conf>\n")
        self.environment = {"ALSA_CONFIG_PATH": str(folder / "asound.conf")}
        self.background = 0.0
        self._queue: deque[bytes] = deque()
        self._random = np.random.default_rng(0)
        self._flows = threading.Event()
        self._end = threading.Event()
        self._lock = threading.Lock()
        self._file: int | None = None
        self.plug()
        self._thread = threading.Thread(target=self._feed, daemon=True)
        self._thread.start()

    def play(self, samples: np.ndarray) -> None:
        """Queue float samples, mono or `(frames, channels)`, at the device's rate."""
        frames = samples[:, None].repeat(self.channels, 1) if samples.ndim == 1 else samples
        size = round(BLOCK_SECONDS * self.rate)
        frames = np.concatenate([frames, np.zeros((-len(frames) % size, self.channels))])
        pcm = frames.astype(DTYPE)
        self._queue.extend(pcm[first : first + size].tobytes() for first in range(0, len(pcm), size))

    def wait(self) -> None:
        """Wait until all that was queued has been read."""
        while self._queue:
            time.sleep(0.01)

    def pause(self) -> None:
        """Deliver nothing any more, as a device that hangs."""
        self._flows.clear()

    def resume(self) -> None:
        self._flows.set()

    def unplug(self) -> None:
        """Disappear."""
        with self._lock:
            self._flows.clear()
            self.fifo.unlink()
            os.close(self._file)
            self._file = None

    def plug(self) -> None:
        with self._lock:
            os.mkfifo(self.fifo)
            self._file = os.open(self.fifo, os.O_RDWR | os.O_NONBLOCK)
            fcntl.fcntl(self._file, fcntl.F_SETPIPE_SZ if hasattr(fcntl, "F_SETPIPE_SZ") else 1031, PIPE_BYTES)
            self._flows.set()

    def close(self) -> None:
        self._end.set()
        self._thread.join()
        if self._file is not None:
            os.close(self._file)

    def _silence(self) -> bytes:
        shape = (round(BLOCK_SECONDS * self.rate), self.channels)
        return (self._random.normal(0, self.background, shape) if self.background else np.zeros(shape)).astype(DTYPE).tobytes()

    def _is_read(self) -> bool:
        """Where nobody reads a microphone's silence is lost, and what is to be heard waits."""
        return fcntl.ioctl(self._file, termios.FIONREAD, bytes(4)) == bytes(4)

    def _feed(self) -> None:
        due = time.monotonic()
        while not self._end.is_set():
            with self._lock:
                if self._flows.is_set() and self._file is not None and self._is_read():
                    os.write(self._file, self._queue.popleft() if self._queue else self._silence())
            due = max(due + BLOCK_SECONDS, time.monotonic() - 0.2)  # behind by no more than a sound card's own buffer
            self._end.wait(max(due - time.monotonic(), 0.0))


@pytest.fixture
def virtual_microphone(tmp_path):
    """Return the function that makes virtual microphones, and close them behind the test."""
    needs_portaudio()
    made = []

    def make(**settings) -> VirtualMicrophone:
        made.append(VirtualMicrophone(tmp_path, **settings))
        return made[-1]

    yield make
    for microphone in made:
        microphone.close()


class Speechtl:
    """A running `speechtl` whose lines can be waited for."""

    def __init__(self, *arguments, environment=None, cwd=None):
        keep = {key: value for key, value in os.environ.items() if key not in ("SPEECHTL_DATA", "NOTIFY_SOCKET")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "speechtl", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=cwd,
            env={**keep, "COLUMNS": "200", "OMP_NUM_THREADS": "1", **(environment or {})},
        )
        self.out: list[str] = []
        self.err: list[str] = []
        self._readers = [
            threading.Thread(target=self._read, args=(stream, lines), daemon=True)
            for stream, lines in ((self.process.stdout, self.out), (self.process.stderr, self.err))
        ]
        for reader in self._readers:
            reader.start()

    @staticmethod
    def _read(stream, lines: list[str]) -> None:
        for line in stream:
            lines.append(line.rstrip("\n"))

    def wait_for(self, what: str, times: int = 1, seconds: float = 40.0) -> str:
        """Wait until so many lines hold those words; return the last of them."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = [line for line in [*self.out, *self.err] if what in line]
            if len(found) >= times:
                return found[times - 1]
            if self.process.poll() is not None and not any(reader.is_alive() for reader in self._readers):
                break
            time.sleep(0.01)
        raise AssertionError(f"{what!r} was not said {times} times: {self.out} {self.err}")

    def stop(self, number: int) -> float:
        """Send a signal and return the seconds to the end."""
        start = time.monotonic()
        self.process.send_signal(number)
        self.finish()
        return time.monotonic() - start

    def finish(self, seconds: float = 60.0) -> int:
        code = self.process.wait(seconds)
        for reader in self._readers:
            reader.join(5)
        assert "Traceback" not in "\n".join(self.err), self.err
        return code

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for reader in self._readers:
            reader.join(5)
        self.process.stdout.close()
        self.process.stderr.close()


@pytest.fixture
def speechtl():
    """Return the function that starts the command line, and end what still runs behind the test."""
    started = []

    def start(*arguments, **settings) -> Speechtl:
        started.append(Speechtl(*arguments, **settings))
        return started[-1]

    yield start
    for command in started:
        command.close()
