"""Requests: the sound from a wake word on until speech ends, for a command or for a loop in Python.

    for event, sound in hand_over(detector, blocks):    # blocks of 16 kHz samples, of any length
        for samples in sound:                           # int16, from the word's end until speech ends
            recogniser.feed(samples)

The end of the word is an estimate, so a request begins a little before it, and no first word is lost: the last seconds are held.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from speechtl.errors import SpeechtlError
from speechtl.runtime.detector import Detector, Event
from speechtl.runtime.listen.commands import Command, Sound
from speechtl.runtime.listen.recent import Recent
from speechtl.runtime.microphone.speech import FRAME, speech_after
from speechtl.runtime.samples import SAMPLE_RATE, Int16, Samples, to_float, to_int16

EARLIER_SECONDS = 0.1  # than the estimated start or end of the word
HELD_SECONDS = 5.0  # before an event: a word, and the delay of its event
WAIT_SECONDS = 3.0  # for speech to begin
PAUSE_SECONDS = 0.8  # without speech that end a request
AFTER_WORD_SECONDS = 0.2  # behind the decision, in which the word itself may still sound
LAST_SECONDS = 0.15  # for a command to read the rest, at the end of the program
END, START = "end", "start"


@dataclass(frozen=True)
class Span:
    """Where a request begins, at the `end` or the `start` of the word, and its greatest length behind the decision, in seconds."""

    begin: str = END
    seconds: float = 15.0

    def __post_init__(self) -> None:
        if self.begin not in (END, START):
            raise SpeechtlError(f"Sound is handed over from the word's {END} or its {START}; got {self.begin!r}.")

    def first(self, event: Event) -> int:
        """The sample number at which a request begins; that of the decision where the bundle does not tell where the word lies."""
        known = event.end if self.begin == END else event.start
        moment = event.time if known is None else min(known, event.time) - EARLIER_SECONDS
        return max(round(moment * SAMPLE_RATE), 0)


class Request:
    """Decide when the speech behind a word has ended: after a pause, where nothing is said at all, or at the greatest length."""

    def __init__(self, event: Event, span: Span) -> None:
        self._from = round((max(event.time, event.end or 0.0) + AFTER_WORD_SECONDS) * SAMPLE_RATE)
        self._most = round((event.time + span.seconds) * SAMPLE_RATE)
        self._frames = speech_after(None if event.level is None or event.snr is None else event.level - event.snr)
        self._spoken = False
        self._silent = 0.0  # seconds

    def feed(self, samples: Samples, end: int) -> bool:
        """Take sound up to sample number `end`; true where the request has ended with it."""
        behind = samples[max(len(samples) - max(end - self._from, 0), 0) :]
        for speech in self._frames.feed(behind):
            self._spoken = self._spoken or speech
            self._silent = 0.0 if speech else self._silent + FRAME / SAMPLE_RATE
        return end >= self._most or self._silent >= (PAUSE_SECONDS if self._spoken else WAIT_SECONDS)


class HandOver:
    """Give a command the sound of each request; never wait for it. `ignored` counts words within a request, which begin no other."""

    def __init__(self, command: Command, log: Callable[[str], None], span: Span = Span()) -> None:
        self._command = command
        self._log = log
        self._span = span
        self._recent = Recent(HELD_SECONDS)
        speech_after(None)  # loads the detector now, not while a request is heard
        self._request: Request | None = None
        self._sound = Sound()
        self.ignored = 0

    @property
    def lost(self) -> int:
        """The number of words whose request was not handed over."""
        return self.ignored + self._command.refused

    def feed(self, samples: Samples, end: int) -> None:
        """Take the next sound, up to sample number `end` since the start; a gap ends a request."""
        if not self._recent.continued_by(samples, end):
            self.end()
        self._recent.feed(samples, end)
        if self._request is not None:
            self._give(self._request, samples)

    def begin(self, event: Event) -> None:
        """Begin a request with the sound that was heard already; call it after `feed` with the sound of the event."""
        if self._request is not None:
            self.ignored += 1
            self._log(f"{event.name} at {event.time:.2f} s is within a request that is handed over, so it begins no other.")
            return
        sound = Sound()
        if self._command.run(event, sound):
            self._request, self._sound = Request(event, self._span), sound
            self._give(self._request, self._recent.between(self._span.first(event), self._recent.end))

    def end(self) -> None:
        """End the request, where there is one."""
        if self._request is not None:
            self._sound.end()
            self._request = None

    def close(self) -> None:
        """End the request and the commands."""
        self.end()
        self._command.close(LAST_SECONDS)

    def _give(self, request: Request, samples: Samples) -> None:
        self._sound.put(samples)
        if request.feed(samples, self._recent.end) or self._sound.unread:
            self.end()


def hand_over(
    detector: Detector, blocks: Iterable[npt.ArrayLike], *, begin: str = END, seconds: float = 15.0
) -> Iterator[tuple[Event, Iterator[Int16]]]:
    """Yield each event with the sound of its request, while both are heard.

    Args:
        detector: hears the blocks; it is reset first.
        blocks: samples at 16 kHz, mono, int16 or float32, in blocks of any length, as they come.
        begin: `end` or `start` of the word.
        seconds: greatest length of a request behind the event.

    The sound is an iterator of int16 samples, which reads on in `blocks`; it may be left at any time. Words within a request, as far as
    that was read, yield no event of their own.
    """
    stream = _Stream(detector, blocks)
    span = Span(begin, seconds)
    while (event := stream.next_event()) is not None:
        yield event, stream.request(event, span)


class _Stream:
    """Blocks, what of them was heard last, and the events in them."""

    def __init__(self, detector: Detector, blocks: Iterable[npt.ArrayLike]) -> None:
        detector.reset()
        speech_after(None)
        self._detector = detector
        self._blocks = iter(blocks)
        self._recent = Recent(HELD_SECONDS)
        self._events: deque[Event] = deque()

    def next_event(self) -> Event | None:
        while not self._events:
            if self._advance() is None:
                return None
        return self._events.popleft()

    def request(self, event: Event, span: Span) -> Iterator[Int16]:
        request = Request(event, span)
        heard: Samples | None = self._recent.between(span.first(event), self._recent.end)
        while heard is not None:
            self._events.clear()
            ended = request.feed(heard, self._recent.end)
            yield to_int16(heard)
            heard = None if ended else self._advance()

    def _advance(self) -> Samples | None:
        """Hear the next block."""
        block = next(self._blocks, None)
        if block is None:
            return None
        samples = to_float(np.asarray(block))
        self._recent.feed(samples, self._recent.end + len(samples))
        self._events.extend(self._detector.feed(samples))
        return samples
