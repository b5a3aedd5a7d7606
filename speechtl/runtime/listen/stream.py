"""Detection for programs with an event loop: `async for event in Detector.open("computer.wake").stream(frames)`.

Detection runs on a thread, so that the loop is never blocked: one thread for each loop, because detectors of one bundle share a graph,
which must not run concurrently. Nothing is dropped: where events are not taken, `WAITING` of them are kept, and then the source waits.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar
from weakref import WeakKeyDictionary

from speechtl.errors import SpeechtlError
from speechtl.progress import say
from speechtl.runtime.detector import Detector, Event
from speechtl.runtime.listen.incoming import PIECE, Incoming, Sound, pieces
from speechtl.runtime.samples import SAMPLE_RATE, Samples

Result = TypeVar("Result")

WAITING = 256  # events that are kept for a consumer that is too slow
LATE_SECONDS = 1.0  # after its detection, from which an event that is taken counts as late

_workers: WeakKeyDictionary[asyncio.AbstractEventLoop, ThreadPoolExecutor] = WeakKeyDictionary()


async def on_worker(work: Callable[..., Result], *arguments: object) -> Result:
    """Call a function on the thread that detects for the running loop."""
    loop = asyncio.get_running_loop()
    worker = _workers.get(loop)
    if worker is None:
        worker = _workers[loop] = ThreadPoolExecutor(max_workers=1, thread_name_prefix="speechtl-detect")
    return await loop.run_in_executor(worker, work, *arguments)


class LiveIncoming:
    """A stream into a detector of its own, for an event loop; as `Incoming`, on the loop's detection thread."""

    def __init__(self, detector: Detector, form: str = "s16", log: Callable[[str], None] = say) -> None:
        self._incoming = Incoming(detector, form, log)

    async def feed(self, content: Sound, rate: int, channels: int = 1) -> list[Event]:
        """The events that a chunk completes; other streams take turns at every second of it."""
        events, rest = await on_worker(self._begin, content, rate, channels)
        for piece in pieces(rest):
            events += await on_worker(self._incoming.detect, piece)
        return events

    async def end(self) -> list[Event]:
        """The events at the very end of the sound."""
        return await on_worker(self._incoming.end)

    def _begin(self, content: Sound, rate: int, channels: int) -> tuple[list[Event], Samples]:
        """The events in the first second of a chunk, and the rest of it."""
        samples = self._incoming.samples(content, rate, channels)
        return self._incoming.detect(samples[:PIECE]), samples[PIECE:]


class Chunk(NamedTuple):
    """Sound as it comes: at `rate` hertz."""

    content: Sound
    rate: int = SAMPLE_RATE
    channels: int = 1


class EventStream:
    """The events of a stream of chunks, to be iterated once with `async for`.

    `late` counts the events that were taken more than a second after they were detected, `stalled` is the time in seconds for which the
    source had to wait, because too many events did, and `log` receives a sentence at the first of each.
    """

    def __init__(self, detector: Detector, chunks: AsyncIterable[Chunk], *, form: str = "s16", log: Callable[[str], None] = say) -> None:
        self._incoming = LiveIncoming(detector, form, log)
        self._chunks = chunks
        self._log = log
        self._begun = False
        self._found: asyncio.Queue[tuple[Event, float] | None] = asyncio.Queue()
        self._room = asyncio.Semaphore(WAITING)
        self.late = 0
        self.stalled = 0.0

    def __aiter__(self) -> AsyncIterator[Event]:
        if self._begun:
            raise SpeechtlError("A stream of events can be iterated once; call Detector.stream again, with new frames.")
        self._begun = True
        return self._events()

    async def _events(self) -> AsyncIterator[Event]:
        detecting = asyncio.create_task(self._detect())
        detecting.add_done_callback(lambda _: self._found.put_nowait(None))
        try:
            while (taken := await self._found.get()) is not None:
                event, at = taken
                self._room.release()
                self._note_lateness(time.monotonic() - at)
                yield event
            await detecting  # raises what ended it
        finally:
            detecting.cancel()
            await asyncio.wait({detecting})

    async def _detect(self) -> None:
        async for chunk in self._chunks:
            await self._put(await self._incoming.feed(*chunk))
        await self._put(await self._incoming.end())

    async def _put(self, events: list[Event]) -> None:
        for event in events:
            now = time.monotonic()
            if self._room.locked():
                if not self.stalled:
                    self._log(f"{WAITING} events of the stream wait to be taken, so its source waits, too: sound may be lost there.")
                await self._room.acquire()
                self.stalled += time.monotonic() - now
            else:
                await self._room.acquire()
            self._found.put_nowait((event, now))

    def _note_lateness(self, seconds: float) -> None:
        if seconds < LATE_SECONDS:
            return
        if not self.late:
            self._log(
                f"An event was taken {seconds:.1f} s after its detection: what is done between two events of the stream takes too long."
            )
        self.late += 1


async def chunks_of(frames: AsyncIterable[Sound] | Iterable[Sound], rate: int, channels: int) -> AsyncIterator[Chunk]:
    """Frames of an asynchronous source, or of an ordinary one, which may block and is therefore read on a thread."""
    if isinstance(frames, AsyncIterable):
        async for frame in frames:
            yield Chunk(frame, rate, channels)
        return
    end = object()
    source = iter(frames)
    while (frame := await asyncio.to_thread(_next, source, end)) is not end:
        yield Chunk(frame, rate, channels)


def _next(source: Iterator[Any], end: object) -> Any:
    return next(source, end)
