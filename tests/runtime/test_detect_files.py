import io
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from speechtl.errors import AudioError
from speechtl.runtime.detect_files import detect_file, detect_raw
from speechtl.runtime.detector import Detector

STARTS = (0.8, 2.4)


@pytest.fixture(scope="module")
def detector(tiny_bundle) -> Detector:
    return Detector.open(tiny_bundle)


def times(events) -> list[float]:
    return [event.time for event in events]


def write(path, samples, rate: int, channels: int, subtype: str | None = None):
    data = soxr.resample(samples, 16_000, rate) if rate != 16_000 else samples
    soundfile.write(path, np.stack([data * 0.9] * channels, axis=1), rate, subtype=subtype)
    return path


@pytest.mark.parametrize(
    ("suffix", "subtype", "rate", "channels"),
    [
        (".wav", None, 16_000, 1),
        (".wav", "FLOAT", 8_000, 1),
        (".wav", "PCM_24", 44_100, 2),
        (".wav", "ULAW", 8_000, 1),
        (".flac", None, 48_000, 2),
        (".flac", "PCM_24", 96_000, 1),
        (".mp3", None, 44_100, 2),
        (".mp3", None, 22_050, 1),
        (".ogg", None, 32_000, 1),
        (".ogg", "OPUS", 48_000, 2),
        (".ogg", "OPUS", 16_000, 1),
        (".aiff", None, 11_025, 1),
    ],
)
def test_bursts_are_found_in_every_format_rate_and_number_of_channels(detector, bursts, tmp_path, suffix, subtype, rate, channels):
    path = write(tmp_path / f"a{suffix}", bursts(STARTS, 3.2), rate, channels, subtype)
    found = times(detect_file(detector, path, pytest.fail))
    assert len(found) == 2
    assert all(start < time < start + 0.25 for start, time in zip(STARTS, found, strict=True))


def test_a_file_gives_the_events_of_its_samples(detector, bursts, tmp_path):
    samples = bursts(STARTS, 3.2)
    soundfile.write(tmp_path / "a.wav", samples, 16_000)
    events = list(detect_file(detector, tmp_path / "a.wav", pytest.fail))
    detector.reset()
    assert [replace(event, peak=None) for event in events] == detector.feed(samples)


def test_the_peak_of_a_recording_is_that_of_the_whole_word(detector, bursts, tmp_path):
    soundfile.write(tmp_path / "a.wav", bursts(STARTS, 3.2), 16_000)
    scores = []
    detector.on_score = lambda scored, _: scores.append((scored.time, scored.score))
    detector.reset()
    detector.feed(bursts(STARTS, 3.2))
    detector.on_score = None
    found = list(detect_file(detector, tmp_path / "a.wav", pytest.fail))
    assert [event.peak for event in found] == [max(score for time, score in scores if start < time < start + 1.0) for start in STARTS]
    assert all(event.peak > event.score for event in found)
    assert detector.on_score is None


def test_a_second_file_knows_nothing_of_the_first(detector, bursts, tmp_path):
    soundfile.write(tmp_path / "first.wav", bursts((0.5, 1.4), 1.8), 16_000)
    soundfile.write(tmp_path / "second.wav", bursts((0.2,), 1.0), 16_000)
    alone = list(detect_file(detector, tmp_path / "second.wav", pytest.fail))
    assert len(alone) == 1
    list(detect_file(detector, tmp_path / "first.wav", pytest.fail))
    assert list(detect_file(detector, tmp_path / "second.wav", pytest.fail)) == alone


def test_a_word_at_the_very_end_is_heard(detector, bursts, tmp_path):
    soundfile.write(tmp_path / "a.wav", bursts((1.0,), 1.4)[: round(1.06 * 16_000)], 16_000)
    assert len(list(detect_file(detector, tmp_path / "a.wav", pytest.fail))) == 1


def test_many_channels_are_averaged_with_a_note(detector, bursts, tmp_path):
    path = write(tmp_path / "a.wav", bursts(STARTS, 3.2), 16_000, 8)
    notes = []
    assert len(list(detect_file(detector, path, notes.append))) == 2
    assert len(notes) == 1
    assert "8 channels" in notes[0]


def test_a_file_too_short_to_score_is_an_error(detector, tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(500), 16_000)
    with pytest.raises(AudioError, match=r"31\.2 ms long; a score needs at least 62 ms"):
        list(detect_file(detector, tmp_path / "a.wav", pytest.fail))


@pytest.mark.parametrize("rate", [44_100, 192_000])
def test_a_file_of_a_single_sample_is_an_error(detector, tmp_path, rate):
    soundfile.write(tmp_path / "a.wav", np.zeros(1), rate)
    with pytest.raises(AudioError, match="ms long"):
        list(detect_file(detector, tmp_path / "a.wav", pytest.fail))


def test_a_missing_file_is_an_error(detector, tmp_path):
    with pytest.raises(AudioError, match="does not exist"):
        list(detect_file(detector, tmp_path / "none.wav", pytest.fail))


class Dribble:
    """A pipe that gives few bytes at a time, splitting samples and frames."""

    def __init__(self, content: bytes, lengths: tuple[int, ...]) -> None:
        self.content, self.lengths, self.reads = content, lengths, 0

    def read1(self, size: int) -> bytes:
        length = min(self.lengths[self.reads % len(self.lengths)], size)
        self.reads += 1
        given, self.content = self.content[:length], self.content[length:]
        return given


def raw(samples: np.ndarray, channels: int = 1) -> bytes:
    return np.repeat(np.round(samples * 32768).astype("<i2")[:, None], channels, axis=1).tobytes()


@pytest.mark.parametrize(("channels", "lengths"), [(1, (1, 2, 3, 999)), (2, (5, 1, 2047, 3)), (3, (7,)), (1, (100_000,))])
def test_raw_samples_split_anywhere_give_the_events_of_the_whole(detector, bursts, channels, lengths):
    samples = bursts((0.3, 1.2), 1.9)
    detector.reset()
    expected = detector.feed(samples)
    assert len(expected) == 2
    assert list(detect_raw(detector, Dribble(raw(samples, channels), lengths), 16_000, channels)) == expected


def test_raw_samples_of_another_rate_are_resampled(detector, bursts):
    samples = soxr.resample(bursts(STARTS, 3.2), 16_000, 44_100) * 0.9
    found = times(detect_raw(detector, io.BytesIO(raw(samples, 2)), 44_100, 2))
    assert len(found) == 2
    assert all(start < time < start + 0.2 for start, time in zip(STARTS, found, strict=True))


def test_events_of_raw_samples_come_before_the_stream_ends(detector, bursts):
    stream = Dribble(raw(bursts((0.3,), 1.9)), (640,))
    event = next(detect_raw(detector, stream, 16_000, 1))
    assert len(stream.content) > 2 * 16_000
    assert event.time < 0.6


def test_raw_samples_that_end_within_a_frame_are_an_error(detector):
    with pytest.raises(AudioError, match="1 of its 4 bytes are there"):
        list(detect_raw(detector, io.BytesIO(b"\0" * 4001), 16_000, 2))


def test_events_come_even_where_the_raw_samples_end_within_a_frame(detector, bursts):
    found = detect_raw(detector, io.BytesIO(raw(bursts((0.3,), 0.71)) + b"\0"), 16_000, 1)
    assert next(found).time < 0.6
    with pytest.raises(AudioError, match="Check --format and --channels"):
        list(found)


def as_format(samples: np.ndarray, form: str) -> bytes:
    if form == "f32":
        return samples.astype("<f4").tobytes()
    return np.round(samples * 2.0 ** (15 if form == "s16" else 31)).astype("<i2" if form == "s16" else "<i4").tobytes()


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["s16", "s32", "f32"]),
    st.integers(1, 3),
    st.lists(st.integers(1, 40_000), min_size=1, max_size=5).filter(lambda lengths: sum(lengths) > 500),
)
def test_raw_samples_of_every_format_split_anywhere_give_the_events_of_the_whole(detector, bursts, form, channels, lengths):
    samples = bursts((0.3,), 0.9)
    detector.reset()
    expected = detector.feed(samples)
    assert len(expected) == 1
    content = as_format(np.repeat(samples[:, None], channels, axis=1), form)
    assert list(detect_raw(detector, Dribble(content, tuple(lengths)), 16_000, channels, form, pytest.fail)) == expected


def test_a_format_that_is_not_known_is_refused(detector):
    with pytest.raises(AudioError, match=r"'s23' .* is not known \(did you mean 's32'\?\); take one of: s16, s32, f32"):
        list(detect_raw(detector, io.BytesIO(b""), 16_000, 1, "s23"))


def test_an_empty_stream_makes_no_events(detector):
    assert list(detect_raw(detector, io.BytesIO(b""), 16_000, 1)) == []
