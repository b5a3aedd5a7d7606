import os
import sys

import pytest

pty = pytest.importorskip("pty", reason="terminals of Unix")


@pytest.mark.parametrize(
    ("typed", "key"), [(b"k", "k"), (b"Q", "q"), (b"\r", "enter"), (b"\x04", "q"), (b"\x1bOQ", "escape"), (b"\x1b[A", "escape")]
)
def test_a_key_without_a_letter_is_not_taken_for_the_letters_that_stand_for_it(monkeypatch, typed, key):
    import tty

    from speechtl.audio.recording.terminal import Terminal

    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "r+b", buffering=0) as inside, os.fdopen(ours, "wb", buffering=0) as keyboard:
        monkeypatch.setattr(sys, "stdin", inside)
        monkeypatch.setattr(Terminal, "__init__", lambda self: None)
        tty.setraw(inside)
        keyboard.write(typed)
        assert Terminal().key() == key
        keyboard.write(b"k")
        assert Terminal().key() == "k"
