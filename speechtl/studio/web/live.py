"""The microphone of a browser, streamed to the detector: scores and events come back while one speaks."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from starlette.websockets import WebSocket, WebSocketDisconnect

from speechtl.errors import SpeechtlError, sentence_of
from speechtl.runtime.bundle.choice import Choice, PerWord
from speechtl.runtime.bundle.wake_word import open_bundle
from speechtl.runtime.detector import Detector, Event
from speechtl.runtime.samples import INT16_SCALE, SAMPLE_RATE
from speechtl.runtime.sound.files import resampler

RATES = range(8000, 192_001)  # hertz that a browser may send
MOST_BYTES = 400_000  # of one message: a second at the highest rate
BUSY = 1013  # close code: try again later
MOST_STREAMS = 8


class Stream:
    """The detector of one browser; samples of its rate in, messages out."""

    def __init__(self, bundle: Path, rate: int, per_day: PerWord) -> None:
        self._detector = Detector.of(open_bundle(bundle), Choice(per_day=per_day))
        self._detector.on_score = self._keep
        self._resample = resampler(rate)
        self._peak: tuple[float, float] | None = None  # the highest score since the last message, and the threshold
        self._heard = 0

    def feed(self, data: bytes) -> dict[str, Any]:
        """The message about the next samples (16 bits, little-endian): seconds heard, highest score, threshold, events."""
        samples = np.frombuffer(data[: len(data) // 2 * 2], "<i2").astype(np.float32) / np.float32(INT16_SCALE)
        if self._resample is not None:
            samples = self._resample.resample_chunk(samples)
        self._heard += len(samples)
        self._peak = None
        events = self._detector.feed(samples)
        message: dict[str, Any] = {"seconds": round(self._heard / SAMPLE_RATE, 2)}
        if self._peak is not None:
            message |= {"score": round(self._peak[0], 4), "threshold": self._peak[1]}
        return message | {"events": [event.to_json() for event in events]}

    def _keep(self, scored: Event, threshold: float) -> None:
        if self._peak is None or scored.score > self._peak[0]:
            self._peak = scored.score, threshold


@dataclass
class Live:
    """The streams of all browsers, a few at a time; one thread runs the detectors."""

    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "speechtl-live"))
    streams: int = 0

    async def serve(self, socket: WebSocket, bundle: Path, per_day: PerWord) -> None:
        """Serve one browser until it leaves; what is wrong becomes a message."""
        await socket.accept()
        if self.streams >= MOST_STREAMS:
            await fail(socket, f"{MOST_STREAMS} windows try words already; close one of them.")
            return
        self.streams += 1
        try:
            await self._exchange(socket, bundle, per_day)
        except WebSocketDisconnect:
            pass
        except SpeechtlError as error:
            await fail(socket, sentence_of(error))
        finally:
            self.streams -= 1

    async def _exchange(self, socket: WebSocket, bundle: Path, per_day: PerWord) -> None:
        loop = asyncio.get_running_loop()
        rate = _rate(socket.query_params.get("rate", ""))
        stream = await loop.run_in_executor(self.pool, Stream, bundle, rate, per_day)
        await socket.send_json({"ready": True})
        while True:
            data = (await socket.receive()).get("bytes")
            if data is None:
                return  # it has left, or sends what no page of ours does
            if len(data) > MOST_BYTES:
                raise SpeechtlError(f"A message may have {MOST_BYTES:,} bytes at most; got {len(data):,}.")
            await socket.send_json(await loop.run_in_executor(self.pool, stream.feed, data))


def _rate(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or int(text) not in RATES:
        raise SpeechtlError(f"The sample rate must be from {RATES[0]} to {RATES[-1]} Hz; got {text!r}.")
    return int(text)


async def fail(socket: WebSocket, sentence: str) -> None:
    """Tell a browser what is wrong, and end its stream."""
    await socket.send_json({"error": sentence})
    await socket.close(BUSY)
