import signal
import subprocess
import sys
import time

import pytest

from speechtl.runtime.listen.signals import Signals


def eventually(condition) -> bool:
    end = time.monotonic() + 10
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


def test_a_reload_is_taken_once():
    with Signals() as signals:
        assert not signals.take_reload()
        signal.raise_signal(signal.SIGHUP)
        assert eventually(signals._reload.is_set)
        assert signals.take_reload()
        assert not signals.take_reload()
        assert not signals.stopping


def test_the_handlers_from_before_are_back_behind_it():
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)]
    with Signals():
        assert signal.getsignal(signal.SIGTERM) != before[0]
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)] == before
    assert signal.set_wakeup_fd(-1) == -1


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_main_thread_that_never_comes_back_is_left_behind_within_a_second(number):
    # The write blocks in C for ever: nobody reads the pipe. Handlers in Python do not run then.
    code = """
import os, sys
from speechtl.runtime.listen.signals import Signals
reading, writing = os.pipe()
with Signals():
    print("ready", flush=True)
    while True:
        os.write(writing, bytes(65536))
"""
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    child.stdout.readline()
    time.sleep(0.2)
    start = time.monotonic()
    child.send_signal(number)
    _, said = child.communicate(timeout=30)
    assert 0.5 < time.monotonic() - start < 2.0
    assert child.returncode == 0
    assert said == "speechtl: the audio driver or the reader of the output is stuck; exiting without waiting for it.\n"
