import os
import socket
from pathlib import Path

import pytest

from speechtl.runtime.systemd import Notifier


@pytest.fixture(params=["path", "abstract"])
def systemd(request, tmp_path):
    """A socket such as systemd opens, with the address as it stands in NOTIFY_SOCKET."""
    name = f"@speechtl-test-{os.getpid()}" if request.param == "abstract" else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(name.replace("@", "\0", 1))
        listening.settimeout(0.2)
        yield listening, name


def received(listening: socket.socket) -> list[str]:
    messages = []
    try:
        while True:
            messages.append(listening.recv(4096).decode())
    except TimeoutError:
        return messages


def test_start_reload_and_end_are_told(systemd):
    listening, name = systemd
    notifier = Notifier({"NOTIFY_SOCKET": name})
    notifier.ready("listening\nto a microphone")
    notifier.reloading()
    notifier.status("no microphone")
    notifier.stopping()
    ready, reloading, status, stopping = received(listening)
    assert ready == "READY=1\nSTATUS=listening to a microphone"
    assert reloading.startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert (status, stopping) == ("STATUS=no microphone", "STOPPING=1")


def test_signs_of_life_go_out_at_half_the_interval_however_often_one_calls(systemd, monkeypatch):
    listening, name = systemd
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    notifier = Notifier({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "4000000", "WATCHDOG_PID": str(os.getpid())})
    assert notifier.watchdog_seconds == 4.0
    for now in (100.0, 100.1, 101.9, 102.0, 102.1, 104.0):  # noqa: B007
        notifier.alive()
    monkeypatch.undo()
    assert received(listening) == ["WATCHDOG=1"] * 3


@pytest.mark.parametrize(
    "other", [{"WATCHDOG_USEC": "4000000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "soon"}, {}]
)
def test_no_sign_of_life_is_sent_where_none_is_wanted_of_this_process(systemd, other):
    listening, name = systemd
    Notifier({"NOTIFY_SOCKET": name, **other}).alive()
    assert received(listening) == []


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1234"}, {"WATCHDOG_USEC": "4000000"}])
def test_without_systemd_nothing_happens(environment, capsys):
    notifier = Notifier(environment)
    notifier.ready()
    notifier.alive()
    notifier.stopping()
    assert capsys.readouterr().err == ""


def test_a_systemd_that_went_away_is_said_once_and_harms_nothing(tmp_path, capsys):
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")})
    notifier.ready()
    notifier.stopping()
    assert capsys.readouterr().err.count("cannot be sent to systemd") == 1


def test_file_descriptors_are_given_back(systemd):
    notifier = Notifier({"NOTIFY_SOCKET": systemd[1]})
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        notifier.ready()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert received(systemd[0]) == ["READY=1"] * 5


def test_a_name_adds_no_line_to_what_systemd_is_told(systemd):
    listening, address = systemd
    Notifier({"NOTIFY_SOCKET": address}).status("listening to \x1b[2Ja\nSTOPPING=1\udce9\0")
    assert received(listening) == [r"STATUS=listening to \x1b[2Ja STOPPING=1\xe9\x00"]
