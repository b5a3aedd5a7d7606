"""The terminal of the recorder: questions, single keys, and a level meter in one line."""

from __future__ import annotations

import os
import sys
from types import TracebackType
from typing import Any

import numpy as np

from speechtl.errors import SpeechtlError
from speechtl.text import echo, one_line

try:
    import select
    import termios
    import tty
except ImportError:  # Windows
    termios = None  # type: ignore[assignment]

METER_WIDTH = 30  # characters
METER_DB = (-60.0, 0.0)  # from empty to full
CLEAR = "\r\x1b[K"
END = "\x04"  # Ctrl-D
ESCAPE = "\x1b"


class Terminal:
    """A terminal whose keys are read one by one, without Enter; a context manager, which restores it."""

    def __init__(self) -> None:
        if termios is None or not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise SpeechtlError(
                "speechtl record talks with a person and needs a terminal; to use recordings that exist, give them to: speechtl data split"
            )
        self._meter_shown = False
        self._before: list[Any] = []

    def __enter__(self) -> Terminal:
        self._before = termios.tcgetattr(sys.stdin)
        tty.setcbreak(sys.stdin, termios.TCSANOW)
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        self._end_meter()
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._before)

    def say(self, text: str) -> None:
        """Print a line."""
        self._end_meter()
        echo(text)

    def ask(self, question: str, default: str = "") -> str:
        """The answer to a question, or the default where it is empty; raises `SpeechtlError` at the end of the input."""
        self._end_meter()
        sys.stdout.write(f"{one_line(question)}{f' [{one_line(default)}]' if default else ''} ")
        sys.stdout.flush()
        termios.tcsetattr(sys.stdin, termios.TCSANOW, self._before)
        answer = sys.stdin.readline()
        tty.setcbreak(sys.stdin, termios.TCSANOW)
        if not answer:
            raise SpeechtlError("The input has ended; nothing was recorded.")
        return answer.strip() or default

    def key(self) -> str:
        """The next key, in lower case: a letter, `enter`, `q` for Ctrl-D and the end of the input, or `escape` for one without a letter."""
        pressed = os.read(sys.stdin.fileno(), 1).decode("ascii", "replace").lower()
        if pressed == ESCAPE:
            self.pressed()  # the rest of the key: that of F2 has a Q
            return "escape"
        return {"\n": "enter", "\r": "enter", END: "q", "": "q"}.get(pressed, pressed)

    def pressed(self) -> bool:
        """Whether any key was pressed since the last one that was read; it is taken."""
        number = sys.stdin.fileno()
        if not select.select([number], [], [], 0)[0]:
            return False
        os.read(number, 1024)
        return True

    def meter(self, level_db: float, clipped: bool) -> None:
        """Show a level in one line, which the next call replaces."""
        low, high = METER_DB
        share = (max(level_db, low) - low) / (high - low)
        bar = ("#" * round(share * METER_WIDTH)).ljust(METER_WIDTH)
        level = f"{level_db:4.0f} dBFS" if np.isfinite(level_db) else "   silence"
        sys.stdout.write(f"{CLEAR}  [{bar}] {level}{'  CLIPPED' if clipped else ''}")
        sys.stdout.flush()
        self._meter_shown = True

    def count(self, text: str) -> None:
        """Show a short text in the meter's line."""
        sys.stdout.write(f"{CLEAR}  {one_line(text)}")
        sys.stdout.flush()
        self._meter_shown = True

    def _end_meter(self) -> None:
        if self._meter_shown:
            sys.stdout.write(CLEAR)
            sys.stdout.flush()
            self._meter_shown = False
