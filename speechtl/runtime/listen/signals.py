"""Stopping and reloading on signals, even where a library or a driver never returns."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

from speechtl.progress import say

if TYPE_CHECKING:
    import asyncio  # which is not loaded to listen to a microphone

GRACE_SECONDS = 0.8  # from the signal to the end of the process, even where something hangs
STOP = (signal.SIGTERM, signal.SIGINT)
# There is neither SIGHUP nor SIGKILL on Windows.
RELOAD = (signal.SIGHUP,) if hasattr(signal, "SIGHUP") else ()
KILL = getattr(signal, "SIGKILL", signal.SIGTERM)


def on_signal(loop: asyncio.AbstractEventLoop, number: int, act: Callable[[], object]) -> None:
    """Call `act` in an event loop on a signal, also in a loop without signal handlers (Windows)."""
    try:
        loop.add_signal_handler(number, act)
    except NotImplementedError:
        signal.signal(number, lambda _number, _frame: loop.call_soon_threadsafe(act))


class Signals:
    """Turn SIGTERM, Ctrl-C and SIGHUP into flags; to be used in the main thread as a context manager.

    The signals are read on a thread of their own (`signal.set_wakeup_fd`), because handlers in Python wait until the
    main thread comes back from C code, which a dead sound driver or a full pipe may prevent for ever.
    """

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._reload = threading.Event()
        self._ended = threading.Event()
        self._before: dict[int, Any] = {}

    @property
    def stopping(self) -> bool:
        """True after a signal to stop."""
        return self._stop.is_set()

    def take_reload(self) -> bool:
        """True where a reload was requested since the last call."""
        asked = self._reload.is_set()
        self._reload.clear()
        return asked

    def __enter__(self) -> Signals:
        self._ours, self._theirs = socket.socketpair()
        self._theirs.setblocking(False)
        self._wakeup_before = signal.set_wakeup_fd(self._theirs.fileno(), warn_on_full_buffer=False)
        for number in (*STOP, *RELOAD):
            self._before[number] = signal.signal(number, self._wake)
        self._thread = threading.Thread(target=self._watch, name="speechtl-signals", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup_before)
        self._ended.set()
        self._theirs.close()
        self._thread.join()
        self._ours.close()

    @staticmethod
    def _wake(_number: int, _frame: FrameType | None) -> None:
        """Do nothing: Python writes the signal's number to the socket because a handler exists."""

    def _watch(self) -> None:
        while numbers := self._ours.recv(64):
            if any(number in RELOAD for number in numbers):
                self._reload.set()
            if any(number in STOP for number in numbers) and not self._stop.is_set():
                self._stop.set()
                threading.Thread(target=self._force, name="speechtl-end", daemon=True).start()

    def _force(self) -> None:
        if not self._ended.wait(GRACE_SECONDS):
            say("speechtl: the audio driver or the reader of the output is stuck; exiting without waiting for it.")
            os._exit(0)
