from collections import deque
from dataclasses import replace

import numpy as np
import pytest

from speechtl.runtime.detector import Detector
from speechtl.runtime.events import Event, LevelMeter, Peaks

RATE = 16_000


def tone(seconds: float, dbfs: float) -> np.ndarray:
    """A tone whose root mean square is that many dBFS."""
    wave = np.sin(2 * np.pi * 400 * np.arange(round(seconds * RATE)) / RATE)
    return (np.sqrt(2) * 10 ** (dbfs / 20) * wave).astype(np.float32)


def metered(sound: np.ndarray, event: Event, block: int = 640) -> Event:
    meter = LevelMeter()
    for start in range(0, len(sound), block):
        meter.feed(sound[start : start + block])
    return meter.describe(event)


def test_the_level_of_a_word_and_how_far_it_exceeds_the_seconds_before():
    sound = np.concatenate([tone(2.0, -10), tone(3.0, -55), tone(0.8, -24), tone(0.5, -55)])
    event = metered(sound, Event("a", 6.0, 0.9, start=5.0, end=5.8))
    assert (event.level, event.snr) == (pytest.approx(-24.0, abs=0.11), pytest.approx(31.0, abs=0.2))


def test_the_end_of_a_word_that_still_sounds_is_not_waited_for():
    event = metered(tone(4.0, -30), Event("a", 3.0, 0.9, start=2.5, end=3.4), 77)
    assert (event.level, event.snr) == (pytest.approx(-30.0, abs=0.11), pytest.approx(0.0, abs=0.11))


def test_a_word_at_the_very_beginning_has_a_level_and_nothing_to_compare_it_with():
    event = metered(tone(1.0, -30), Event("a", 0.9, 0.9, start=0.3, end=0.8))
    assert (event.level, event.snr) == (pytest.approx(-30.0, abs=0.11), None)


def test_digital_silence_before_a_word_is_a_number():
    event = metered(np.concatenate([np.zeros(3 * RATE, np.float32), tone(1.0, -30)]), Event("a", 4.0, 0.9, start=3.0, end=4.0))
    assert event.snr == pytest.approx(70.0, abs=0.2)


def test_an_event_without_its_place_has_no_level():
    event = Event("a", 0.9, 0.9)
    assert metered(tone(1.0, -30), event) == event


def test_the_place_of_a_word_follows_from_the_bundle(tiny_bundle, remake, bursts):
    (event,) = Detector.open(remake({"timing": {"length": 0.25, "delay": 0.1}})).feed(bursts((1.0,), 2.0))
    assert (event.start, event.end) == (pytest.approx(event.time - 0.35), pytest.approx(event.time - 0.1))
    (event,) = Detector.open(remake({"timing": None})).feed(bursts((1.0,), 2.0))
    assert (event.start, event.end, event.level, event.snr) == (None, None, None, None)
    (event,) = Detector.open(tiny_bundle).feed(bursts((1.0,), 2.0))
    assert event.snr > 40  # the burst is at -11 dBFS, the noise before at -66


def test_an_event_moves_with_its_word():
    moved = Event("a", 1.0, 0.9, start=0.2, end=0.8).later(10.0)
    assert (moved.time, moved.start, moved.end) == (11.0, 10.2, 10.8)
    assert Event("a", 1.0, 0.9).later(10.0).start is None


def test_an_event_as_json_and_as_text():
    event = Event("a", 1.23456, 0.98765, None, 0.5, 1.1, -30.5, None, wall=1767225600.25, monotonic=7.00049)
    assert event.to_json() == {
        "name": "a",
        "time": 1.235,
        "score": 0.9877,
        "peak": 0.9877,
        "start": 0.5,
        "end": 1.1,
        "level": -30.5,
        "snr": None,
        "at": "2026-01-01T00:00:00.250+00:00",
        "monotonic": 7.0,
    }
    assert not {"at", "monotonic"} & event.to_json(live=False).keys()
    assert str(event) == "a at 1.23 s (score 0.99, -30 dBFS)"
    assert str(replace(event, snr=20.0, level=None)) == "a at 1.23 s (score 0.99, 20 dB over the sound before)"


def test_peaks_are_those_of_each_word_and_each_event():
    peaks = Peaks()
    waiting = deque([Event("a", 0.2, 0.6), Event("b", 0.3, 0.7), Event("a", 0.6, 0.8)])
    scores = {"a": [0.1, 0.6, 0.9, 0.2, 0.1, 0.8, 0.85], "b": [0.0, 0.0, 0.7, 0.6, 0.1, 0.0, 0.0]}
    for step in range(7):
        for word, values in scores.items():
            peaks.feed(Event(word, (step + 1) / 10, values[step]), 0.5)
        if step == 3:
            assert [(event.name, event.peak) for event in peaks.settle(waiting)] == [("a", 0.9)]
    assert list(peaks.settle(waiting)) == [Event("b", 0.3, 0.7, 0.7)]
    assert list(peaks.settle(waiting, everything=True)) == [Event("a", 0.6, 0.8, 0.85)]


def test_a_score_that_never_falls_is_not_waited_for_long():
    peaks = Peaks()
    waiting = deque([Event("a", 1.0, 0.6)])
    for step in range(31):
        peaks.feed(Event("a", 1.0 + step / 10, 0.6 + step / 100), 0.5)
        if found := list(peaks.settle(waiting)):
            break
    assert found == [Event("a", 1.0, 0.6, 0.8)]
