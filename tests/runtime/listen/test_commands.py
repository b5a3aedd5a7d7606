import threading
import time
from pathlib import Path

import numpy as np
import pytest

from speechtl.errors import SpeechtlError
from speechtl.runtime.events import Event
from speechtl.runtime.listen.commands import Command, Sound

HEARD = Event("computer", 1.5, 0.97, start=0.7, end=1.3, level=-31.2, wall=1767225600.0, monotonic=12.5)


def eventually(condition) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def threads() -> int:
    return sum(thread.name == "speechtl-command" for thread in threading.enumerate())


def test_what_was_detected_stands_in_the_environment(tmp_path):
    said: list[str] = []
    command = Command(f"env > {tmp_path}/told", said.append, shell=True)
    command.run(HEARD)
    eventually(lambda: not threads())
    told = (tmp_path / "told").read_text().splitlines()
    assert {
        "SPEECHTL_NAME=computer",
        "SPEECHTL_SCORE=0.9700",
        "SPEECHTL_TIME=1.500",
        "SPEECHTL_PEAK=0.9700",
        "SPEECHTL_START=0.700",
        "SPEECHTL_END=1.300",
        "SPEECHTL_LEVEL=-31.2",
        "SPEECHTL_SNR=",
        "SPEECHTL_AT=2026-01-01T00:00:00.000+00:00",
        "SPEECHTL_MONOTONIC=12.500",
    } <= set(told)
    assert said == []


def test_no_shell_reads_the_command_unless_asked(tmp_path):
    Command(f"touch '{tmp_path}/a; touch b' {tmp_path}/$HOME", pytest.fail).run(HEARD)
    eventually(lambda: len(list(tmp_path.iterdir())) == 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["$HOME", "a; touch b"]


def test_a_command_that_fails_is_told():
    said: list[str] = []
    Command("sh -c 'exit 3'", said.append).run(HEARD)
    eventually(lambda: said)
    assert "ended with exit code 3" in said[0]


def test_a_command_that_vanished_is_told(tmp_path):
    said: list[str] = []
    script = tmp_path / "gone"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    command = Command(str(script), said.append)
    script.unlink()
    command.run(HEARD)
    eventually(lambda: said)
    assert "cannot be run: No such file or directory" in said[0]


def test_a_command_that_runs_too_long_is_stopped_with_all_that_it_started(tmp_path):
    said: list[str] = []
    Command(f"sleep 600 & echo $! > {tmp_path}/pid; trap '' TERM; wait; sleep 600", said.append, shell=True, seconds=0.5).run(HEARD)
    eventually(lambda: said and not threads())
    assert "had not ended after" in said[0]
    child = int((tmp_path / "pid").read_text())
    eventually(lambda: not alive(child))


def alive(pid: int) -> bool:
    """Tell whether a process runs; one that ended and was not yet fetched by its parent does not."""
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def test_only_a_few_run_at_once_and_starting_them_takes_no_time():
    said: list[str] = []
    command = Command("sleep 600", said.append)
    start = time.monotonic()
    for _ in range(6):
        command.run(HEARD)
    assert time.monotonic() - start < 5
    assert threads() == 4
    assert len(said) == 2
    assert "it is not run for computer at 1.50 s" in said[0]
    command.close()
    assert threads() == 0
    assert len(said) == 2


def test_standard_input_is_closed_to_commands(tmp_path):
    Command(f"cat > {tmp_path}/read", pytest.fail, shell=True).run(HEARD)
    eventually(lambda: not threads())
    assert (tmp_path / "read").read_text() == ""


def test_a_file_that_cannot_be_run_is_refused(tmp_path):
    (tmp_path / "script").write_text("echo")
    with pytest.raises(SpeechtlError, match=r"chmod \+x"):
        Command(str(tmp_path / "script"), print)


def test_any_name_can_be_told_to_a_command(tmp_path):
    notes: list[str] = []
    command = Command(f"sh -c 'printenv SPEECHTL_NAME > {tmp_path}/name'", notes.append)
    command.run(Event("a\0b\n\x1b\ud800", 1.0, 0.9))
    eventually(lambda: (tmp_path / "name").exists() and (tmp_path / "name").read_text())
    command.close()
    assert (tmp_path / "name").read_text() == "a\\x00b\\x0a\\x1b\\ud800\n"
    assert notes == []


def test_sound_is_read_to_its_end_at_the_command_s_own_pace(tmp_path):
    sound = Sound()
    wait = f"until [ -e {tmp_path}/go ]; do sleep 0.01; done"
    command = Command(f"sh -c '{wait}; cat > {tmp_path}/new; mv {tmp_path}/new {tmp_path}/heard'", pytest.fail)
    assert command.run(HEARD, sound)
    for _ in range(100):  # more than a pipe holds
        sound.put(np.full(1600, 0.5, np.float32))
    sound.end()
    (tmp_path / "go").touch()
    eventually((tmp_path / "heard").exists)
    assert (tmp_path / "heard").read_bytes() == b"\x00\x40" * 160_000


def test_a_command_that_stops_reading_is_told_and_its_sound_is_not_kept():
    said: list[str] = []
    sound = Sound()
    Command("true", said.append).run(HEARD, sound)
    eventually(lambda: not threads())
    sound.put(np.zeros(1600, np.float32))
    eventually(lambda: sound.unread)
    eventually(lambda: said)
    assert said == ["'true' stopped reading after 0.0 s of sound."]
