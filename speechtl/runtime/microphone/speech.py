"""Which frames of a stream are speech: by WebRTC's voice-activity detector, or by their level alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from speechtl.errors import MissingExtraError
from speechtl.runtime.samples import SAMPLE_RATE, Samples, to_int16

FRAME = SAMPLE_RATE * 30 // 1000  # samples, the longest that WebRTC's detector takes
MODE = 3  # of 0 to 3: the others also pass most noise
OVER_NOISE = 8.0  # dB by which speech exceeds the sound before it, where only levels are compared
UNKNOWN_NOISE = -50.0  # dBFS of a room, where nothing was heard before

IsSpeech = Callable[[Samples], bool]


class SpeechFrames:
    """Cut a stream into frames of 30 ms and say of each whether it is speech."""

    def __init__(self, is_speech: IsSpeech) -> None:
        self._is_speech = is_speech
        self._rest = np.zeros(0, np.float32)

    def feed(self, samples: Samples) -> list[bool]:
        """Take the next samples; return a truth value for each frame that they complete."""
        held = np.concatenate([self._rest, samples])
        whole = len(held) // FRAME * FRAME
        self._rest = held[whole:]
        return [self._is_speech(held[start : start + FRAME]) for start in range(0, whole, FRAME)]


def by_webrtc(needed_by: str) -> IsSpeech:
    """WebRTC's detector; raises `MissingExtraError` where it is not installed, with what needs it."""
    try:
        import webrtcvad
    except ModuleNotFoundError as error:
        raise MissingExtraError(needed_by, "vad") from error
    detector: Any = webrtcvad.Vad(MODE)
    return lambda frame: bool(detector.is_speech(to_int16(frame).tobytes(), SAMPLE_RATE))


def by_level(noise: float | None) -> IsSpeech:
    """A frame is speech where it is louder than the noise before (dBFS, None: unknown)."""
    least = 10.0 ** (((UNKNOWN_NOISE if noise is None else noise) + OVER_NOISE) / 10.0)
    return lambda frame: float(np.mean(frame.astype(np.float64) ** 2)) >= least


def speech_after(noise: float | None) -> SpeechFrames:
    """Speech by WebRTC's detector where it is installed, else by level."""
    try:
        return SpeechFrames(by_webrtc("A voice-activity detector"))
    except MissingExtraError:
        return SpeechFrames(by_level(noise))
