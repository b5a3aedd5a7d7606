import json
import zipfile

import numpy as np
import pytest
import soundfile

from speechtl.audio.data.align import align_manifest
from speechtl.audio.data.manifest import read_manifest
from speechtl.errors import ManifestError

RATE = 16_000


@pytest.fixture(autouse=True)
def _own_places(tmp_path, monkeypatch):
    monkeypatch.setenv("SPEECHTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SPEECHTL_DATA", raising=False)


def record(path, seconds=1.0):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.zeros(round(seconds * RATE)), RATE)
    return path


def test_a_table_of_common_voice_is_read(tmp_path):
    record(tmp_path / "clips" / "one.mp3", 2.0)
    columns = "client_id\tpath\tsentence\tup_votes\tage\tgender\taccents"
    (tmp_path / "validated.tsv").write_text(f'{columns}\n{"ab" * 64}\tone.mp3\tHe said "hey".\t2\ttwenties\tfemale\tScottish\n')
    (clip,) = read_manifest(tmp_path / "validated.tsv")
    assert clip.path == tmp_path / "clips" / "one.mp3"
    assert clip.duration == pytest.approx(2.0, abs=0.1)
    assert (clip.text, clip.license) == ('He said "hey".', "CC0-1.0")
    assert clip.speaker.startswith("common-voice-")
    assert len(clip.speaker) < 30
    assert clip.extra == {"age_group": "twenties", "gender": "female", "accents": "Scottish"}


def test_an_odd_line_of_common_voice_does_not_stop_the_table(tmp_path):
    record(tmp_path / "clips" / "one.mp3", 2.0)
    names = ("n" * 300, "nul\0", "one.mp3")
    lines = "".join(f"c\t{name}\t{'long ' * 40_000}\u2028end\r\n" for name in names)
    (tmp_path / "validated.tsv").write_text(f"client_id\tpath\tsentence\r\n{lines}")
    (tmp_path / "clip_durations.tsv").write_text(f"clip\tduration[ms]\none.mp3\t{'9' * 5000}\n")
    clips = read_manifest(tmp_path / "validated.tsv")
    assert [clip.path and clip.path.name for clip in clips] == [None, None, "one.mp3"]
    assert all(clip.text.endswith("\u2028end") for clip in clips)


def test_labels_of_audacity_are_words_of_the_recording_beside_them(tmp_path):
    record(tmp_path / "take.wav", 10.0)
    (tmp_path / "take.txt").write_text("2,000000\t2.600000\tword\n\\\t100.0\t200.0\n3.000000\t3.500000\tword\n9.500000\t12.000000\t\n")
    first, second, third = read_manifest(tmp_path / "take.txt")
    assert (first.offset, first.duration, first.word_start, first.word_end) == (1.0, 1.8, 1.0, 1.6)
    assert (second.offset, second.word_start, second.word_end) == (2.8, 0.2, 0.7)
    assert third.offset + third.word_end == 10.0
    assert [clip.label for clip in (first, second, third)] == ["word", "word", None]
    assert {clip.path for clip in (first, second, third)} == {tmp_path / "take.wav"}


def test_labels_without_a_recording_are_one_sentence(tmp_path):
    (tmp_path / "take.txt").write_text("1.0\t2.0\tword\n")
    with pytest.raises(ManifestError, match="no recording named take is beside these labels"):
        read_manifest(tmp_path / "take.txt")


def test_labels_of_edge_impulse_are_read(tmp_path):
    record(tmp_path / "training" / "a.wav")
    files = [{"path": "training/a.wav", "category": "training", "label": {"type": "label", "label": "hey"}}]
    (tmp_path / "info.labels").write_text(json.dumps({"version": 1, "files": files}, indent=2))
    (clip,) = read_manifest(tmp_path / "info.labels")
    assert (clip.label, clip.split, clip.duration) == ("hey", "train", 1.0)


ENTRY = {"audio_filepath": "sub\\a.wav", "duration": 1.0}


@pytest.mark.parametrize(
    "data",
    [
        json.dumps([ENTRY], indent=2).encode(),
        json.dumps(ENTRY).encode() + b"\r\n",
        b"\xef\xbb\xbf" + json.dumps(ENTRY).encode(),
        json.dumps(ENTRY).encode("utf-16"),
    ],
    ids=["array", "crlf", "mark", "utf-16"],
)
def test_manifests_are_read_however_they_were_saved_and_backslashes_are_folders(tmp_path, data):
    record(tmp_path / "sub" / "a.wav")
    (tmp_path / "m.jsonl").write_bytes(data)
    assert [clip.path for clip in read_manifest(tmp_path / "m.jsonl")] == [tmp_path / "sub" / "a.wav"]


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("m.toml", 'name = "word"\n[data]\npositives = ["p"]\n', r"looks like a recipe \(TOML\)"),
        ("m.csv", "file,word\n" + "a.wav,hey\n" * 3000, r"a table with 2 columns \(file, word\)"),
        ("m.txt", "hello\n" * 3000, "a text of 3,000 lines without JSON"),
        ("m.wav", "RIFF....WAVE", r"a recording \(WAV\); give the folder"),
        ("m.m4a", "\0\0\0\x20ftyp", "convert it with ffmpeg"),
    ],
)
def test_what_is_no_manifest_is_one_sentence_that_says_what_it_looks_like(tmp_path, name, data, sentence):
    (tmp_path / name).write_text(data)
    with pytest.raises(ManifestError, match=sentence) as caught:
        read_manifest(tmp_path / name)
    assert len(caught.value.problems) == 1


def test_a_zip_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "corpus.zip", "w") as packed:
        packed.writestr("a.txt", "a")
    with pytest.raises(ManifestError, match="a zip archive; unpack it"):
        read_manifest(tmp_path / "corpus.zip")


def test_of_thousands_of_wrong_lines_a_few_are_shown_and_the_rest_counted(tmp_path):
    (tmp_path / "m.jsonl").write_text("{broken\n" * 3001)
    with pytest.raises(ManifestError) as caught:
        read_manifest(tmp_path / "m.jsonl")
    assert len(str(caught.value).splitlines()) == 12
    assert str(caught.value).endswith("and 2,991 more")


def test_a_table_is_not_overwritten_when_words_are_aligned(tmp_path):
    record(tmp_path / "take.wav", 3.0)
    (tmp_path / "take.txt").write_text("1.0\t2.0\tword\n")
    with pytest.raises(ManifestError, match="would be overwritten"):
        align_manifest(tmp_path / "take.txt")
    assert (tmp_path / "take.txt").read_text() == "1.0\t2.0\tword\n"


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
@pytest.mark.parametrize(
    "form", ['{{"audio_filepath": "a.wav", "duration": 1.0, "level": {}}}', '[{{"audio_filepath": "a.wav", "duration": 1.0, "level": {}}}]']
)
def test_numbers_that_json_does_not_have_are_said_to_be_wrong(tmp_path, form, number):
    (tmp_path / "m.jsonl").write_text(form.format(number))
    with pytest.raises(ManifestError, match=r"not a number in JSON|not JSON"):
        read_manifest(tmp_path / "m.jsonl")
