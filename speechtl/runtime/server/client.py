"""A client of the server: its events, its audio stream, its detections, and limits that protect the other clients."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from typing import Any

from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.error import Error
from wyoming.event import Event as Message
from wyoming.event import Eventable, async_write_event
from wyoming.info import Describe
from wyoming.ping import Ping, Pong
from wyoming.wake import Detect, Detection, NotDetected

from speechtl.errors import ProtocolError, SpeechtlError
from speechtl.runtime.detector import Detector, Event
from speechtl.runtime.server.models import Models, Served
from speechtl.runtime.server.stream import AudioStream
from speechtl.runtime.server.wire import read_event, sendable

IDLE_SECONDS = 3600.0  # without an event; a satellite in a conversation sends none for minutes
REST_SECONDS = 30.0  # for the rest of an event that has begun
WRITE_SECONDS = 30.0  # for a client to read a message
PART_SECONDS = 1.0  # for a client to read the last message
TIMEOUTS = (TimeoutError, asyncio.TimeoutError)  # one type from Python 3.11 on


class Client:
    """A connection; `models` is called for every chunk, so that bundles can be replaced under a running stream."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        models: Callable[[], Models],
        worker: Executor,
        log: Callable[[str], None],
    ) -> None:
        self.last_heard = time.monotonic()
        self._reader = reader
        self._writer = writer
        self._models = models
        self._worker = worker
        self._log = log
        self._names: set[str] | None = None  # words to detect; None for all
        self._context: dict[str, Any] | None = None  # sent by the client with `detect`, and returned with every answer
        self._stream: AudioStream | None = None
        self._stream_models: Models | None = None
        self._forks: dict[Served, Detector] = {}  # of the stream

    async def run(self) -> None:
        """Serve until the client leaves; send it an error, and raise `SpeechtlError`, for a violation of the protocol."""
        try:
            await self._serve()
        except SpeechtlError as error:
            await self._send_last(Error(str(error), "bad-input"))
            raise
        except OSError:
            pass  # the client has disconnected, as every client does
        finally:
            self.close()

    def close(self) -> None:
        """Drop the connection, with everything that was not sent yet."""
        self._writer.transport.abort() if self._writer.transport.get_write_buffer_size() > 0 else self._writer.close()

    async def refuse(self, sentence: str) -> None:
        """Refuse the client with a reason, and close the connection."""
        try:
            await self._send_last(Error(sentence, "busy"))
        finally:
            self.close()

    async def _serve(self) -> None:
        try:
            while message := await read_event(self._reader, IDLE_SECONDS, REST_SECONDS):
                self.last_heard = time.monotonic()
                await self._handle(message)
        except TIMEOUTS as error:
            raise ProtocolError("The client sent or read nothing for too long; the connection is closed.") from error

    async def _handle(self, message: Message) -> None:
        """Answer one event; unknown ones are ignored, as the protocol requires."""
        if AudioChunk.is_type(message.type):
            await self._hear(message)
        elif Describe.is_type(message.type):
            await self._send(self._models().info())
        elif Detect.is_type(message.type):
            context = message.data.get("context")
            self._context = sendable(context) if isinstance(context, dict) else None
            await self._choose(message.data.get("names"))
        elif AudioStart.is_type(message.type):
            self._begin().start(message.data)
        elif AudioStop.is_type(message.type):
            await self._end()
        elif Ping.is_type(message.type):
            text = message.data.get("text")
            await self._send(Pong(text=sendable(text) if isinstance(text, str) else None))

    async def _choose(self, names: Any) -> None:
        """Set the words to detect from the next stream on; report those that are not served."""
        if names is not None and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
            raise ProtocolError("The names in a detect event must be a list of strings, or null for all wake words.")
        self._names = set(names) if names else None
        self._stream = None
        unknown = (self._names or set()) - set(self._models().names)
        if unknown:
            known = ", ".join(self._models().names) or "none yet"
            await self._send(Error(f"There is no wake word {min(unknown)[:60]!r}; this server has: {known}.", "unknown-name"))

    def _begin(self) -> AudioStream:
        self._forks = {}
        self._stream = AudioStream(self._detectors())
        return self._stream

    def _detectors(self) -> list[Detector]:
        """Detectors of the words to detect, of the bundles that are open now; a bundle in use keeps its detector."""
        self._stream_models = self._models()
        chosen = self._stream_models.chosen(self._stream_models.names if self._names is None else self._names)
        self._forks = {bundle: self._forks.get(bundle) or bundle.detector.fork() for bundle in chosen}
        return list(self._forks.values())

    async def _hear(self, message: Message) -> None:
        stream = self._stream or self._begin()
        if self._stream_models is not self._models():
            stream.go_on_with(self._detectors())
        for piece in stream.pieces(message.data, message.payload or b""):
            await self._report(stream, await self._work(stream.feed, piece))

    async def _end(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            await self._report(stream, await self._work(stream.end))
        if stream is None or not stream.detected:
            await self._send(NotDetected(context=self._context))

    async def _work(self, function: Callable[..., list[Event]], *arguments: bytes) -> list[Event]:
        """Detect on the worker thread, while the event loop serves the other clients."""
        return await asyncio.get_running_loop().run_in_executor(self._worker, function, *arguments)

    async def _report(self, stream: AudioStream, events: Iterable[Event]) -> None:
        for event in events:
            if self._names is None or event.name in self._names:
                stream.detected = True
                self._log(str(event))
                await self._send(Detection(name=event.name, timestamp=stream.milliseconds(event), context=self._context))

    async def _send(self, message: Eventable) -> None:
        await asyncio.wait_for(async_write_event(message.event(), self._writer), WRITE_SECONDS)

    async def _send_last(self, message: Eventable) -> None:
        """Send a last message and give the client time to read it: a connection closed with unread input loses what was sent."""
        try:
            await asyncio.wait_for(self._finish_writing(message), PART_SECONDS)
        except (OSError, *TIMEOUTS):
            pass  # the connection is closed next in any case

    async def _finish_writing(self, message: Eventable) -> None:
        await async_write_event(message.event(), self._writer)
        if self._writer.can_write_eof():
            self._writer.write_eof()
        while await self._reader.read(64 * 1024):
            pass
