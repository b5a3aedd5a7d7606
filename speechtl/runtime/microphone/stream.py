"""The microphone: blocks of a device, which is opened at a rate that it supports, and opened again after it was lost.

The callback, which PortAudio calls on its own thread, only copies and counts: it never waits. Between it and the
reader is a bounded buffer; what does not fit, and what the driver lost before, is counted and becomes a gap before the next block.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np

from speechtl.errors import MicrophoneError
from speechtl.runtime.microphone.portaudio import (
    DTYPE,
    Device,
    find_again,
    find_device,
    leave_open,
    load_sounddevice,
    may_try_another,
    reason,
    rescan,
)
from speechtl.runtime.samples import SAMPLE_RATE, Samples
from speechtl.runtime.silence import silent_library

# The rate of the detector first, which needs no conversion; then the usual rates of microphones.
RATES = (SAMPLE_RATE, 48_000, 44_100, 32_000, 96_000, 22_050, 8_000)
BLOCK_SECONDS = 0.04  # half a step of the network, and the longest delay that blocks add
BUFFER_SECONDS = 4.0
NOTHING_SECONDS = 1.0  # without a callback, after which the device counts as dead
TOO_FAST = 2.0  # times its rate over a second: a driver that has lost its device and delivers garbage
FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0  # seconds between attempts to open the device again
CLOSE_SECONDS = 0.4  # a healthy stream closes within a block or two
HUNG_SECONDS = 30.0  # a stream that has not closed by then keeps the whole process from its microphone


@dataclass(frozen=True)
class Block:
    """Sound as it was captured: `(frames, channels)` at `rate` hertz, after a gap of `gap_seconds`; `arrived` is monotonic."""

    samples: Samples
    rate: int
    gap_seconds: float = 0.0
    arrived: float = 0.0


@dataclass(frozen=True)
class Captured:
    """Frames of a callback, how many are missing before them, whether the driver lost some too, and when they came (monotonic)."""

    samples: Samples
    missing: int
    overflowed: bool
    arrived: float


class BlockBuffer:
    """A bounded buffer between one writer that must never wait and one reader."""

    def __init__(self, blocks: int) -> None:
        self._blocks = blocks
        self._queue: SimpleQueue[Captured | None] = SimpleQueue()
        self._missing = 0
        self._overflowed = False
        self.overruns = 0  # blocks dropped here, or by PortAudio before
        self.frames = 0  # captured, including those that were dropped

    def write(self, samples: Samples, overflowed: bool = False) -> None:
        """Copy samples into the buffer, or count them as missing where it is full; never wait."""
        if overflowed and self.frames:  # before the first frames nothing can have been lost, although some drivers report it
            self.overruns += 1
            self._overflowed = True
        self.frames += len(samples)
        if self._queue.qsize() >= self._blocks:
            self.overruns += 1
            self._missing += len(samples)
            return
        self._queue.put(Captured(samples.copy(), self._missing, self._overflowed, time.monotonic()))
        self._missing, self._overflowed = 0, False

    def end(self) -> None:
        """Mark the end of the stream for the reader."""
        self._queue.put(None)

    def read(self, timeout: float) -> Captured | None:
        """The next captured samples, or None at the end; raises `Empty` after `timeout` seconds."""
        return self._queue.get(timeout=timeout)


class Microphone:
    """Blocks of an input device; `wanted` is its number or name (or part of it), None for the default device.

    `open` raises `MicrophoneError`. Afterwards nothing raises: a device that stops or disappears is opened again, by
    name, with growing pauses, and `log` receives a sentence; `lost` and `hung` give its state.
    """

    def __init__(self, wanted: str | None, log: Callable[[str], None], *, rate: int | None = None, channel: int = 1) -> None:
        self._wanted = wanted
        self._log = log
        self._rates = RATES if rate is None else (rate,)
        self._channel = channel
        self._stream: Any = None
        self._closing: threading.Thread | None = None
        self._closing_since = 0.0
        self._buffer = BlockBuffer(1)
        self._overruns_before = 0
        self._lost_at: float | None = None
        self._next_try = 0.0
        self._wait = FIRST_WAIT
        self._last = self._counted_at = 0.0
        self._counted = self._counted_overruns = 0
        self.device: Device | None = None
        self.rate = 0
        self.channels = 0
        self.ended = False  # a microphone never ends by itself; a file does

    @property
    def overruns(self) -> int:
        """Blocks lost since the start because they were not read in time."""
        return self._overruns_before + self._buffer.overruns

    @property
    def hung(self) -> bool:
        """True where a stream has been closing for so long that only a new process can help."""
        return self._closing is not None and time.monotonic() - self._closing_since > HUNG_SECONDS

    @property
    def lost(self) -> bool:
        """True while the device is gone or delivers nothing."""
        return self._lost_at is not None

    def open(self) -> None:
        """Open the device at the first rate that it supports; raise `MicrophoneError`."""
        known = self.device if self._wanted is not None else None  # the default device may have changed
        device = find_device(self._wanted) if known is None else find_again(known)
        self._start(device)
        self.device = device

    def read(self, timeout: float) -> Block | None:
        """The next block, or None when none came within `timeout` seconds."""
        if self._stream is None:
            self._reopen(timeout)
            return None
        try:
            got = self._buffer.read(timeout)
        except Empty:
            if time.monotonic() - self._last >= NOTHING_SECONDS:
                self._lose("has delivered nothing for a second")
            return None
        if got is None:
            self._lose("has stopped")
            return None
        if self._too_fast():
            self._lose("delivers sound much faster than real time", running=True)
            return None
        gap = self._gap(got)
        if self._lost_at is not None:
            gap = max(got.arrived - self._lost_at - len(got.samples) / self.rate, 0.0)
            self._lost_at = None
            self._wait = FIRST_WAIT
            self._log(f"The microphone is back after {gap:.0f} s: {self.describe()}.")
        self._last = got.arrived
        return Block(got.samples, self.rate, gap, got.arrived)

    def close(self) -> None:
        """Close the stream; one that does not stop is abandoned."""
        self._close(abort=False)

    def describe(self) -> str:
        """A description of the device, its rate and its channels for people."""
        name = self.device.name if self.device else "no microphone"
        channels = "1 channel" if self.channels == 1 else f"channel {self._channel} of {self.channels}"
        return f"{name} at {self.rate} Hz, {channels}"

    def _start(self, device: Device) -> None:
        if self._channel > device.channels:
            raise MicrophoneError(f"{device.name} has {device.channels} channels; there is no channel {self._channel}.")
        sounddevice = load_sounddevice()
        problem: Exception | None = None
        for rate, channels in self._settings(device):
            buffer = BlockBuffer(round(BUFFER_SECONDS / BLOCK_SECONDS))
            try:
                with silent_library():
                    stream = self._open_stream(sounddevice, device, rate, channels, buffer)
            except sounddevice.PortAudioError as error:
                problem = error
                if not may_try_another(error):
                    break
                continue
            self._overruns_before += self._buffer.overruns
            self._stream, self._buffer, self.rate, self.channels = stream, buffer, rate, channels
            self._last = self._counted_at = time.monotonic()
            self._counted = self._counted_overruns = 0
            return
        assert problem is not None
        if len(self._rates) == 1 and may_try_another(problem):
            raise MicrophoneError(
                f"{device.name} does not open at {self._rates[0]} Hz: leave out --rate, or see its rates with: speechtl doctor"
            )
        raise MicrophoneError(reason(problem, device)) from problem

    def _settings(self, device: Device) -> list[tuple[int, int]]:
        """The rates and numbers of channels to try."""
        counts = numbers_of_channels(device, self._channel)
        rates = self._rates if len(self._rates) == 1 else dict.fromkeys((*self._rates, device.rate))
        return [(rate, count) for rate in rates for count in counts]

    @staticmethod
    def _open_stream(sounddevice: Any, device: Device, rate: int, channels: int, buffer: BlockBuffer) -> Any:
        sounddevice.check_input_settings(device=device.index, samplerate=rate, channels=channels, dtype=DTYPE)

        def callback(samples: Samples, _frames: int, _time: Any, status: Any) -> None:
            buffer.write(samples, bool(status.input_overflow))

        stream = sounddevice.InputStream(
            device=device.index,
            samplerate=rate,
            channels=channels,
            dtype=DTYPE,
            blocksize=round(rate * BLOCK_SECONDS),
            latency="high",
            callback=callback,
            finished_callback=buffer.end,
        )
        try:
            stream.start()
        except sounddevice.PortAudioError:
            stream.close(ignore_errors=True)
            raise
        return stream

    def _gap(self, got: Captured) -> float:
        """Seconds lost before a block; at most the time that has passed, because a faulty driver reports impossible losses."""
        if not (got.missing or got.overflowed):
            return 0.0
        passed = max(got.arrived - self._last - len(got.samples) / self.rate, 1.0 / self.rate)
        return passed if got.overflowed else min(got.missing / self.rate, passed)

    def _too_fast(self) -> bool:
        """True where the device delivered more within a second than a microphone can; its overruns are not counted then."""
        now, buffer = time.monotonic(), self._buffer
        seconds = max(now - self._counted_at, 1.0)
        if buffer.frames - self._counted > TOO_FAST * seconds * self.rate:
            self._overruns_before += self._counted_overruns
            self._buffer = BlockBuffer(1)
            return True
        if now - self._counted_at >= 1.0:
            self._counted_at, self._counted, self._counted_overruns = now, buffer.frames, buffer.overruns
        return False

    def _lose(self, what: str, running: bool = False) -> None:
        if self._lost_at is None:
            name = self.device.name if self.device else "it"
            self._log(f"The microphone {what}: {name} is opened again as soon as it responds. Is it plugged in and powered?")
            self._lost_at = self._last
        else:  # opened again, and still nothing came
            self._wait = min(2.0 * self._wait, LONGEST_WAIT)
        # A thread that is stuck in the driver can only be aborted; one that runs must not be, it may hold Python's lock.
        self._close(abort=not running)
        self._next_try = time.monotonic() + self._wait

    def _close(self, abort: bool) -> None:
        """Close the stream on a thread of its own, because a dead driver may never return."""
        stream, self._stream = self._stream, None
        if stream is None:
            return

        def close() -> None:
            (stream.abort if abort else stream.stop)(ignore_errors=True)
            stream.close(ignore_errors=True)

        self._closing = threading.Thread(target=close, name="speechtl-close", daemon=True)
        self._closing_since = time.monotonic()
        self._closing.start()
        self._closing.join(CLOSE_SECONDS)
        if self._closing.is_alive():
            leave_open()
        else:
            self._closing = None

    def _reopen(self, timeout: float) -> None:
        """Try to open the lost device when its time has come; else wait."""
        now = time.monotonic()
        if now < self._next_try or self._closing is not None:
            pause = min(timeout, max(self._next_try - now, 0.05))
            if self._closing is None:
                time.sleep(pause)
            else:
                self._closing.join(pause)
                self._closing = self._closing if self._closing.is_alive() else None
            return
        try:
            rescan()
            self.open()
        except MicrophoneError as error:
            if self._wait == FIRST_WAIT:
                self._log(f"It cannot be opened yet; retrying at least every {LONGEST_WAIT:.0f} s: {error}")
            self._wait = min(2.0 * self._wait, LONGEST_WAIT)
            self._next_try = time.monotonic() + self._wait


def numbers_of_channels(device: Device, channel: int = 1) -> list[int]:
    """Numbers of channels to try: two show whether one is dead; some devices open only with all of them."""
    return list(dict.fromkeys((min(max(2, channel), device.channels), channel, device.channels)))


def to_block(samples: Samples, rate: int, arrived: float) -> Block:
    """Mono samples as a block."""
    return Block(np.asarray(samples, np.float32)[:, None], rate, 0.0, arrived)
