import numpy as np
import pytest
import soxr

from speechtl.runtime.server_models import Models
from speechtl.runtime.server_stream import AudioStream

RATE = 16_000
CHUNK_MS = 20


@pytest.fixture(scope="module")
def models(tiny_bundle):
    return Models.open([tiny_bundle])


@pytest.fixture
def sound(bursts):
    return bursts((0.6, 2.0), 3.2)


def play(stream: AudioStream, samples: np.ndarray, rate: int, first_stamp: int | None = None) -> list[int]:
    """Return when, on the client's clock, words are detected in samples at 16 kHz that are sent at a rate; stamped, or not."""
    pcm = np.round(soxr.resample(samples, RATE, rate) * 32767).astype("<i2")
    size, told = rate * CHUNK_MS // 1000, []
    for number, start in enumerate(range(0, len(pcm), size)):
        stamp = {} if first_stamp is None else {"timestamp": first_stamp + CHUNK_MS * number}
        for piece in stream.pieces({"rate": rate, "width": 2, "channels": 1, **stamp}, pcm[start : start + size].tobytes()):
            told += [stream.milliseconds(event) for event in stream.feed(piece)]
    return told


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000])
def test_what_the_change_of_rate_holds_back_does_not_move_the_clients_clock(models, sound, rate):
    expected = play(AudioStream(models.detectors(["burst"])), sound, rate)
    assert len(expected) == 2
    stamped = play(AudioStream(models.detectors(["burst"])), sound, rate, first_stamp=70_000)
    assert stamped == pytest.approx([70_000 + time for time in expected], abs=1)


def test_another_rate_within_the_stream_does_not_move_the_clients_clock(models, sound):
    expected = play(AudioStream(models.detectors(["burst"])), sound, RATE)
    stream = AudioStream(models.detectors(["burst"]))
    first, second = np.split(sound, [round(1.2 * RATE)])
    told = play(stream, first, 48_000, first_stamp=0) + play(stream, second, RATE, first_stamp=1200)
    assert told == pytest.approx(expected, abs=81)  # what the change lost moves the steps of 80 ms


def test_other_detectors_go_on_with_the_clients_clock(models, sound):
    expected = play(AudioStream(models.detectors(["burst"])), sound, RATE)
    stream = AudioStream(models.detectors(["burst"]))
    stream.start({"rate": RATE, "width": 2, "channels": 1, "timestamp": 70_000})
    first, second = np.split(sound, [15 * 1280])  # at the end of a step
    told = play(stream, first, RATE)
    stream.go_on_with(models.detectors(["burst"]))
    told += play(stream, second, RATE)
    assert told == [70_000 + time for time in expected]
