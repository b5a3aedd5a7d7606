import contextlib

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from speechtl.errors import AudioError
from speechtl.runtime.sound import media
from speechtl.runtime.sound.files import describe, read_audio
from speechtl.runtime.sound.length import counted_seconds, with_length

RATE = 16_000


@pytest.fixture
def sound():
    return np.random.default_rng(0).normal(0, 0.05, 3 * RATE + 777).astype(np.float32)


def no_pyav(monkeypatch):
    monkeypatch.setattr(media, "installed", lambda: False)


def without_length(path):
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    path.write_bytes(content)


def test_flac_from_a_pipe_is_read_to_its_end(tmp_path, sound):
    soundfile.write(tmp_path / "a.flac", sound, RATE)
    expected = read_audio(tmp_path / "a.flac")
    without_length(tmp_path / "a.flac")
    assert describe(tmp_path / "a.flac")[2] == len(sound) / RATE
    np.testing.assert_array_equal(read_audio(tmp_path / "a.flac"), expected)
    np.testing.assert_array_equal(read_audio(tmp_path / "a.flac", 1.0, 0.5), expected[RATE : RATE * 3 // 2])


def test_flac_from_a_pipe_that_was_cut_off_announces_no_more_than_is_there(tmp_path, sound):
    soundfile.write(tmp_path / "a.flac", sound, RATE)
    without_length(tmp_path / "a.flac")
    (tmp_path / "a.flac").write_bytes((tmp_path / "a.flac").read_bytes()[:9000])
    assert describe(tmp_path / "a.flac")[2] <= len(sound) / RATE
    with pytest.raises(AudioError, match=r"cut short|damaged"):
        read_audio(tmp_path / "a.flac")


@pytest.mark.parametrize("announced", [0, 0xFFFFFFFF])
def test_wav_from_a_pipe_is_read_to_its_end(tmp_path, sound, announced):
    soundfile.write(tmp_path / "a.wav", sound, RATE)
    content = bytearray((tmp_path / "a.wav").read_bytes())
    place = content.index(b"data") + 4
    content[place : place + 4] = announced.to_bytes(4, "little")
    (tmp_path / "a.wav").write_bytes(content)
    assert len(read_audio(tmp_path / "a.wav")) == len(sound)


def test_rf64_is_read(tmp_path, sound):
    soundfile.write(tmp_path / "a.wav", sound, RATE, format="RF64", subtype="PCM_16")
    assert len(read_audio(tmp_path / "a.wav")) == len(sound)


@pytest.mark.parametrize("name", ["a.ogg", "a.opus", "a.mp3"])
def test_joined_files_are_not_read_in_part_without_a_word(tmp_path, sound, name, monkeypatch):
    no_pyav(monkeypatch)
    path = tmp_path / name
    soundfile.write(path, sound, RATE, format="MP3" if name == "a.mp3" else "OGG", subtype="OPUS" if name == "a.opus" else None)
    assert len(read_audio(path)) == pytest.approx(len(sound), abs=0.2 * RATE)
    path.write_bytes(path.read_bytes() * 2)
    with pytest.raises(AudioError, match=r"contains 6\..* s of sound, of which the last 3\..*pip install 'speechtl\[media\]'.*ffmpeg -i"):
        read_audio(path)


@pytest.mark.parametrize("name", ["a.ogg", "a.opus", "a.mp3"])
def test_pyav_reads_joined_files_whole(tmp_path, sound, name):
    pytest.importorskip("av")
    path = tmp_path / name
    soundfile.write(path, sound, RATE, format="MP3" if name == "a.mp3" else "OGG", subtype="OPUS" if name == "a.opus" else None)
    path.write_bytes(path.read_bytes() * 2)
    assert len(read_audio(path)) == pytest.approx(2 * len(sound), abs=0.3 * RATE)
    assert len(read_audio(path, 2.0, 2.0)) == 2 * RATE


def variable_mp3(path):
    """Write loud and quiet seconds, whose frames differ in size, and take the frame away that tells their number."""
    random = np.random.default_rng(0)
    sound = np.concatenate([random.normal(0, level, RATE) for level in (1e-5, 0.2, 0.2, 0.2)])
    soundfile.write(path, sound, RATE, format="MP3", bitrate_mode="VARIABLE", compression_level=0.4)
    content = path.read_bytes()
    second = content.index(content[:2], 48)
    path.write_bytes(content[second:])


def test_mp3_without_a_frame_that_tells_its_length_is_read_whole_or_refused(tmp_path, monkeypatch):
    no_pyav(monkeypatch)
    variable_mp3(tmp_path / "a.mp3")
    seconds, told = counted_seconds(tmp_path / "a.mp3")
    assert not told
    assert seconds == pytest.approx(4.0, abs=0.2)
    try:
        assert len(read_audio(tmp_path / "a.mp3")) / RATE == pytest.approx(seconds, abs=0.25)
    except AudioError as error:
        assert "cannot be read" in str(error)  # noqa: PT017


def test_a_phone_s_recording_names_the_extra_and_the_command(tmp_path, monkeypatch):
    no_pyav(monkeypatch)
    (tmp_path / "my take.m4a").write_bytes(b"\0\0\0\x1cftypM4A " + bytes(400))
    with pytest.raises(AudioError, match=r"speechtl\[media\].*ffmpeg -i '.*my take.m4a' -ar 16000 -ac 1"):
        read_audio(tmp_path / "my take.m4a")


@given(
    st.binary(max_size=400), st.sampled_from([b"", b"fLaC\0\0\0\x22", b"RIFF\0\0\0\0WAVE", b"OggS\0\x02", b"\xff\xfb\x90\x64", b"ID3\4\0"])
)
def test_any_bytes_are_looked_at_without_an_error(tmp_path_factory, content, beginning):
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(beginning + content)
    if (file := with_length(path)) is not None:
        file.close()
    counted_seconds(path)


def test_libmpg123_is_silent_while_a_damaged_mp3_is_read(tmp_path, sound, capfd):
    path = tmp_path / "a.mp3"
    soundfile.write(path, sound, RATE, format="MP3")
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 600] = bytes(600)
    path.write_bytes(content)
    with soundfile.SoundFile(path) as file:
        file.read()
    assert "MPEG" in capfd.readouterr().err
    with contextlib.suppress(AudioError):
        read_audio(path)
    assert capfd.readouterr().err == ""


def test_what_is_no_mp3_is_not_taken_for_a_pipe(tmp_path):
    (tmp_path / "a.mp3").write_bytes(np.random.default_rng(0).bytes(5000))
    with pytest.raises(AudioError, match=r"a\.mp3 is not an audio file that can be read .*: Format not recognised\."):
        read_audio(tmp_path / "a.mp3")
