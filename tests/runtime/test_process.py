import json
import mmap
import threading
from pathlib import Path

import pytest

from speechtl.errors import SpeechtlError
from speechtl.runtime import process

LINUX = Path("/proc/self/status").exists()


@pytest.mark.skipif(not LINUX, reason="memory is read from /proc")
def test_memory_that_is_held_and_given_back_is_seen():
    before = process.resident_bytes()
    held = mmap.mmap(-1, 160_000_000)  # from the system: an allocator may keep what it was given back
    for page in range(0, len(held), mmap.PAGESIZE):
        held[page] = 1
    assert process.resident_bytes() - before > 0.9 * len(held)
    held.close()
    assert process.resident_bytes() - before < 20e6
    assert process.peak_bytes() - before > 140e6


def test_a_system_that_tells_no_resident_memory_is_an_error(monkeypatch):
    monkeypatch.setattr(process, "_status_line", lambda _key: None)
    assert process.peak_bytes() > 1e7  # from getrusage
    with pytest.raises(SpeechtlError, match="run this on Linux"):
        process.resident_bytes()


def test_processor_time_rises_with_work():
    before = process.cpu_seconds()
    while process.cpu_seconds() - before < 0.02:
        sum(range(1000))
    assert process.cpu_seconds() > before


def test_a_worker_says_ready_takes_all_pieces_and_tells_what_that_cost(capsys):
    taken = []

    def work(piece: bytes) -> None:
        assert capsys.readouterr().out == ("" if taken else "ready\n")
        taken.append(piece)
        begin = process.cpu_seconds()
        while process.cpu_seconds() - begin < 0.02:
            sum(range(1000))

    process.report_cost([b"a", b"b"], work)
    cost = json.loads(capsys.readouterr().out)
    assert taken == [b"a", b"b"]
    assert cost["pieces"] == 2
    assert cost["cpu_seconds"] - cost["start_cpu_seconds"] >= 0.04
    assert cost["peak_bytes"] > 1e7


@pytest.mark.skipif(not LINUX, reason="open files are read from /proc")
def test_an_open_file_is_counted_until_it_is_closed(tmp_path):
    before = process.open_files()
    with (tmp_path / "a").open("w"):
        assert process.open_files() == before + 1
    assert process.open_files() == before


def test_a_thread_is_counted_until_it_ends():
    before = process.threads()
    go = threading.Event()
    thread = threading.Thread(target=go.wait)
    thread.start()
    assert process.threads() == before + 1
    go.set()
    thread.join()
