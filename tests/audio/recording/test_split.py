import numpy as np
import pytest
import soundfile

from speechtl.audio.recording.agreement import TakeEncoder
from speechtl.audio.recording.folder import Speaker, TakeFolder
from speechtl.audio.recording.split import find_takes, keep_takes
from speechtl.errors import AudioError


@pytest.fixture
def long(tmp_path, said):
    """Return the function that writes a recording of words with pauses of 1 s."""

    def write(*words, name="long.wav"):
        samples = said.with_pauses([said.spoken(vowels, pitch) for vowels, pitch in words], [1.0] * len(words), 40.0)
        soundfile.write(tmp_path / name, samples, 16_000)
        return tmp_path / name

    return write


WORDS = [("oue", 110), ("oue", 115), ("oue", 120), ("oue", 125), ("oue", 118)]


def test_takes_of_a_long_recording_are_found_and_written_with_their_place(long, tmp_path):
    found = find_takes(long(*WORDS), "computer")
    assert [take.check.kinds for take in found] == [()] * 5
    assert [take.start + take.check.word[0] for take in found] == pytest.approx([0.5, 2.1, 3.7, 5.3, 6.9], abs=0.1)
    folder = TakeFolder(tmp_path / "out", "computer")
    clips = keep_takes(found, folder, Speaker("Ann", "", ""), print)
    assert [clip.audio_filepath for clip in clips] == [f"Ann/00{number}.wav" for number in range(1, 6)]
    assert clips[1].extra["cut_from"] == "long.wav"
    assert "consent" not in clips[1].extra
    assert clips[1].license is None


def test_the_same_recording_adds_nothing_a_second_time(long, tmp_path):
    folder, notes = TakeFolder(tmp_path / "out", "computer"), []
    path = long(*WORDS)
    first = keep_takes(find_takes(path, "computer"), folder, Speaker("Ann"), notes.append)
    again = keep_takes(find_takes(path, "computer"), folder, Speaker("Ann"), notes.append)
    assert [clip.audio_filepath for clip in again] == [clip.audio_filepath for clip in first]
    assert len(folder.clips()) == len(notes) == 5


def test_another_word_among_the_takes_is_marked_and_left_out(long, tmp_path):
    found = find_takes(long(*WORDS[:3], ("iii", 120), *WORDS[3:]), "computer", TakeEncoder())
    assert [take.check.kinds for take in found] == [(), (), (), ("different",), (), ()]
    clips = keep_takes(found, TakeFolder(tmp_path / "out", "computer"), Speaker("Ann"), print)
    assert [clip is None for clip in clips] == [False, False, False, True, False, False]
    assert keep_takes(found, TakeFolder(tmp_path / "all", "computer"), Speaker("Ann"), print, keep_all=True)[3] is not None


def test_a_recording_of_one_take_is_one_take_and_noise_is_an_error(long, tmp_path):
    assert len(find_takes(long(("oue", 110)), "computer")) == 1
    soundfile.write(tmp_path / "noise.wav", 0.01 * np.random.default_rng(0).standard_normal(48_000), 16_000)
    with pytest.raises(AudioError, match=r"no takes of 'computer' were found in its 3 s"):
        find_takes(tmp_path / "noise.wav", "computer")


def test_a_recording_of_many_hours_is_refused(long, monkeypatch):
    path = long(*WORDS)
    monkeypatch.setattr("speechtl.audio.recording.split.MOST_SECONDS", 2.0)
    with pytest.raises(AudioError, match="cut it into parts"):
        find_takes(path, "computer")
