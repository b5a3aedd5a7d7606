"""Wake words in a Pipecat pipeline: a processor that pushes a `WakeWordFrame`, and may hold audio back until then.

pipeline = Pipeline([transport.input(), WakeWordProcessor(Detector.open("computer.wake")), stt, ...])
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from speechtl.places.gate import Gate
from speechtl.places.packages import require
from speechtl.runtime.detector import Detector
from speechtl.runtime.listen.stream import LiveIncoming

try:
    from pipecat.frames.frames import BotStoppedSpeakingFrame, InputAudioRawFrame, SystemFrame, UserStoppedSpeakingFrame
    from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
except ModuleNotFoundError:  # __init__ says so
    FrameProcessor = SystemFrame = object

LEAST = "1.0.0"


@dataclass
class WakeWordFrame(SystemFrame):
    """A word was detected: its name, seconds of audio until then, and the score."""

    word: str
    time: float
    score: float


class WakeWordProcessor(FrameProcessor):
    """Pushes a `WakeWordFrame` after the audio in which a word was detected, and calls the handlers of `on_wake_word`.

    With `awake_seconds`, only so much audio is passed on after a word; an answer, and the user's next turn, begin the time anew.
    """

    def __init__(self, detector: Detector, *, awake_seconds: float | None = None, **options: Any) -> None:
        require("The processor for Pipecat", "pipecat", "pipecat-ai", LEAST)
        super().__init__(**options)
        self._incoming = LiveIncoming(detector)
        self._gate = None if awake_seconds is None else Gate(awake_seconds)
        self._register_event_handler("on_wake_word")

    @property
    def awake(self) -> bool:
        """True while audio is passed on."""
        return self._gate is None or self._gate.is_open

    async def process_frame(self, frame: Any, direction: Any) -> None:
        """Detect in input audio; every other frame is passed on."""
        await super().process_frame(frame, direction)
        if isinstance(frame, UserStoppedSpeakingFrame | BotStoppedSpeakingFrame) and self._gate is not None and self._gate.is_open:
            self._gate.open()
        if not isinstance(frame, InputAudioRawFrame) or direction is not FrameDirection.DOWNSTREAM:
            await self.push_frame(frame, direction)
            return
        events = await self._incoming.feed(frame.audio, frame.sample_rate, frame.num_channels)
        if events and self._gate is not None:
            self._gate.open()
        if self._gate is None or self._gate.passes(frame.num_frames / frame.sample_rate):
            await self.push_frame(frame, direction)
        for event in events:
            await self.push_frame(WakeWordFrame(event.name, event.time, event.score))
            await self._call_event_handler("on_wake_word", event)
