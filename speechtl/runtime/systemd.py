"""The state of a service for systemd: READY=1, WATCHDOG=1 and STOPPING=1 over $NOTIFY_SOCKET (sd_notify(3)).

Without systemd every call does nothing.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping

from speechtl.progress import say
from speechtl.text import one_line


class Notifier:
    """The connection to systemd; `watchdog_seconds` is the interval of its watchdog, None without one."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = _address(environment.get("NOTIFY_SOCKET", ""))
        self.watchdog_seconds = _watchdog_seconds(environment) if self._address else None
        self._last_alive = -float("inf")
        self._failed = False

    def ready(self, status: str = "") -> None:
        """Report that the service has started; `systemctl status` shows `status`."""
        self._send("READY=1", status)

    def reloading(self) -> None:
        """Report that a reload begins; `ready` ends it."""
        self._send("RELOADING=1", monotonic=True)

    def status(self, status: str) -> None:
        """Change the text that `systemctl status` shows."""
        self._send(status=status)

    def stopping(self) -> None:
        """Report that the service is about to end."""
        self._send("STOPPING=1")

    def alive(self) -> None:
        """Report to the watchdog, at most twice in its interval; call it as often as you like."""
        if self.watchdog_seconds is None:
            return
        now = time.monotonic()
        if now - self._last_alive >= self.watchdog_seconds / 2.0:
            self._last_alive = now
            self._send("WATCHDOG=1")

    def _send(self, state: str = "", status: str = "", monotonic: bool = False) -> None:
        if self._address is None:
            return
        lines = [state] if state else []
        if status:
            lines.append("STATUS=" + one_line(" ".join(status.splitlines())))
        if monotonic:
            lines.append(f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as line:
                line.sendto("\n".join(lines).encode(), self._address)
        except OSError as error:
            if not self._failed:
                say(f"speechtl: the state of the service cannot be sent to systemd ({error.strerror or error}), which may restart it.")
            self._failed = True


def _address(given: str) -> str | None:
    """Address of the socket: a path, or a name in the abstract namespace, which systemd writes with an @."""
    if given.startswith("@"):
        return "\0" + given[1:]
    return given if given.startswith("/") else None


def _watchdog_seconds(environment: Mapping[str, str]) -> float | None:
    """Interval of the watchdog for this process; None where WATCHDOG_PID names another process."""
    try:
        microseconds = int(environment.get("WATCHDOG_USEC", "0"))
        process = int(environment.get("WATCHDOG_PID", os.getpid()))
    except ValueError:
        return None
    return microseconds / 1e6 if microseconds > 0 and process == os.getpid() else None
