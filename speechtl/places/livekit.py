"""Wake words in LiveKit: the events of a track's audio, and a gate for LiveKit Agents that passes audio on after a word.

Frames may be those of an `rtc.AudioStream` (48 kHz by default) or of an agent's `stt_node`; any rate and number of channels works.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from typing import Any

from speechtl.places.gate import Gate
from speechtl.places.packages import require
from speechtl.runtime.detector import Detector, Event
from speechtl.runtime.listen.stream import Chunk, EventStream, LiveIncoming

LEAST = "1.0.0"
AWAKE_SECONDS = 8.0

OnWord = Callable[[Event], Awaitable[None]]


def listen(detector: Detector, audio: AsyncIterable[Any]) -> EventStream:
    """The events of audio, for `async for`: of an `rtc.AudioStream`, or of anything else that yields `rtc.AudioFrame`."""
    _require()
    return EventStream(detector, _chunks(audio))


class WakeWordGate:
    """Audio frames from the detection of a word on, for `awake_seconds` of sound; `on_word`, where it is given, is awaited with each event.

    An agent's `stt_node` passes its audio through `gate.frames(audio)`, so that speech recognition hears nothing before the word.
    """

    def __init__(self, detector: Detector, *, awake_seconds: float = AWAKE_SECONDS, on_word: OnWord | None = None) -> None:
        _require()
        self._detector = detector
        self._gate = Gate(awake_seconds)
        self._on_word = on_word

    @property
    def awake(self) -> bool:
        """True while frames are passed on."""
        return self._gate.is_open

    def stay_awake(self, seconds: float | None = None) -> None:
        """Pass frames on for `awake_seconds` from now, or for `seconds`, as after an answer; 0 ends it."""
        self._gate.open(seconds)

    async def frames(self, audio: AsyncIterable[Any]) -> AsyncIterator[Any]:
        """The frames of `audio` after each word."""
        incoming = LiveIncoming(self._detector)
        async for item in audio:
            frame = _frame(item)
            for event in await incoming.feed(frame.data, frame.sample_rate, frame.num_channels):
                self._gate.open()
                if self._on_word is not None:
                    await self._on_word(event)
            if self._gate.passes(frame.samples_per_channel / frame.sample_rate):
                yield item


async def _chunks(audio: AsyncIterable[Any]) -> AsyncIterator[Chunk]:
    async for item in audio:
        frame = _frame(item)
        yield Chunk(frame.data, frame.sample_rate, frame.num_channels)


def _frame(item: Any) -> Any:
    """An `rtc.AudioFrame`, which an `rtc.AudioStream` delivers within an event."""
    return getattr(item, "frame", item)


def _require() -> None:
    require("Listening in LiveKit", "livekit", "livekit", LEAST)
