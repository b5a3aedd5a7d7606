import asyncio
import threading

import numpy as np
import pytest
import soxr

from speechtl.errors import AudioError, SpeechtlError
from speechtl.runtime import Detector
from speechtl.runtime.listen import stream as module
from speechtl.runtime.listen.stream import EventStream, chunks_of

RATE = 16_000


@pytest.fixture(scope="module")
def detector(tiny_bundle):
    return Detector.open(tiny_bundle)


@pytest.fixture(scope="module")
def sound(bursts):
    return bursts((1.0, 3.0))


async def one_after_the_other(chunks):
    for chunk in chunks:
        await asyncio.sleep(0)
        yield chunk


async def listed(stream) -> list:
    return [event async for event in stream]


def cut(sound, length: int = 1280) -> list:
    return [sound[at : at + length] for at in range(0, len(sound), length)]


@pytest.mark.parametrize("source", [one_after_the_other, list, iter])
def test_a_stream_gives_the_events_of_the_detector(detector, sound, source):
    assert asyncio.run(listed(detector.stream(source(cut(sound))))) == detector.fork().feed(sound)


def test_a_stream_takes_another_rate_as_bytes(detector, sound):
    content = np.round(soxr.resample(sound, RATE, 48_000) * 32767).astype("<i2").tobytes()
    found = asyncio.run(listed(detector.stream(cut(content, 1001), rate=48_000)))
    assert [event.time for event in found] == pytest.approx([event.time for event in detector.fork().feed(sound)], abs=0.081)


def test_streams_at_the_same_time_have_states_of_their_own_and_one_thread(detector, sound, monkeypatch):
    threads = set()
    feed = Detector.feed
    monkeypatch.setattr(Detector, "feed", lambda self, samples: threads.add(threading.current_thread()) or feed(self, samples))

    async def both():
        return await asyncio.gather(*(listed(detector.stream(one_after_the_other(cut(sound, length)))) for length in (800, 4000)))

    first, second = asyncio.run(both())
    assert first == second != []
    assert len(threads) == 1
    assert threading.main_thread() not in threads


class Meeting:
    """A thread that waits for the loop, which would never come if the thread were the loop's own."""

    def __init__(self) -> None:
        self._began, self._seen = threading.Event(), threading.Event()

    def wait(self) -> None:
        self._began.set()
        assert self._seen.wait(10.0), "the loop was blocked"

    async def come(self) -> None:
        while not self._began.is_set():
            await asyncio.sleep(0.001)
        self._seen.set()


def test_the_loop_goes_on_while_the_source_blocks_and_while_the_network_runs(detector, sound, monkeypatch):
    reading, detecting = Meeting(), Meeting()
    feed = Detector.feed
    monkeypatch.setattr(Detector, "feed", lambda self, samples: detecting.wait() or feed(self, samples))

    def source():
        reading.wait()
        yield sound[:100]

    async def meet():
        listening = asyncio.create_task(listed(detector.stream(source())))
        await reading.come()
        await detecting.come()
        return await listening

    assert asyncio.run(meet()) == []


def test_what_is_wrong_with_a_frame_ends_the_stream_after_the_events_before_it(detector, sound):
    async def hear():
        async for event in detector.stream([sound, np.zeros(10, np.int64)]):
            found.append(event.name)

    found = []
    with pytest.raises(AudioError, match="must be int16 or float32"):
        asyncio.run(hear())
    assert found == ["burst", "burst"]


def test_an_error_of_the_source_reaches_the_consumer(detector):
    async def source():
        yield bytes(320)
        raise OSError("unplugged")

    with pytest.raises(OSError, match="unplugged"):
        asyncio.run(listed(detector.stream(source())))


def test_a_consumer_that_leaves_ends_the_source(detector, sound):
    ended = []

    async def endless():
        try:
            while True:
                yield sound
        finally:
            ended.append(True)

    async def leave():
        async for _ in detector.stream(endless()):
            break
        before = len(asyncio.all_tasks())
        await asyncio.sleep(0.2)
        return before

    asyncio.run(leave())
    assert ended == [True]


def test_a_consumer_that_is_too_slow_is_counted_and_told_once_and_loses_nothing(detector, sound, monkeypatch):
    monkeypatch.setattr(module, "LATE_SECONDS", 0.02)
    monkeypatch.setattr(module, "WAITING", 1)
    said = []

    async def hear():
        stream = EventStream(detector, chunks_of([sound] * 2, RATE, 1), log=said.append)
        found = []
        async for event in stream:
            found.append(event)
            while not any("wait to be taken" in sentence for sentence in said):
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.05)
        return stream, found

    stream, found = asyncio.run(hear())
    assert len(found) == 4
    assert stream.late >= 2
    assert stream.stalled > 0.0
    stalled, late = sorted(said)
    assert "1 events of the stream wait to be taken, so its source waits" in stalled
    assert "what is done between two events of the stream takes too long" in late


def test_a_stream_is_iterated_once(detector):
    stream = detector.stream([])
    asyncio.run(listed(stream))
    with pytest.raises(SpeechtlError, match="can be iterated once"):
        asyncio.run(listed(stream))
