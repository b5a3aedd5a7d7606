"""Parts heard by the workers of a Dask scheduler; a worker that dies costs only the time of its parts.

The workers get the bundle from here and read the recordings themselves: at the same path, in their $SPEECHTL_DATA, or in their cache.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from distributed import Client, Future, KilledWorker, WorkerPlugin
from distributed.client import FutureCancelledError

from speechtl import __version__
from speechtl.audio.evaluation.hours import hearing
from speechtl.audio.evaluation.hours.hearing import Ears
from speechtl.audio.evaluation.hours.parts import Heard, Part
from speechtl.audio.evaluation.hours.processes import Hearing
from speechtl.errors import SpeechtlError
from speechtl.progress import Log
from speechtl.text import counted, first_few

CONNECT_SECONDS = 10.0
WORKERS_SECONDS = 60.0  # that no worker is waited for
POLL_SECONDS = 0.05
ALIVE_SECONDS = 5.0  # between two questions whether the scheduler is there
AHEAD = 2  # parts for each thread of a worker: one at work, one waiting

_ears: dict[str, Ears] = {}  # of this worker, by key


class EarsPlugin(WorkerPlugin):  # type: ignore[misc]
    """Gives every worker, also one that joins later, what it needs to hear parts."""

    def __init__(self, ears: Ears) -> None:
        self.ears = ears
        self.name = f"speechtl-{ears.key}"

    def setup(self, worker: Any) -> None:
        """Called by a worker."""
        _ears[self.ears.key] = self.ears

    def teardown(self, worker: Any) -> None:
        """Called by a worker when the evaluation is over."""
        _ears.pop(self.ears.key, None)


def hear(key: str, part: Part) -> Heard:
    """Hear a part on a worker."""
    return hearing.hear(_ears[key], part)


def version_here() -> str:
    """The version of speechtl on a worker."""
    return __version__


@contextmanager
def on_cluster(address: str, ears: Ears, note: Log) -> Iterator[Hearing]:
    """A function that hears parts on the workers of a scheduler, and yields them in any order.

    Raises `SpeechtlError` where the scheduler cannot be reached, or where its workers run another version.
    """
    with _quiet():
        client = _connect(address)
        try:
            with _while_there(address):
                _prepare(client, address, ears, note)
            yield partial(_hear, client, address, ears)
            with _while_there(address):
                client.unregister_worker_plugin(f"speechtl-{ears.key}")
        finally:
            client.close(timeout=1.0)


@contextmanager
def _quiet() -> Iterator[None]:
    """Let Dask log nothing: what happens is said in one sentence."""
    log = logging.getLogger("distributed")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(level)


def _connect(address: str) -> Client:
    try:
        return Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError, RuntimeError) as error:
        raise SpeechtlError(
            f"No Dask scheduler answers at {address} ({error}). Start one with: dask scheduler. Or leave out --scheduler."
        ) from error


@contextmanager
def _while_there(address: str) -> Iterator[None]:
    """Turn the errors of a connection that breaks into one sentence."""
    try:
        yield
    except (OSError, FutureCancelledError) as error:
        raise _gone(address) from error


def _gone(address: str) -> SpeechtlError:
    return SpeechtlError(
        f"The Dask scheduler at {address} has gone away. What was heard is kept: start it again, and the same command continues from here."
    )


def _prepare(client: Client, address: str, ears: Ears, note: Log) -> None:
    try:
        client.wait_for_workers(1, timeout=WORKERS_SECONDS)
    except (TimeoutError, asyncio.TimeoutError) as error:  # two classes in Python 3.10
        raise _no_worker(address) from error
    found: Mapping[str, object] = client.run(version_here, on_error="return")
    wrong = {worker: what for worker, what in found.items() if what != __version__}
    if wrong:
        others = (f"{worker} has {f'speechtl {what}' if isinstance(what, str) else what}" for worker, what in wrong.items())
        raise SpeechtlError(
            f"This is speechtl {__version__}, and workers of {address} differ: {'; '.join(first_few(others))}. "
            f"Install the same everywhere: pip install 'speechtl[train,cluster]=={__version__}'"
        )
    client.register_plugin(EarsPlugin(ears))
    note(f"The negatives are heard by {counted(len(found), 'worker')} of {address}.")


def _no_worker(address: str) -> SpeechtlError:
    return SpeechtlError(
        f"The Dask scheduler at {address} has had no worker for {WORKERS_SECONDS:.0f} s. Start some with: dask worker {address}. "
        "What was heard is kept."
    )


def _hear(client: Client, address: str, ears: Ears, parts: Iterable[Part]) -> Iterator[Heard]:
    """Hear parts; only few are on the way at a time, as each has the lines of its recordings."""
    waiting, at_work = iter(parts), list[Future]()
    watch = _Watch(client, address)
    while True:
        while len(at_work) < watch.threads * AHEAD and (part := next(waiting, None)) is not None:
            at_work.append(client.submit(hear, ears.key, part, pure=False))
        if not at_work:
            return
        # Asked anew for each: a result that is lost with its worker is made again by another.
        finished = next((future for future in at_work if future.done()), None)
        if finished is not None:
            at_work.remove(finished)
            yield _result(finished, address)
        else:
            time.sleep(POLL_SECONDS)
            watch.look()


class _Watch:
    """Whether the scheduler is there, and how many threads its workers have."""

    def __init__(self, client: Client, address: str) -> None:
        self._client, self._address = client, address
        self._looked, self._had_workers = -ALIVE_SECONDS, time.monotonic()
        self.threads = 1
        self.look()

    def look(self) -> None:
        """Ask, at most every few seconds; raises `SpeechtlError` where the scheduler is gone, or has had no worker for long."""
        now = time.monotonic()
        if now - self._looked < ALIVE_SECONDS:
            return
        self._looked = now
        with _while_there(self._address):
            threads = sum(self._client.nthreads().values())
        if threads:
            self.threads, self._had_workers = threads, now
        elif now - self._had_workers > WORKERS_SECONDS:
            raise _no_worker(self._address)


def _result(future: Future, address: str) -> Heard:
    """What was heard; raises `SpeechtlError`."""
    if future.status == "cancelled":
        raise _gone(address)
    with _while_there(address):
        problem = future.exception()
    if isinstance(problem, SpeechtlError):
        raise problem
    if isinstance(problem, KilledWorker):
        raise SpeechtlError(
            f"Several workers died while they heard the same recordings ({problem}), perhaps because memory ran out. "
            "What was heard is kept."
        )
    if problem is not None:
        raise SpeechtlError(f"A worker of {address} failed: {type(problem).__name__}: {problem}. What was heard is kept.")
    with _while_there(address):
        heard: Heard = future.result()
    return heard
