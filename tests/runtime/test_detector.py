import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechtl.errors import AudioError, BundleError
from speechtl.runtime.bundle.wake_word import open_bundle
from speechtl.runtime.detector import Detector, Scorer


def feed(detector: Detector, samples: np.ndarray, lengths: list[int]) -> list:
    """Play samples in chunks of these lengths, over and over; return the events."""
    events, start, index = [], 0, 0
    while start < len(samples):
        length = lengths[index % len(lengths)]
        events += detector.feed(samples[start : start + length])
        start, index = start + length, index + 1
    return events


@pytest.fixture(scope="module")
def detector(tiny_bundle) -> Detector:
    return Detector.open(tiny_bundle)


@pytest.fixture
def sound(bursts):
    return bursts((0.6, 2.0), 3.2)


def test_every_burst_is_one_event_within_a_fifth_of_a_second(detector, sound):
    detector.reset()
    events = detector.feed(sound)
    assert [event.name for event in events] == ["burst", "burst"]
    for event, start in zip(events, (0.6, 2.0), strict=True):
        assert start < event.time < start + 0.2
        assert 0.5 <= event.score <= 1.0


@pytest.mark.parametrize("chunk", [1280, 160, 441, 1, 511, 100_000])
def test_chunks_of_any_length_give_identical_events(detector, sound, chunk):
    sound = sound[: 20_000 if chunk == 1 else None]
    detector.reset()
    expected = detector.feed(sound)
    assert expected
    detector.reset()
    assert feed(detector, sound, [chunk]) == expected


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 3000), min_size=1, max_size=6).filter(lambda lengths: sum(lengths) > 200))
def test_chunks_of_mixed_lengths_give_identical_events(detector, bursts, lengths):
    sound = bursts((0.5,), 1.5)
    detector.reset()
    expected = detector.feed(sound)
    detector.reset()
    assert feed(detector, sound, lengths) == expected


def test_int16_and_float32_give_identical_events(detector, sound):
    detector.reset()
    expected = detector.feed(sound)
    detector.reset()
    assert feed(detector, np.round(sound * 32768).astype(np.int16), [1280]) == expected


def test_a_reset_makes_streams_independent(detector, sound, bursts):
    detector.reset()
    expected = detector.feed(sound)
    detector.feed(bursts((0.1, 0.9), 1.31))  # ends within a burst's refractory time and within a step
    detector.reset()
    assert detector.feed(sound) == expected


def test_two_detectors_of_one_bundle_share_nothing(tiny_bundle, sound, bursts):
    first, second = Detector.open(tiny_bundle), Detector.open(tiny_bundle)
    expected = first.feed(sound)
    first.reset()
    events = []
    for start in range(0, len(sound), 1280):
        events += first.feed(sound[start : start + 1280])
        second.feed(bursts((0.0,), 0.4)[:1280])
    assert events == expected


def test_forks_share_no_state(detector, sound, bursts):
    detector.reset()
    expected = detector.feed(sound)
    detector.reset()
    detector.feed(sound[:10_000])
    other, third = detector.fork(), detector.fork()
    events = [[], []]
    for start in range(0, len(sound), 1280):
        detector.feed(bursts((0.0,), 0.4)[:1280])
        for fork, found in zip((other, third), events, strict=True):
            found += fork.feed(sound[start : start + 1280])
    assert events == [expected, expected]


def test_a_refused_chunk_leaves_the_stream_as_it_was(detector, sound):
    detector.reset()
    expected = detector.feed(sound)
    detector.reset()
    events = detector.feed(sound[:10_000])
    with pytest.raises(AudioError):
        detector.feed(np.full(500, np.nan, np.float32))
    assert events + detector.feed(sound[10_000:]) == expected


def test_the_time_of_an_event_is_when_its_last_sample_was_heard(tiny_bundle, sound):
    detector = Detector.open(tiny_bundle)
    event = detector.feed(sound)[0]
    needed = round(event.time * 16_000)
    detector.reset()
    assert detector.feed(sound[: needed - 1]) == []
    assert detector.feed(sound[needed - 1 : needed]) == [event]


def test_scores_come_as_often_as_steps_are_complete(tiny_bundle):
    scorer = Scorer.of(open_bundle(tiny_bundle))
    assert scorer.step_seconds == pytest.approx(0.04)
    assert scorer.time(0) == pytest.approx((512 + 3 * 160) / 16_000)
    assert len(scorer.feed(np.zeros(991, np.float32))) == 0
    assert len(scorer.feed(np.zeros(1, np.float32))) == 1
    assert len(scorer.feed(np.zeros(6399, np.float32))) == 9
    assert len(scorer.feed(np.zeros(1, np.float32))) == 1


def test_a_threshold_replaces_the_calibrated_one(tiny_bundle, sound):
    assert len(Detector.open(tiny_bundle, threshold=0.3).feed(sound)) == 2
    assert Detector.open(tiny_bundle, threshold=1.0).feed(sound) == []
    with pytest.raises(BundleError, match="threshold"):
        Detector.open(tiny_bundle, threshold=1.5)


def test_silence_and_nothing_make_no_events(detector):
    detector.reset()
    assert detector.feed(np.zeros(0, np.float32)) == []
    assert detector.feed(np.zeros(50_000, np.int16)) == []
