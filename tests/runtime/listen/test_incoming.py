import numpy as np
import pytest
import soxr

from speechtl.errors import AudioError
from speechtl.runtime import Detector
from speechtl.runtime.listen.incoming import Incoming

RATE = 16_000


@pytest.fixture(scope="module")
def detector(tiny_bundle):
    return Detector.open(tiny_bundle)


@pytest.fixture(scope="module")
def sound(bursts):
    return bursts((1.0, 3.0))


@pytest.fixture(scope="module")
def expected(detector, sound):
    return detector.fork().feed(sound)


def int16(sound) -> np.ndarray:
    return np.round(sound * 32768).clip(-32768, 32767).astype("<i2")


def heard(incoming: Incoming, chunks, **how) -> list:
    return [event for chunk in chunks for event in incoming.feed(chunk, **how)] + incoming.end()


@pytest.mark.parametrize("length", [1, 160, 333, 512, 1280, 10**6])
def test_bytes_in_frames_of_any_length_give_the_events_of_the_detector(detector, sound, expected, length):
    sound, expected = (sound, expected) if length > 1 else (sound[: 2 * RATE], expected[:1])
    content = int16(sound).tobytes()
    assert heard(Incoming(detector), [content[at : at + length] for at in range(0, len(content), length)]) == expected


@pytest.mark.parametrize(
    "kind", [bytes, bytearray, memoryview, lambda content: np.frombuffer(content, "<i2"), lambda c: memoryview(c).cast("h")]
)
def test_everything_that_holds_samples_is_taken(detector, sound, expected, kind):
    assert heard(Incoming(detector), [kind(int16(sound).tobytes())]) == expected


def test_floats_are_taken_as_bytes_and_as_arrays(detector, sound, expected):
    assert heard(Incoming(detector), [sound.astype("<f4")]) == expected
    assert heard(Incoming(detector, "f32"), [sound.astype("<f4").tobytes()]) == expected


@pytest.mark.parametrize("shape", ["interleaved", "columns", "bytes"])
def test_channels_are_averaged(detector, sound, expected, shape):
    two = np.stack([int16(sound), int16(sound)], axis=1)
    content = {"interleaved": two.reshape(-1), "columns": two, "bytes": two.tobytes()}[shape]
    assert heard(Incoming(detector), [content], channels=2) == expected


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000])
def test_other_rates_are_resampled_without_a_seam(detector, sound, expected, rate):
    other = soxr.resample(sound, RATE, rate).astype(np.float32)
    found = heard(Incoming(detector), np.array_split(other, 313), rate=rate)
    assert [event.name for event in found] == [event.name for event in expected]
    assert [event.time for event in found] == pytest.approx([event.time for event in expected], abs=0.081)


def test_a_rate_may_change_in_the_stream(detector, sound, expected):
    incoming = Incoming(detector)
    found = incoming.feed(sound[: 2 * RATE]) + incoming.feed(soxr.resample(sound[2 * RATE :], RATE, 48_000), 48_000) + incoming.end()
    assert [event.time for event in found] == pytest.approx([event.time for event in expected], abs=0.081)


def test_a_stream_that_has_ended_is_followed_by_a_new_one(detector, sound, expected):
    incoming = Incoming(detector)
    assert heard(incoming, [sound]) == expected
    assert heard(incoming, [sound]) == expected


@pytest.mark.parametrize(
    ("chunk", "how", "sentence"),
    [
        (b"", {"rate": 500}, "must be a whole number from 1000 to 384000 Hz; got 500"),
        (b"", {"rate": 16_000.5}, "got 16000.5"),
        (b"", {"rate": float("nan")}, "got nan"),
        (b"", {"rate": "16000"}, "got '16000'"),
        (b"", {"rate": None}, "got None"),
        ([[1, 2], [3]], {"channels": 2}, "this cannot be converted"),
        (5, {}, "must be one-dimensional"),
        (b"", {"channels": 0}, "must be from 1 to 64; got 0"),
        (np.zeros((10, 3), np.int16), {"channels": 2}, r"must have the shape \(samples, 2\); got \(10, 3\)"),
        (np.zeros(11, np.int16), {"channels": 2}, "ends within a frame: it has 11 samples"),
        (np.zeros((10, 2), np.int16), {}, r"One channel: x\[:, 0\]"),
        (np.zeros(10, np.int64), {}, r"Write x.astype\(np.int16\)"),
        ([1.0, float("nan")], {}, "not numbers"),
    ],
)
def test_what_is_no_sound_is_one_sentence(detector, chunk, how, sentence):
    with pytest.raises(AudioError, match=sentence):
        Incoming(detector).feed(chunk, **how)


def test_bytes_that_end_within_a_sample_are_said(detector):
    incoming = Incoming(detector)
    incoming.feed(bytes(3))
    with pytest.raises(AudioError, match="ends within a frame: 1 of its 2 bytes"):
        incoming.end()


def test_a_format_that_is_not_known_is_said_at_once(detector):
    with pytest.raises(AudioError, match=r"'s16le' of raw samples is not known.*did you mean 's16'"):
        Incoming(detector, "s16le")
