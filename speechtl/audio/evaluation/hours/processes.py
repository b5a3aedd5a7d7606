"""Parts heard by plain processes of this machine; a process that is killed costs only the time of its part.

A process is `python -c` with this module, parts come pickled on its standard input, and what was heard leaves on its
standard output. So it needs neither the PyTorch that its parent may have loaded nor a guard in the script that called it.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import partial

from speechtl.audio.evaluation.hours.hearing import Ears, Listener
from speechtl.audio.evaluation.hours.parts import Heard, Part
from speechtl.errors import SpeechtlError, sentence_of

Hearing = Callable[[Iterable[Part]], Iterator[Heard]]  # yields what was heard in any order
WORTH_SECONDS = 600.0  # of sound: with less for each, starting a process takes longer than it saves
ATTEMPTS = 2  # at a part whose process was killed
PROGRAM = "import sys; sys.path[:] = {path!r}; from speechtl.audio.evaluation.hours.processes import serve; serve()"


def cores() -> int:
    """The number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def local(ears: Ears, jobs: int, seconds: float) -> Iterator[Hearing]:
    """A function that hears parts and yields them in any order, with at most `jobs` processes for `seconds` of sound."""
    processes = min(jobs, round(seconds / WORTH_SECONDS))
    if processes <= 1:
        with _one_thread() if ears.graph is None else nullcontext():
            yield partial(map, Listener(ears).hear)
        return
    crew = _Crew(ears, processes)
    try:
        yield crew.hear
    finally:
        crew.end()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Run PyTorch on one thread, as in the processes: with more it may round differently."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Crew:
    """Processes, with a thread for each that hands it parts."""

    def __init__(self, ears: Ears, processes: int) -> None:
        self._ears = ears
        self._number = processes
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._ended = False
        self._heard: queue.SimpleQueue[Heard | BaseException | None] = queue.SimpleQueue()

    def hear(self, parts: Iterable[Part]) -> Iterator[Heard]:
        waiting = iter(parts)
        for _ in range(self._number):
            threading.Thread(target=self._attend, args=(waiting,), daemon=True).start()
        left = self._number
        while left:
            heard = self._heard.get()
            if isinstance(heard, BaseException):
                raise heard
            if heard is None:
                left -= 1
            else:
                yield heard

    def end(self) -> None:
        """Kill the processes; those that have nothing to do have ended already."""
        with self._lock:
            self._ended = True
            for process in self._processes:
                process.kill()
        for process in self._processes:
            process.wait()
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                with suppress(OSError):  # of a process that was killed
                    pipe.close()

    def _attend(self, waiting: Iterator[Part]) -> None:
        """Have parts heard until there are no more."""
        try:
            process = self._start()
            while (part := self._next(waiting)) is not None:
                process = self._hear(process, part)
            _stop(process)
            self._heard.put(None)
        except Exception as error:  # noqa: BLE001  # raised again by the thread that waits
            self._heard.put(error)

    def _next(self, waiting: Iterator[Part]) -> Part | None:
        with self._lock:
            return None if self._ended else next(waiting, None)

    def _hear(self, process: subprocess.Popen[bytes], part: Part) -> subprocess.Popen[bytes]:
        """Have a part heard; the process that can take the next one is another one where it was killed."""
        for _ in range(ATTEMPTS):
            try:
                answer = _ask(process, part)
            except (OSError, EOFError, pickle.UnpicklingError):
                process.wait()
                process = self._start()
                continue
            if isinstance(answer, BaseException):
                raise answer
            self._heard.put(answer)
            return process
        raise SpeechtlError(
            f"A process that heard part {part.number} of the negatives was killed {ATTEMPTS} times, perhaps because memory ran out. "
            "Try again with fewer --jobs; what was heard is kept."
        )

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", PROGRAM.format(path=sys.path)]
        with self._lock:
            if self._ended:
                raise SpeechtlError("The processes have ended.")
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"})
            self._processes.add(process)
        with suppress(OSError):  # of a process that has ended already, as the first part will show
            _send(process, self._ears)
        return process


def _ask(process: subprocess.Popen[bytes], part: Part) -> Heard | SpeechtlError:
    _send(process, part)
    assert process.stdout is not None
    answer: Heard | SpeechtlError = pickle.load(process.stdout)
    return answer


def _send(process: subprocess.Popen[bytes], what: Ears | Part) -> None:
    assert process.stdin is not None
    pickle.dump(what, process.stdin)
    process.stdin.flush()


def _stop(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.close()
    process.wait()


def serve() -> None:
    """Hear the parts on standard input until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends its processes
    answers = sys.stdout.buffer
    sys.stdout = sys.stderr
    ears = pickle.load(sys.stdin.buffer)
    listener: Listener | None = None
    while True:
        try:
            part = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            listener = listener or Listener(ears)
            answer: Heard | SpeechtlError = listener.hear(part)
        except SpeechtlError as error:
            answer = SpeechtlError(sentence_of(error))  # other kinds cannot all be pickled
        pickle.dump(answer, answers)
        answers.flush()
