"""Recordings of phones: every format is made with PyAV and read back."""

import numpy as np
import pytest

from speechtl.audio.data.clips import read_clips
from speechtl.audio.data.folder_check import look_at
from speechtl.audio.data.recordings import load_recordings
from speechtl.errors import AudioError
from speechtl.runtime.detect_files import detect_file
from speechtl.runtime.detector import Detector
from speechtl.runtime.sound import media
from speechtl.runtime.sound.files import describe, read_audio

RATE = 16_000
FORMATS = [
    ("a.m4a", "ipod", "aac", 48_000),
    ("a.aac", "adts", "aac", 44_100),
    ("a.mp4", "mp4", "aac", 48_000),
    ("a.3gp", "3gp", "libopencore_amrnb", 8_000),
    ("a.3gpp", "3gp", "aac", 16_000),
    ("a.amr", "amr", "libopencore_amrnb", 8_000),
    ("a.webm", "webm", "libopus", 48_000),
    ("a.mka", "matroska", "libopus", 48_000),
]


def encode(path, samples, container, codec, rate) -> None:
    """Write 16 kHz mono samples in a format of phones."""
    av = pytest.importorskip("av", reason="PyAV is not installed: pip install 'speechtl[media]'")
    with av.open(str(path), "w", format=container) as file:
        stream = file.add_stream(codec, rate=rate)
        stream.layout = "mono"
        resampler = av.AudioResampler(format=stream.format, layout="mono", rate=rate, frame_size=stream.frame_size or 960)
        frame = av.AudioFrame.from_ndarray(np.asarray(samples, np.float32)[None], format="flt", layout="mono")
        frame.sample_rate = RATE
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            file.mux(stream.encode(part))
        file.mux(stream.encode(None))


@pytest.fixture
def tone():
    """Two seconds in which a tone of 700 Hz begins after half a second and lasts for one."""
    samples = 0.3 * np.sin(2 * np.pi * 700 * np.arange(2 * RATE) / RATE)
    samples[: RATE // 2] = samples[3 * RATE // 2 :] = 0.0
    return samples


@pytest.mark.parametrize(("name", "container", "codec", "rate"), FORMATS, ids=[name for name, *_ in FORMATS])
def test_recordings_of_phones_are_read_everywhere(tmp_path, bursts, tiny_bundle, tone, name, container, codec, rate):
    path = tmp_path / name
    encode(path, tone, container, codec, rate)
    assert describe(path)[:2] == (rate, 1)
    samples = read_audio(path)
    assert len(samples) / RATE == pytest.approx(2.0, abs=0.12)
    loud = np.flatnonzero(np.abs(samples) > 0.1) / RATE
    assert loud[0] == pytest.approx(0.5, abs=0.1)
    assert loud[-1] == pytest.approx(1.5, abs=0.1)
    assert look_at(path).seconds == pytest.approx(2.0, abs=0.12)
    for given in (path, tmp_path):  # alone, and in a folder
        (recording,) = load_recordings(read_clips([given], lambda note: None), on_skip=pytest.fail)
        assert recording.seconds == pytest.approx(2.0, abs=0.12)
    encode(path, bursts((1.0,), 2.0), container, codec, rate)
    assert [event.name for event in detect_file(Detector.open(tiny_bundle), path, print)] == ["burst"]


@pytest.mark.parametrize("suffix", sorted(media.SUFFIXES))
def test_without_pyav_the_error_names_the_extra(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(media, "installed", lambda: False)
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"\0\0\0 ftypM4A " + bytes(100))
    with pytest.raises(AudioError, match=r"pip install 'speechtl\[media\]'"):
        read_audio(path)


def test_a_file_of_a_phone_that_is_no_sound_is_one_sentence(tmp_path):
    pytest.importorskip("av", reason="PyAV is not installed: pip install 'speechtl[media]'")
    (tmp_path / "a.m4a").write_bytes(b"\0\0\0 ftypM4A " + bytes(1000))
    with pytest.raises(AudioError, match=r"a\.m4a is not an audio file that can be read: [A-Z]"):
        read_audio(tmp_path / "a.m4a")
