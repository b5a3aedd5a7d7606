import time

import numpy as np
import pytest

from speechtl.errors import SpeechtlError
from speechtl.runtime.detector import Detector
from speechtl.runtime.events import Event
from speechtl.runtime.listen.commands import Command
from speechtl.runtime.listen.hand_over import HandOver, Request, Span, hand_over
from speechtl.runtime.microphone import speech

RATE = 16_000
BLOCK = 640
WORD = Event("a", 3.0, 0.9, start=2.2, end=2.8, level=-25.0, snr=40.0)


@pytest.fixture(autouse=True)
def by_level(monkeypatch):
    """Bursts are no speech to WebRTC's detector."""
    monkeypatch.setattr(speech, "by_webrtc", lambda needed_by: speech.by_level(-60.0))


class FakeCommand:
    """Keeps the sound that a command would read."""

    refused = 0

    def __init__(self, works: bool = True) -> None:
        self.given = []
        self.works = works

    def run(self, event, sound=None) -> bool:
        self.given += [sound] if self.works else []
        return self.works

    def close(self, patience: float = 0.0) -> None:
        pass


def heard(sound) -> np.ndarray:
    return np.frombuffer(b"".join(sound), "<i2") / 32768


def scene(*spoken: tuple[float, float], seconds: float = 12.0) -> np.ndarray:
    """A ramp that is too soft to be speech and tells the time, with loud stretches."""
    time_of = np.arange(round(seconds * RATE)) / RATE
    sound = time_of / 20_000 - 0.0003
    for start, end in spoken:
        sound[(time_of >= start) & (time_of < end)] += 0.25
    return sound.astype(np.float32)


def play(handing: HandOver, sound: np.ndarray, events=(WORD,), start: int = 0) -> None:
    waiting = list(events)
    for end in range(start + BLOCK, start + len(sound) + 1, BLOCK):
        handing.feed(sound[end - start - BLOCK : end - start], end)
        while waiting and waiting[0].time * RATE <= end:
            handing.begin(waiting.pop(0))


@pytest.mark.parametrize(("begin", "first"), [("end", 2.7), ("start", 2.1)])
def test_a_command_gets_the_sound_from_the_word_on_until_speech_ends(begin, first):
    command = FakeCommand()
    handing = HandOver(command, pytest.fail, Span(begin))
    sound = scene((2.2, 2.8), (3.4, 5.0), (5.5, 6.0), (8.0, 9.0))
    play(handing, sound)
    (given,) = command.given
    got = heard(given)
    assert len(got) / RATE == pytest.approx(6.8 - first, abs=0.05)  # 0.8 s after the last speech
    assert np.allclose(got, sound[round(first * RATE) :][: len(got)], atol=1 / 32768)
    assert handing.lost == 0


def test_words_said_while_the_detector_still_decides_are_not_lost():
    command = FakeCommand()
    sound = scene((2.2, 4.0))
    play(HandOver(command, pytest.fail), sound)
    got = heard(command.given[0])
    assert np.allclose(got[: 2 * 1600], sound[round(2.7 * RATE) :][: 2 * 1600], atol=1 / 32768)
    assert len(got) / RATE == pytest.approx(4.8 - 2.7, abs=0.05)


def test_silence_after_the_word_ends_a_request_after_three_seconds():
    command = FakeCommand()
    play(HandOver(command, pytest.fail), scene((2.2, 2.8)))
    assert len(heard(command.given[0])) / RATE == pytest.approx(3.0 + 0.2 + 3.0 - 2.7, abs=0.05)


def test_speech_that_does_not_end_is_cut():
    command = FakeCommand()
    play(HandOver(command, pytest.fail, Span(seconds=5.0)), scene((2.2, 12.0)))
    assert len(heard(command.given[0])) / RATE == pytest.approx(8.0 - 2.7, abs=0.05)


def test_a_word_within_a_request_begins_no_other_and_is_counted():
    said: list[str] = []
    command = FakeCommand()
    handing = HandOver(command, said.append)
    play(handing, scene((2.2, 6.0), (8.0, 9.0)), [WORD, WORD.later(1.0), WORD.later(5.5)])
    assert len(command.given) == 2
    assert said == ["a at 4.00 s is within a request that is handed over, so it begins no other."]
    assert handing.lost == 1


def test_a_gap_ends_a_request():
    command = FakeCommand()
    handing = HandOver(command, pytest.fail)
    play(handing, scene((2.2, 12.0), seconds=4.0))
    play(handing, scene((0.0, 4.0), seconds=4.0), (), start=100 * RATE)
    assert len(heard(command.given[0])) / RATE == pytest.approx(4.0 - 2.7, abs=0.05)


def test_a_command_that_cannot_start_leaves_the_next_word_its_request():
    command = FakeCommand(works=False)
    handing = HandOver(command, pytest.fail)
    play(handing, scene(seconds=4.0))
    command.works = True
    handing.begin(Event("a", 4.0, 0.9))
    handing.end()
    assert len(heard(command.given[0])) == 0  # where the bundle does not tell the word's place, from the decision on


def test_a_command_that_is_slow_or_dies_takes_no_time_of_the_loop():
    said: list[str] = []
    handing = HandOver(Command("sh -c 'exec <&-; sleep 30'", said.append, seconds=40.0), said.append)
    handing._command.run(Event("warm up", 0.0, 0.9))
    begun = time.process_time()
    play(handing, scene((2.2, 12.0)))
    end = time.monotonic() + 20
    while not said and time.monotonic() < end:
        handing._sound.put(np.zeros(BLOCK, np.float32))
        time.sleep(0.01)
    handing.close()
    assert time.process_time() - begun < 1.0
    assert "stopped reading after" in said[0]


def test_nothing_is_loaded_while_a_request_is_heard(monkeypatch):
    loaded = []
    monkeypatch.setattr(speech, "by_webrtc", lambda needed_by: loaded.append(needed_by) or speech.by_level(-60.0))
    HandOver(FakeCommand(), pytest.fail)
    assert loaded


def test_only_the_two_ends_of_a_word_are_known():
    with pytest.raises(SpeechtlError, match="from the word's end or its start; got 'middle'"):
        Span("middle")


def test_levels_alone_tell_the_end_where_no_voice_activity_detector_is(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setitem(__import__("sys").modules, "webrtcvad", None)
    request = Request(WORD, Span())  # noise of -65 dBFS
    assert not request.feed(np.full(4 * RATE, 0.1, np.float32), 7 * RATE)
    assert not request.feed(np.full(round(0.7 * RATE), 0.0005, np.float32), round(7.7 * RATE))
    assert request.feed(np.full(round(0.2 * RATE), 0.0005, np.float32), round(7.9 * RATE))


def blocks(sound: np.ndarray, length: int = 1000):
    return (sound[start : start + length] for start in range(0, len(sound), length))


def test_a_loop_in_python_gets_each_event_with_its_sound(tiny_bundle, bursts):
    sound = bursts((1.0, 6.0), 9.0)
    sound[round(1.8 * RATE) : round(2.4 * RATE)] += 0.05
    found = [(event, np.concatenate(list(said))) for event, said in hand_over(Detector.open(tiny_bundle), blocks(sound))]
    assert [event.time for event, _ in found] == pytest.approx([1.1, 6.1], abs=0.15)
    (event, first), (_, second) = found
    start = round((event.time - 0.1) * RATE)
    assert first.dtype == np.int16
    assert np.array_equal(first, np.round(sound[start : start + len(first)] * 32768).astype(np.int16))
    assert (start + len(first)) / RATE == pytest.approx(2.4 + 0.8, abs=0.1)
    assert len(second) / RATE == pytest.approx(9.0 - found[1][0].time + 0.1, abs=0.1)


def test_sound_may_be_left_before_its_end(tiny_bundle, bursts):
    found = []
    for event, said in hand_over(Detector.open(tiny_bundle), blocks(bursts((1.0, 3.0), 5.0))):
        found.append(event)
        next(said)
    assert [event.time for event in found] == pytest.approx([1.1, 3.1], abs=0.15)
