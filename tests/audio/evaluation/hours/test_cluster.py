"""A scheduler and workers of Dask as processes of their own."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from speechtl.audio.evaluation.evaluate import evaluate
from speechtl.audio.evaluation.hours.kept import Kept
from speechtl.audio.evaluation.hours.negatives import Machines
from speechtl.errors import SpeechtlError

pytest.importorskip("distributed", reason="distributed is not installed: pip install 'speechtl[cluster]'")
from speechtl.audio.evaluation.hours import cluster as dask_cluster

OTHER_VERSION = "import speechtl; speechtl.__version__ = '0.0.1'; from distributed.cli.dask_worker import main; main()"
ROOT = Path(__file__).parents[4]


class Cluster:
    """A scheduler and its workers."""

    def __init__(self, folder):
        self._file = folder / "scheduler.json"
        self._processes = []
        self.scheduler = self._start("-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")

    def _start(self, *arguments):
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, *arguments, "--scheduler-file", str(self._file)]
        self._processes.append(subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        return self._processes[-1]

    def worker(self, *program):
        return self._start(*(program or ("-m", "distributed.cli.dask_worker")), "--nthreads", "1", "--no-nanny", "--no-dashboard")

    @property
    def address(self):
        while not (self._file.exists() and self._file.read_text()):
            time.sleep(0.1)
        return json.loads(self._file.read_text())["address"]

    def end(self):
        for process in self._processes:
            process.kill()
            process.wait()


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    for name in ("CONNECT_SECONDS", "WORKERS_SECONDS"):  # a busy machine starts processes slowly
        monkeypatch.setattr(f"speechtl.audio.evaluation.hours.cluster.{name}", 600.0)
    made = Cluster(tmp_path)
    yield made
    made.end()


@pytest.fixture
def then(monkeypatch):
    """Return a function that has something done once the first part was heard."""
    add = Kept.add

    def make(action):
        waiting = [action]
        monkeypatch.setattr(Kept, "add", lambda kept, heard: (add(kept, heard), waiting and waiting.pop()()))

    return make


@pytest.mark.slow
def test_workers_hear_what_this_machine_hears_also_when_one_is_killed(cluster, loud, model, then):
    expected = evaluate(model, loud, print)
    workers = [cluster.worker() for _ in range(3)]
    then(workers[0].kill)
    assert evaluate(model, loud, print, Machines(scheduler=cluster.address)) == expected
    assert workers[0].wait() != 0


class Fading:
    """A client whose second result is lost with its worker once the first was taken, and made again by another worker."""

    def __init__(self):
        self.futures = []

    def nthreads(self):
        return {"tcp://127.0.0.1:1": 1, "tcp://127.0.0.1:2": 1}

    def submit(self, function, key, part, pure):
        self.futures.append(FadingFuture(self, part))
        return self.futures[-1]


class FadingFuture:
    def __init__(self, client, part):
        self._client, self._part = client, part
        self.status, self._asked_while_lost = "finished", 0

    def done(self):
        if self.status == "lost":
            self._asked_while_lost += 1
            self.status = "finished" if self._asked_while_lost > 3 else "lost"
        return self.status == "finished"

    def exception(self):
        return None

    def result(self):
        assert self.done(), "a lost result is waited for"
        for other in self._client.futures:
            if other is not self:
                other.status = "lost"
        return self._part


def test_a_result_that_is_lost_with_its_worker_before_it_was_taken_is_waited_for(ears):
    assert sorted(dask_cluster._hear(Fading(), "tcp://127.0.0.1:1", ears, [1, 2, 3, 4])) == [1, 2, 3, 4]


@pytest.mark.slow
def test_what_was_heard_is_kept_when_the_scheduler_goes_away(cluster, loud, model, then):
    cluster.worker()
    then(cluster.scheduler.kill)
    with pytest.raises(SpeechtlError, match=r"has gone away\. What was heard is kept"):
        evaluate(model, loud, print, Machines(scheduler=cluster.address))
    notes = []
    evaluate(model, loud, notes.append)
    assert any("were heard before" in note for note in notes)


@pytest.mark.slow
def test_workers_of_another_version_are_named(cluster, loud, model):
    cluster.worker("-c", OTHER_VERSION)
    with pytest.raises(SpeechtlError, match=r"has speechtl 0\.0\.1\. Install the same everywhere"):
        evaluate(model, loud, print, Machines(scheduler=cluster.address))


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nonsense", "carrier://pigeon:1"])
def test_a_scheduler_that_is_not_there_is_one_sentence(loud, model, monkeypatch, address):
    monkeypatch.setattr("speechtl.audio.evaluation.hours.cluster.CONNECT_SECONDS", 0.2)
    with pytest.raises(SpeechtlError, match=f"No Dask scheduler answers at {address}"):
        evaluate(model, loud, print, Machines(scheduler=address))
