"""A training's folders: what stands where until it is done, and who may work in them."""

import os
import signal
import subprocess
import sys

import pytest

from speechtl.errors import RunError, SpeechtlError
from speechtl.files import locked
from speechtl.runs import ABOUT, alone, bind, finish, training_folder, working_folder

HOLDER = """
import sys, time
from pathlib import Path
from speechtl.runs import training_folder
with training_folder(Path(sys.argv[1])) as work:
    work.mkdir()
    print("ready", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def other(tmp_path):
    """Another process that trains into `run`."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path / "run")], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_finished_run_stays_until_the_next_one_is_done_and_that_is_said(tmp_path, capsys):
    out = tmp_path / "run"
    work = working_folder(out)
    bind(work, {})
    finish(work, out, lambda folder: (folder / ABOUT).write_text("first"))
    assert capsys.readouterr().err == ""
    work = working_folder(out)
    assert "run holds a finished run, which stays until" in capsys.readouterr().err
    bind(work, {})
    assert (out / ABOUT).read_text() == "first"
    finish(work, out, lambda folder: (folder / ABOUT).write_text("second"))
    assert (out / ABOUT).read_text() == "second"
    assert not work.exists()


def test_a_new_training_in_place_of_a_finished_run_is_resumed(tmp_path):
    out = tmp_path / "run"
    work = working_folder(out)
    bind(work, {})
    finish(work, out, lambda folder: (folder / ABOUT).write_text("first"))
    with pytest.raises(RunError, match="already finished; there is nothing to resume"):
        working_folder(out, resume=True)
    bind(work, {})
    assert working_folder(out, resume=True) == work


def test_a_second_training_into_a_folder_is_refused_with_the_process_that_has_it(other, tmp_path):
    with (
        pytest.raises(SpeechtlError, match=rf"run is running: process {other.pid} on .*since .*choose another --out"),
        training_folder(tmp_path / "run"),
    ):
        pass
    with training_folder(tmp_path / "other"):
        pass


def test_a_training_that_was_killed_holds_nothing_and_is_gone_on_with(other, tmp_path):
    other.send_signal(signal.SIGKILL)
    other.wait()
    with training_folder(tmp_path / "run", resume=True) as work:
        assert work == tmp_path / "run.partial"
    assert [path.name for path in tmp_path.iterdir()] == ["run.partial"]


def test_a_lock_is_gone_after_the_work_and_after_an_error(tmp_path):
    with alone(tmp_path / "run"):
        assert [path.name for path in tmp_path.iterdir()] == [".run.lock"]
    with pytest.raises(ZeroDivisionError), alone(tmp_path / "run"):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_process_does_not_work_twice_in_one_folder_and_keeps_what_it_holds(tmp_path):
    with alone(tmp_path / "run"):
        with pytest.raises(SpeechtlError, match=rf"process {os.getpid()}, which is this one"), alone(tmp_path / "run"):
            pass
        done = subprocess.run([sys.executable, "-c", HOLDER, str(tmp_path / "run")], capture_output=True, text=True, check=False)
        assert f"process {os.getpid()} on" in done.stderr


def test_a_child_that_was_forked_holds_no_lock_of_its_parent(tmp_path):
    fork = HOLDER.replace('print("ready"', "print(os.fork() or time.sleep(60)").replace("import sys", "import os, sys")
    with subprocess.Popen([sys.executable, "-c", fork, str(tmp_path / "run")], stdout=subprocess.PIPE, text=True) as process:
        child = int(process.stdout.readline())
        process.kill()
        process.wait()
        try:
            with alone(tmp_path / "run"):
                pass
        finally:
            os.kill(child, signal.SIGKILL)


def test_where_nothing_can_lock_the_work_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr("speechtl.files.fcntl", None)
    with locked(tmp_path / "lock", "Busy", "wait"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_no_run_can_take_is_refused_before_the_work(tmp_path, monkeypatch):
    with pytest.raises(SpeechtlError, match="nope cannot be written"), training_folder(tmp_path.joinpath("/proc/nope")):
        pass
    monkeypatch.setattr("os.path.ismount", lambda path: path == tmp_path)
    with pytest.raises(SpeechtlError, match="is a disk or volume"), training_folder(tmp_path):
        pass


@pytest.mark.parametrize("kind", ["words", "pictures", "pretraining"])
def test_every_kind_of_training_looks_at_its_folder_before_anything_else(kind, tmp_path, monkeypatch):
    """With a recipe that is none: whoever looked at it first would fail in another way."""
    from lightning_fabric import Fabric

    from speechtl.audio.pretraining.train import pretrain
    from speechtl.audio.training.train import train
    from speechtl.image.train import train as train_pictures

    def begin(out):
        if kind == "pretraining":
            pretrain(None, out, tmp_path / "cache", fabric=Fabric(accelerator="cpu", devices=1))
        else:
            (train if kind == "words" else train_pictures)(None, out)

    with alone(tmp_path / "run"), pytest.raises(SpeechtlError, match="run is running"):
        begin(tmp_path / "run")
    with pytest.raises(SpeechtlError, match="cannot be written"):
        begin(tmp_path.joinpath("/proc/nope"))
