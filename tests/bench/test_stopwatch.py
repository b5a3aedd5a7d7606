import time

import numpy as np
import pytest

from speechtl.bench.stimulus import chunks, to_microphone
from speechtl.bench.stopwatch import STAGES, TimedStream
from speechtl.runtime.detector import Detector


@pytest.fixture
def heard(bursts):
    return (bursts((1.0, 3.0), 4.8) * 32768).astype(np.int16)


def waiting(detector):
    """Return a detector at the beginning of a stream that arrives in chunks of 80 ms."""
    detector.reset(detector.scorer.lead(0.08))
    return detector


def test_a_timed_stream_gives_the_events_of_the_detector_that_is_shipped(tiny_bundle, heard):
    plain = waiting(Detector.open(tiny_bundle)).feed(heard)
    stream = TimedStream(Detector.open(tiny_bundle), 16_000, 0.08)
    events = [event for chunk in chunks(heard, 16_000) for event in stream.feed(chunk)]
    assert events == plain
    assert len(events) == 2


def test_every_chunk_has_a_time_for_every_stage_and_every_step_its_score(tiny_bundle, heard):
    stream = TimedStream(Detector.open(tiny_bundle), 16_000, 0.08)
    for chunk in chunks(heard, 16_000):
        stream.feed(chunk)
    assert stream.times.shape == (60, len(STAGES), 2)
    assert (stream.times >= 0).all()
    detector = waiting(Detector.open(tiny_bundle))
    np.testing.assert_array_equal(stream.scores.ravel(), np.ravel(detector.scorer.feed(heard)).astype(np.float32))


def test_a_slow_stage_is_the_one_that_is_blamed(tiny_bundle, heard):
    detector = Detector.open(tiny_bundle)
    run = detector.scorer.engine.run

    def slow(frames):
        time.sleep(0.02)
        return run(frames)

    detector.scorer.engine.run = slow
    stream = TimedStream(detector, 48_000, 0.08)
    for chunk in list(chunks(to_microphone(heard), 48_000))[:10]:
        stream.feed(chunk)
    wall = stream.times[3:, :, 0].min(axis=0) / 1e6
    assert wall[STAGES.index("network")] >= 20.0
    assert all(wall[index] < 10.0 for index, stage in enumerate(STAGES) if stage != "network")
    assert stream.chunk_seconds >= 0.02
    processor = stream.times[3:, STAGES.index("network"), 1].min() / 1e6
    assert processor < 10.0  # sleeping costs none


def test_a_reset_stream_gives_the_same_scores_again(tiny_bundle, heard):
    stream = TimedStream(Detector.open(tiny_bundle), 48_000, 0.08)
    found = []
    for _ in range(2):
        stream.reset()
        for chunk in chunks(to_microphone(heard), 48_000):
            stream.feed(chunk)
        found.append(stream.scores)
    assert len(found[0]) > 100
    np.testing.assert_array_equal(*found)
