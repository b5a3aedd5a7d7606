import subprocess
import sys
import time
from queue import Empty

import numpy as np
import pytest

from speechtl.runtime.microphone.stream import BlockBuffer

# Each runs in a process of its own: PortAudio reads its configuration once.
OPENED = """
import sys, threading, time
from pathlib import Path
import numpy as np
from speechtl.runtime.microphone import stream as module
from speechtl.runtime.microphone.stream import Microphone

def descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))

def opened(**settings):
    microphone = Microphone("speechtl_mic", lambda text: print(text, flush=True), **settings)
    microphone.open()
    return microphone
"""


def run(code: str, microphone, timeout: float = 100) -> str:
    import os

    done = subprocess.run(
        [sys.executable, "-c", OPENED + code],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env={**os.environ, **microphone.environment},
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.mark.slow
def test_samples_arrive_whole_and_exact(virtual_microphone):
    microphone = virtual_microphone()
    ramp = np.arange(1, 16_001) / 32768  # 25 blocks, no value twice
    microphone.play(np.concatenate([np.zeros(16_000), ramp]))  # opening a device may take some of its sound
    said = run(
        """
microphone = opened()
got = np.zeros((0, microphone.channels))
while not (got[:, 0] == 16_000 / 32768).any():
    block = microphone.read(1.0)
    got = np.concatenate([got, block.samples])
first = np.flatnonzero(got[:, 0])[0]
print(np.array_equal(got[first : first + 16_000, 0] * 32768, np.arange(1, 16_001)), microphone.overruns)
microphone.close()
""",
        microphone,
    )
    assert said == "True 0\n"


@pytest.mark.parametrize("rate", [44_100, 48_000])
def test_a_microphone_is_opened_at_the_only_rate_it_knows(virtual_microphone, rate):
    microphone = virtual_microphone(rate=rate, strict=True)
    said = run("microphone = opened(); print(microphone.describe(), microphone.read(2.0).rate); microphone.close()", microphone)
    assert said == f"speechtl_mic at {rate} Hz, channel 1 of 2 {rate}\n"


def test_a_rate_that_the_microphone_does_not_have_is_refused_in_words(virtual_microphone):
    microphone = virtual_microphone(rate=48_000, strict=True)
    said = run(
        """
from speechtl.errors import MicrophoneError
try:
    opened(rate=16_000)
except MicrophoneError as error:
    print(error)
""",
        microphone,
    )
    assert said.startswith("speechtl_mic does not open at 16000 Hz: ")
    assert "speechtl doctor" in said


@pytest.mark.slow
def test_what_a_stalled_reader_misses_is_counted_and_told_as_a_gap(virtual_microphone):
    said = run(
        """
module.BUFFER_SECONDS = 0.4
microphone = opened()
first = microphone.read(1.0)
time.sleep(1.2)
blocks = [microphone.read(1.0) for _ in range(12)]
gaps = [block.gap_seconds for block in blocks if block.gap_seconds]
between = blocks[-1].arrived - first.arrived
heard = sum(len(block.samples) for block in blocks) / microphone.rate
print(len(gaps), microphone.overruns > 10, abs(between - heard - gaps[0]) < 0.15, abs(microphone.overruns * 0.04 - gaps[0]) < 0.05)
microphone.close()
""",
        virtual_microphone(),
    )
    assert said == "1 True True True\n"


@pytest.mark.slow
def test_a_hundred_starts_and_stops_leak_neither_threads_nor_descriptors(virtual_microphone):
    said = run(
        """
def cycle():
    microphone = opened()
    assert microphone.read(1.0) is not None
    microphone.close()

def held():
    return threading.active_count(), descriptors(), len(list(Path("/proc/self/task").iterdir()))

cycle()
before = held()
for _ in range(100):
    cycle()
def few_more():  # a thread that ends is not gone at once, neither now nor when the first count was taken
    return all(abs(now - then) < 5 for now, then in zip(held(), before))

patience = time.monotonic() + 10
while not few_more() and time.monotonic() < patience:
    time.sleep(0.05)
print(few_more())
""",
        virtual_microphone(),
    )
    assert said == "True\n"


def test_a_full_buffer_drops_what_comes_counts_it_and_tells_the_gap_before_the_next_block():
    buffer = BlockBuffer(2)
    for value in range(5):
        buffer.write(np.full((10, 1), value, np.float32))
    assert buffer.overruns == 3
    assert [(got.samples[0, 0], got.missing) for got in (buffer.read(0), buffer.read(0))] == [(0.0, 0), (1.0, 0)]
    with pytest.raises(Empty):
        buffer.read(0)
    buffer.write(np.full((10, 1), 5, np.float32))
    got = buffer.read(0)
    assert (got.samples[0, 0], got.missing) == (5.0, 30)
    assert 0 <= time.monotonic() - got.arrived < 60


def test_what_was_written_is_a_copy():
    buffer = BlockBuffer(2)
    block = np.ones((4, 1), np.float32)
    buffer.write(block)
    block[:] = 7
    assert (buffer.read(0).samples == 1).all()


def test_an_overflow_that_the_driver_reports_counts_too_but_for_one_before_the_first_frames():
    buffer = BlockBuffer(2)
    for overflowed in (True, True, False):
        buffer.write(np.ones((4, 1), np.float32), overflowed)
    assert buffer.overruns == 2  # the driver's, and the last block, which found no room
    assert [got.overflowed for got in (buffer.read(0), buffer.read(0))] == [False, True]


@pytest.mark.slow
def test_what_the_driver_has_lost_is_told_as_a_gap_of_the_time_that_went_by(virtual_microphone):
    said = run(
        """
class Lossy(module.BlockBuffer):  # of the sixth to the fifteenth block, the driver says no more than that they are lost
    written = 0

    def write(self, samples, overflowed=False):
        self.written += 1
        if not 6 <= self.written <= 15:
            super().write(samples, self.written == 16)

module.BlockBuffer = Lossy
microphone = opened()
gaps = [gap for _ in range(20) if (gap := microphone.read(2.0).gap_seconds)]
print(len(gaps), abs(gaps[0] - 0.4) < 0.15, microphone.overruns)
microphone.close()
""",
        virtual_microphone(),
    )
    assert said == "1 True 1\n"


@pytest.mark.slow
def test_a_stream_that_ends_by_itself_is_opened_again(virtual_microphone):
    microphone = virtual_microphone()
    microphone.background = 0.001
    said = run(
        """
microphone = opened()
microphone.read(1.0)
microphone._stream.stop()  # as a driver does whose device is gone
while microphone.read(0.1) is not None or microphone._stream is not None:
    pass
while (block := microphone.read(0.1)) is None:
    pass
print(block.gap_seconds > 0.3)
microphone.close()
""",
        microphone,
    ).splitlines()
    assert said[0] == "The microphone has stopped: speechtl_mic is opened again as soon as it responds. Is it plugged in and powered?"
    assert said[1].startswith("The microphone is back after ")
    assert said[2] == "True"


STUCK = """
class Stuck:  # a stream whose driver takes its time
    def __init__(self, stream, seconds):
        self.stream, self.seconds = stream, seconds

    def abort(self, ignore_errors):
        time.sleep(self.seconds)

    stop = abort

    def close(self, ignore_errors):
        self.stream.close(ignore_errors=ignore_errors)

def stuck(microphone, seconds):
    ended, microphone._stream = microphone._stream, Stuck(microphone._stream, seconds)
    ended.stop()
    while microphone._stream is not None:
        microphone.read(0.1)
"""


@pytest.mark.slow
def test_a_driver_that_never_lets_go_ends_the_loop_with_a_sentence(virtual_microphone):
    microphone = virtual_microphone()
    microphone.background = 0.001
    said = run(
        STUCK
        + """
from types import SimpleNamespace
from speechtl.errors import MicrophoneError
from speechtl.runtime.listen.loop import Listener
from speechtl.runtime.systemd import Notifier

module.HUNG_SECONDS = 1.0
microphone = opened()
microphone.read(1.0)
stuck(microphone, 1000)
listener = Listener(microphone, SimpleNamespace(look=lambda: False), None, None, None)
try:
    listener.run(SimpleNamespace(stopping=False, take_reload=lambda: False), Notifier({}))
except MicrophoneError as error:
    print(error)
listener.close()
""",
        microphone,
    ).splitlines()
    assert said[-1] == ("The audio driver is stuck on speechtl_mic at 16000 Hz, channel 1 of 2; restart speechtl, or reboot.")


@pytest.mark.slow
def test_a_driver_that_closes_slowly_is_not_given_up_however_long_the_microphone_has_been_away(virtual_microphone):
    microphone = virtual_microphone()
    microphone.background = 0.001
    said = run(
        STUCK
        + """
module.HUNG_SECONDS = 3.0
microphone = opened()
microphone.read(1.0)
stuck(microphone, 1.5)
microphone._lost_at -= 3600.0
hung = False
while microphone._closing is not None:
    hung |= microphone.hung
    microphone.read(0.1)
while microphone.read(0.1) is None:
    pass
print(hung, microphone.lost)
microphone.close()
""",
        microphone,
    ).splitlines()
    assert said[-1] == "False False"
