import io
import json

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from speechtl.errors import ProtocolError
from speechtl.runtime.server.models import Models
from speechtl.runtime.server.stream import AudioStream, PcmConverter, PcmFormat, to_numbers

RATE = 16_000
CHUNK_MS = 20


@pytest.fixture(scope="module")
def models(tiny_bundle):
    return Models.open([tiny_bundle])


@pytest.fixture
def sound(bursts):
    return bursts((0.6, 2.0), 3.2)


def play(stream: AudioStream, samples: np.ndarray, rate: int, first_stamp: int | None = None, stamp=None) -> list[int]:
    """Return when, on the client's clock, words are detected in samples at 16 kHz that are sent at a rate; stamped, or not."""
    pcm = np.round(soxr.resample(samples, RATE, rate) * 32767).astype("<i2")
    size, told = rate * CHUNK_MS // 1000, []
    for number, start in enumerate(range(0, len(pcm), size)):
        stamped = {} if first_stamp is None else {"timestamp": first_stamp + CHUNK_MS * number}
        stamped |= {} if stamp is None else {"timestamp": stamp(number)}
        for piece in stream.pieces({"rate": rate, "width": 2, "channels": 1, **stamped}, pcm[start : start + size].tobytes()):
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


ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([2**53 + 1, -1, 10**300, 1.5, 5e18, -0.0]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(ODD, min_size=1, max_size=4))
def test_no_timestamp_is_refused_and_every_detection_has_one_that_can_be_sent(models, burst_pcm, stamps):
    stream = AudioStream(models.detectors(["burst"]))
    form = {"rate": RATE, "width": 2, "channels": 1}
    stream.start(form | {"timestamp": stamps[0]})
    told = []
    for number, start in enumerate(range(0, len(burst_pcm), 6400)):
        for piece in stream.pieces(form | {"timestamp": stamps[number % len(stamps)]}, burst_pcm[start : start + 6400]):
            told += [stream.milliseconds(event) for event in stream.feed(piece)]
    assert len(told) == 1
    assert type(told[0]) is int
    assert 0 <= told[0] < 2**64
    assert json.loads(json.dumps(told)) == told


@pytest.fixture(scope="module")
def burst_pcm(bursts) -> bytes:
    return np.round(bursts((0.6,), 1.2) * 32767).astype("<i2").tobytes()


@pytest.mark.parametrize("odd", [None, True, "12", [1], {}, float("nan"), float("inf"), -5, 2**63, 10**400])
def test_a_timestamp_that_counts_for_nothing_leaves_the_servers_own_count(models, sound, odd):
    expected = play(AudioStream(models.detectors(["burst"])), sound, RATE)
    assert play(AudioStream(models.detectors(["burst"])), sound, RATE, stamp=lambda _: odd) == expected


def test_fractions_of_a_millisecond_are_rounded(models, sound):
    expected = play(AudioStream(models.detectors(["burst"])), sound, RATE, first_stamp=70_000)
    told = play(AudioStream(models.detectors(["burst"])), sound, RATE, stamp=lambda number: 70_000.2 + CHUNK_MS * number)
    assert told == pytest.approx(expected, abs=1)


def test_a_timestamp_that_is_passed_over_leaves_the_clock_of_those_before(models, sound):
    expected = play(AudioStream(models.detectors(["burst"])), sound, RATE, first_stamp=70_000)
    assert play(AudioStream(models.detectors(["burst"])), sound, RATE, stamp=lambda number: 70_000 if number == 0 else "x") == expected


SUBTYPES = {1: "PCM_U8", 2: "PCM_16", 3: "PCM_24", 4: "PCM_32"}


def encode(samples: np.ndarray, rate: int, width: int) -> tuple[bytes, np.ndarray]:
    """Return samples `(frames, channels)` as libsndfile writes them into a WAV file, and as it reads them back."""
    raw = io.BytesIO()
    soundfile.write(raw, samples, rate, format="WAV", subtype=SUBTYPES[width])
    raw.seek(0)
    read = soundfile.read(raw, dtype="float32", always_2d=True)[0]
    return raw.getvalue()[-samples.size * width :], read


def convert(form: PcmFormat, content: bytes, cut: int) -> np.ndarray:
    converter = PcmConverter(form)
    parts = [converter.convert(piece) for start in range(0, len(content), cut) for piece in converter.pieces(content[start : start + cut])]
    return np.concatenate([*parts, converter.end()])


@pytest.fixture
def stereo():
    time = np.arange(24_000) / 16_000
    return np.stack([0.5 * np.sin(2 * np.pi * 440 * time), 0.25 * np.sin(2 * np.pi * 660 * time)], axis=1)


@pytest.mark.parametrize("width", SUBTYPES)
def test_every_width_is_read_as_libsndfile_reads_it(stereo, width):
    content, read = encode(stereo, 16_000, width)
    np.testing.assert_array_equal(to_numbers(content, width).reshape(-1, 2), read)


@pytest.mark.parametrize("width", SUBTYPES)
@pytest.mark.parametrize("cut", [1001, 2560, 10**6])
def test_channels_are_averaged_however_the_bytes_are_cut(stereo, width, cut):
    content, read = encode(stereo, 16_000, width)
    np.testing.assert_allclose(convert(PcmFormat(16_000, width, 2), content, cut), read.mean(axis=1), atol=1e-6)


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000, 96_000])
def test_every_rate_becomes_16_khz_in_tune(rate):
    tone = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(2 * rate) / rate)
    content, _ = encode(tone[:, None], rate, 2)
    heard = convert(PcmFormat(rate, 2, 1), content, 4096)
    assert len(heard) == pytest.approx(32_000, abs=2)
    spectrum = np.abs(np.fft.rfft(heard[8_000:24_000] * np.hanning(16_000)))
    assert spectrum.argmax() == 1000
    np.testing.assert_allclose(np.sqrt(2 * np.mean(heard[8_000:24_000] ** 2)), 0.5, atol=0.002)


def test_long_chunks_are_worked_on_a_second_at_a_time(stereo):
    content, _ = encode(stereo, 16_000, 2)
    assert [len(piece) for piece in PcmConverter(PcmFormat(16_000, 2, 2)).pieces(content)] == [64_000, 32_000]


def test_audio_that_ends_within_a_sample_is_told():
    converter = PcmConverter(PcmFormat(16_000, 2, 2))
    assert list(converter.pieces(bytes(7))) == [bytes(4)]
    with pytest.raises(ProtocolError, match="3 of its 4 bytes are there"):
        converter.end()


@pytest.mark.parametrize(
    ("field", "value"),
    [("rate", 0), ("rate", 10**9), ("rate", 16_000.0), ("width", 5), ("channels", 0), ("channels", None), ("rate", True)],
)
def test_formats_that_cannot_be_are_refused(field, value):
    with pytest.raises(ProtocolError, match=field):
        PcmFormat.of({"rate": 16_000, "width": 2, "channels": 1} | {field: value})
