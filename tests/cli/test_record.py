"""`speechtl record` in a real terminal: a process at the other end of a pseudo-terminal."""

import json
import os
import pty
import re
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile

from speechtl.audio.data.check import validate

pytestmark = pytest.mark.slow


class Terminal:
    """A command that believes to talk with a person."""

    def __init__(self, *arguments, environment=None, cwd=None):
        self.master, slave = pty.openpty()
        self.text = ""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "speechtl", *map(str, arguments)],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=cwd,
            env={**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})},
            start_new_session=True,
        )
        os.close(slave)

    def wait_for(self, what: str, seconds: float = 120.0) -> str:
        """Wait for new text and take everything up to it."""
        end = time.monotonic() + seconds
        while what not in self.text:
            assert time.monotonic() < end, f"{what!r} was not said: {self.text}"
            try:
                self.text += os.read(self.master, 4096).decode(errors="replace")
            except OSError:
                break
        assert what in self.text, f"{what!r} was not said: {self.text}"
        before, _, self.text = self.text.partition(what)
        return before

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def finish(self) -> int:
        try:
            while part := os.read(self.master, 4096):
                self.text += part.decode(errors="replace")
        except OSError:
            pass
        assert "Traceback" not in self.text, self.text
        return self.process.wait(60)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)


@pytest.fixture
def terminal():
    opened = []

    def start(*arguments, **settings):
        opened.append(Terminal(*arguments, **settings))
        return opened[-1]

    yield start
    for one in opened:
        one.close()


@pytest.fixture
def spoken(said):
    return said.with_pauses([said.spoken()] * 2, [1.5, 1.5], 40.0)


def test_takes_are_recorded_from_a_file_in_place_of_a_microphone(terminal, tmp_path, spoken):
    soundfile.write(tmp_path / "said.wav", spoken, 16_000)
    one = terminal("record", "computer", "--takes", 2, "--no-playback", "--dry-run", "said.wav", cwd=tmp_path)
    one.wait_for("Who speaks?")
    one.type("Ann\n")
    one.wait_for("agree?")
    one.type("yes\n")
    one.wait_for("Licence")
    one.type("CC0-1.0\n")
    assert re.search(r"\[#+ *\]\s+-\d+ dBFS", one.wait_for("good."))
    one.type("\n")
    one.wait_for("Take 2 of 2")
    one.wait_for("good.")
    one.type("\n")
    one.wait_for("speechtl train --positives recordings/computer")
    assert one.finish() == 0
    assert validate([tmp_path / "recordings/computer/manifest.jsonl"]).clips == 2


def test_takes_are_recorded_from_a_microphone_of_48_khz(terminal, tmp_path, spoken, virtual_microphone):
    microphone = virtual_microphone(rate=48_000, strict=True)
    microphone.background = 0.0005
    one = terminal(
        *("record", "computer", "--speaker", "Ann", "--takes", 1, "--no-playback", "--device", "speechtl_mic", "--out", tmp_path / "c"),
        environment=microphone.environment,
    )
    one.wait_for("Recording from speechtl_mic at 48000 Hz")
    one.wait_for("agree?")
    one.type("y\n")
    one.wait_for("Licence")
    one.type("\n")
    one.wait_for("1 ...")
    time.sleep(0.6)
    microphone.play(np.repeat(spoken[: 2 * 16_000], 3))
    one.wait_for("Enter")
    one.type("k")
    one.wait_for("1 take kept")
    assert one.finish() == 0
    line = json.loads((tmp_path / "c" / "manifest.jsonl").read_text())
    assert (line["rate"], line["device"], line["speaker"]) == (48_000, "speechtl_mic", "Ann")
    assert soundfile.info(tmp_path / "c" / "Ann" / "001.wav").samplerate == 16_000


def test_without_a_terminal_it_says_so_in_one_sentence(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "speechtl", "record", "computer"], stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 2
    assert "needs a terminal" in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
