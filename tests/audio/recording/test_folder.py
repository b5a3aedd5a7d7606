import json
import threading

import numpy as np
import pytest
import soundfile

from speechtl.audio.data.check import validate
from speechtl.audio.data.clips import read_clips
from speechtl.audio.data.folder_check import look_at_folders
from speechtl.audio.data.manifest import read_manifest
from speechtl.audio.recording import folder as module
from speechtl.audio.recording.folder import Circumstances, Speaker, TakeFolder, speaker_name
from speechtl.errors import DiskFullError, SpeechtlError
from speechtl.files import locked

ANN = Speaker("Ann", licence="CC0-1.0")
HOW = Circumstances("USB microphone", 48_000)


@pytest.fixture
def takes(tmp_path):
    return TakeFolder(tmp_path / "computer", "computer")


@pytest.fixture
def sound(said):
    return lambda seed=0: said.with_pauses([said.spoken()], [0.5], 40.0, seed)


def test_takes_are_wav_files_of_16_bits_numbered_for_each_speaker_with_a_manifest(takes, sound):
    added = [takes.add(sound(1), ANN, HOW, (0.5, 1.1)), takes.add(sound(2), ANN, HOW), takes.add(sound(3), Speaker("Bo"), HOW)]
    assert [clip.audio_filepath for clip in added] == ["Ann/001.wav", "Ann/002.wav", "Bo/001.wav"]
    about = soundfile.info(added[0].path)
    assert (about.samplerate, about.subtype, about.format) == (16_000, "PCM_16", "WAV")
    line = json.loads((takes.folder / "manifest.jsonl").read_text().splitlines()[0])
    assert line["text"] == line["label"] == "computer"
    assert (line["speaker"], line["license"], line["device"], line["rate"]) == ("Ann", "CC0-1.0", "USB microphone", 48_000)
    assert line["consent"]
    assert line["recorded"][:2] == "20"
    assert (line["word_start"], line["word_end"]) == (0.5, 1.1)
    assert validate([takes.folder / "manifest.jsonl"]).ok


def test_the_folder_itself_is_data_with_speakers_licences_and_limits(takes, sound):
    takes.add(sound(1), ANN, HOW, (0.5, 1.1))
    takes.add(sound(2), Speaker("Bo"), HOW)
    notes = []
    first, second = read_clips([takes.folder], notes.append)
    assert (first.speaker, first.license, first.word_start, first.text) == ("Ann", "CC0-1.0", 0.5, "computer")
    assert second.speaker == "Bo"
    (report,) = look_at_folders([takes.folder])
    assert (report.problems, report.note, notes) == ([], None, [])


def test_a_recording_that_was_changed_loses_the_limits_and_one_that_was_added_or_removed_does_no_harm(takes, sound):
    changed = takes.add(sound(1), ANN, HOW, (0.5, 1.1))
    removed = takes.add(sound(2), ANN, HOW)
    soundfile.write(changed.path, sound(4)[4000:], 16_000)
    removed.path.rename(takes.folder / "Ann" / "mine.wav")
    clips = read_clips([takes.folder], lambda note: None)
    assert [(clip.audio_filepath, clip.word_start, clip.license) for clip in clips] == [
        ("Ann/001.wav", None, "CC0-1.0"),
        ("Ann/mine.wav", None, None),
    ]


def test_a_manifest_of_another_kind_in_a_folder_is_reported_and_left_out(tmp_path, sound):
    soundfile.write(tmp_path / "a.wav", sound(), 16_000)
    (tmp_path / "manifest.jsonl").write_text('{"name": "web app"}\n')
    notes = []
    assert len(read_clips([tmp_path], notes.append)) == 1
    assert "manifest.jsonl is left out" in notes[0]


def test_recording_goes_on_with_the_next_number_also_after_a_file_without_a_line(takes, sound):
    takes.add(sound(1), ANN, HOW)
    soundfile.write(takes.folder / "Ann" / "007.wav", sound(2), 16_000)
    assert TakeFolder(takes.folder, "computer").add(sound(3), ANN, HOW).audio_filepath == "Ann/008.wav"


def test_a_speaker_is_known_again_with_consent_and_licence(takes, sound):
    assert takes.speaker("ann") is None
    takes.add(sound(), ANN, HOW)
    assert takes.speaker("ANN") == ANN


def test_undo_removes_the_file_and_its_line(takes, sound):
    kept, undone = takes.add(sound(1), ANN, HOW), takes.add(sound(2), ANN, HOW)
    takes.remove(undone)
    assert [clip.audio_filepath for clip in read_manifest(takes.folder / "manifest.jsonl")] == [kept.audio_filepath]
    assert not undone.path.exists()
    takes.remove(kept)
    assert takes.clips() == []
    assert takes.add(sound(3), ANN, HOW).audio_filepath == "Ann/001.wav"


def test_sound_of_a_kind_is_numbered_by_itself(takes, sound):
    room = Circumstances("USB microphone", 48_000, {"kind": "room"})
    negatives = TakeFolder(takes.folder, None)
    assert [negatives.add(sound(), ANN, room).audio_filepath for _ in range(2)] == ["Ann/room-001.wav", "Ann/room-002.wav"]


def test_a_folder_of_another_word_is_refused(takes, sound):
    takes.add(sound(), ANN, HOW)
    TakeFolder(takes.folder, "Computer").check_label()
    with pytest.raises(SpeechtlError, match="takes of computer; give another folder"):
        TakeFolder(takes.folder, "jarvis").check_label()
    with pytest.raises(SpeechtlError, match="takes of computer"):
        TakeFolder(takes.folder, None).check_label()


def test_two_recorders_do_not_lose_each_others_takes(takes, sound):
    samples = sound()

    def record(first):
        for number in range(first, first + 4):
            TakeFolder(takes.folder, "computer").add(samples[number:], ANN, HOW)

    threads = [threading.Thread(target=record, args=(first,)) for first in (0, 4, 8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({clip.audio_filepath for clip in takes.clips()}) == 12
    assert validate([takes.folder / "manifest.jsonl"], hashes=False).problems == []


def test_a_lock_that_is_held_too_long_is_an_error(takes, sound, monkeypatch):
    monkeypatch.setattr(module, "LOCK_SECONDS", 0.1)
    with locked(takes.folder / ".lock", "busy", "wait"), pytest.raises(SpeechtlError, match="is being written to"):
        takes.add(sound(), ANN, HOW)


def test_a_full_disk_leaves_the_takes_before_as_they_are(takes, sound, monkeypatch):
    takes.add(sound(1), ANN, HOW)
    before = (takes.folder / "manifest.jsonl").read_bytes()

    def full(path, needed):
        raise DiskFullError(f"{path} needs room")

    monkeypatch.setattr(module, "check_room", full)
    with pytest.raises(DiskFullError):
        takes.add(sound(2), ANN, HOW)
    assert (takes.folder / "manifest.jsonl").read_bytes() == before
    assert [path.name for path in (takes.folder / "Ann").iterdir()] == ["001.wav"]


@pytest.mark.parametrize("name", ["", "  ", "../ann", "a/b", "a\\b", ".hidden", "con:", "x" * 61, "\u202eevil", "new\nline", "ann.", "<b>"])
def test_names_that_would_leave_the_folder_or_hide_in_it_are_refused(name):
    if name == "new\nline":
        assert speaker_name(name) == "new line"
        return
    with pytest.raises(SpeechtlError, match="name of a folder"):
        speaker_name(name)


@pytest.mark.parametrize("name", ["Ann", "Zoë Müller", "speaker-1", "王芳", "अनिता", "J. R. Smith"])
def test_names_of_all_scripts_are_accepted(name):
    assert speaker_name(f" {name} ") == name


def test_samples_are_kept_exactly(takes):
    pcm = np.arange(-2000, 2000, dtype=np.int16)
    assert (soundfile.read(takes.add(pcm, ANN, HOW).path, dtype="int16")[0] == pcm).all()
