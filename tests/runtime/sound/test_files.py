import sys

import numpy as np
import pytest
import soundfile
import soxr

from speechtl.errors import AudioError
from speechtl.runtime.sound.files import describe, read_audio, read_blocks

RATE = 16_000


def tone(seconds: float, rate: int, hertz: float = 440.0) -> np.ndarray:
    time = np.arange(round(seconds * rate)) / rate
    return (0.4 * np.sin(2 * np.pi * hertz * time) * np.minimum(1, 20 * np.minimum(time, seconds - time))).astype(np.float32)


@pytest.mark.parametrize("rate", [8000, 22_050, 44_100, 48_000])
def test_a_recording_of_another_rate_sounds_as_resampled_at_once(tmp_path, rate):
    samples = tone(1.7, rate) + tone(1.7, rate, 2300)
    soundfile.write(tmp_path / "a.wav", samples, rate, subtype="FLOAT")
    read = np.concatenate(list(read_blocks(tmp_path / "a.wav", block_seconds=0.13)))
    expected = soxr.resample(samples, rate, RATE)
    assert abs(len(read) - 1.7 * RATE) <= 1
    length = min(len(read), len(expected))
    assert np.abs(read[:length] - expected[:length]).max() < 1e-4


def test_blocks_of_16_khz_are_the_samples_of_the_file(tmp_path):
    samples = tone(1.0, RATE)
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="FLOAT")
    np.testing.assert_array_equal(np.concatenate(list(read_blocks(tmp_path / "a.wav", block_seconds=0.1))), samples)


def test_int16_comes_as_a_share_of_full_scale(tmp_path):
    pcm = np.array([-32768, -1, 0, 1, 32767], np.int16)
    soundfile.write(tmp_path / "a.wav", pcm, RATE)
    np.testing.assert_array_equal(read_audio(tmp_path / "a.wav"), pcm / np.float32(32768))


def test_a_part_is_what_offset_and_duration_ask_for(tmp_path):
    samples = tone(2.0, RATE)
    soundfile.write(tmp_path / "a.flac", samples, RATE)
    part = read_audio(tmp_path / "a.flac", offset=0.5, duration=0.25)
    np.testing.assert_allclose(part, samples[8000:12_000], atol=1 / 32768)


def test_several_channels_are_averaged(tmp_path):
    channels = np.stack([tone(0.5, RATE, 100.0 * index) for index in range(1, 9)], axis=1)
    soundfile.write(tmp_path / "a.wav", channels, RATE, subtype="FLOAT")
    np.testing.assert_allclose(read_audio(tmp_path / "a.wav"), channels.mean(axis=1), atol=1e-6)


def test_one_channel_of_several_is_read_where_it_is_asked_for(tmp_path):
    channels = np.stack([tone(0.5, RATE, 100.0 * index) for index in range(1, 5)], axis=1)
    soundfile.write(tmp_path / "a.wav", channels, RATE, subtype="FLOAT")
    np.testing.assert_array_equal(read_audio(tmp_path / "a.wav", channel=1), channels[:, 0])
    np.testing.assert_array_equal(read_audio(tmp_path / "a.wav", 0.1, 0.2, channel=4), channels[1600:4800, 3])
    with pytest.raises(AudioError, match=r"a\.wav has 4 channels; channel 5 was asked for\."):
        read_audio(tmp_path / "a.wav", channel=5)


def test_a_header_tells_rate_channels_and_seconds(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros((11_025, 2)), 22_050)
    assert describe(tmp_path / "a.wav") == (22_050, 2, 0.5)


@pytest.mark.parametrize("suffix", ["ulaw", "UL"])
def test_a_headerless_mu_law_file_is_telephone_speech_of_8_khz(tmp_path, suffix):
    samples = tone(0.5, 8000)
    path = tmp_path / f"call.{suffix}"
    soundfile.write(path, samples, 8000, format="RAW", subtype="ULAW")
    assert path.stat().st_size == len(samples)
    assert describe(path) == (8000, 1, 0.5)
    heard = read_audio(path, 0.1, 0.3)
    expected = soxr.resample(samples, 8000, RATE)[1600:6400]
    assert len(heard) == len(expected)
    assert np.corrcoef(heard, expected)[0, 1] > 0.999


def test_a_mu_law_file_with_a_header_is_read_by_its_header(tmp_path):
    soundfile.write(tmp_path / "a.au", tone(0.5, RATE), RATE, subtype="ULAW")
    (tmp_path / "a.au").rename(tmp_path / "a.ulaw")
    assert describe(tmp_path / "a.ulaw") == (RATE, 1, 0.5)


def cut_short(path):
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 5 * RATE), RATE, format="FLAC")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def cut_short_wav(path, format="WAV"):
    soundfile.write(path, tone(1.0, RATE), RATE, format=format)
    path.write_bytes(path.read_bytes()[:20_000])


def not_a_number(path):
    samples = tone(1.0, RATE)
    samples[9000] = np.nan
    soundfile.write(path, samples, RATE, subtype="FLOAT", format="WAV")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: None, "does not exist"),
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: path.write_text("Once upon a time there was no sound at all.\n" * 20), "not an audio file"),
        (lambda path: path.write_bytes(b"RIFF"), "not an audio file"),
        (lambda path: soundfile.write(path, np.zeros(0), RATE, format="WAV"), "contains no audio"),
        (cut_short, "cut short|damaged"),
        (cut_short_wav, "cut short: its header announces 32000 bytes of audio"),
        (lambda path: cut_short_wav(path, "AIFF"), "cut short"),
        (not_a_number, "not numbers"),
    ],
    ids=["missing", "folder", "empty", "text", "stub", "no samples", "truncated", "truncated WAV", "truncated AIFF", "NaN"],
)
def test_a_bad_file_is_named_with_what_is_wrong(tmp_path, make, says):
    path = tmp_path / "bad.wav"
    make(path)
    with pytest.raises(AudioError, match=says) as caught:
        read_audio(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("announced", [0xFFFFFFFF, 0x7FFFF000])
def test_a_stream_that_did_not_know_its_length_is_read(tmp_path, announced):
    soundfile.write(tmp_path / "a.wav", tone(1.0, RATE), RATE)
    content = (tmp_path / "a.wav").read_bytes()
    place = content.index(b"data") + 4
    (tmp_path / "a.wav").write_bytes(content[:place] + announced.to_bytes(4, "little") + content[place + 4 :])
    assert len(read_audio(tmp_path / "a.wav")) == RATE


@pytest.mark.parametrize("part", [(1.0, None), (7.5, None), (0.2, 0.0)])
def test_a_part_without_audio_is_an_error(tmp_path, part):
    soundfile.write(tmp_path / "a.wav", tone(1.0, RATE), RATE)
    with pytest.raises(AudioError, match="empty"):
        read_audio(tmp_path / "a.wav", *part)


@pytest.mark.real
def test_real_mp3_and_wav_files_are_read_whole(real_clips):
    for name in ("wake_computer", "librispeech", "speechocean762"):
        for clip in real_clips(name, 3):
            assert len(read_audio(clip.path, clip.offset, clip.duration)) == pytest.approx(clip.duration * RATE, abs=0.06 * RATE)


def test_without_soxr_sound_of_16_khz_is_read_and_other_rates_are_refused_in_words(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "soxr", None)
    soundfile.write(tmp_path / "16.wav", np.zeros(1600), 16_000)
    soundfile.write(tmp_path / "48.wav", np.zeros(4800), 48_000)
    assert len(read_audio(tmp_path / "16.wav")) == 1600
    with pytest.raises(AudioError, match="pip install soxr"):
        read_audio(tmp_path / "48.wav")
