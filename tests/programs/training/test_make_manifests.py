import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechtl.audio.data.manifest import read_manifest
from speechtl.errors import ManifestError

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def program(load_program):
    return load_program("training/make_manifests")


def lay_out(folder: Path, name: str, files: list[str], **others) -> list[dict]:
    """Write recordings with a burst from 0.5 s to 1.0 s, and their manifest; return its lines."""
    (folder / name).mkdir(parents=True)
    (folder / "manifests").mkdir(exist_ok=True)
    lines = []
    for number, file in enumerate(files):
        noise = np.random.default_rng(number).normal(0, 0.003, 24_000)
        noise[8_000:16_000] *= 50
        soundfile.write(folder / name / file, noise, 16_000)
        source = f"github:some-one/a.name@{COMMIT}:some where/it's {file}"
        original = hashlib.sha256(file.encode()).hexdigest()
        lines.append({"audio_filepath": f"../{name}/{file}", "duration": 1.5, "source": source, "source_sha256": original} | others)
    write(folder, name, lines)
    return lines


def write(folder: Path, name: str, lines: list[dict]) -> None:
    (folder / "manifests" / f"{name}.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in lines))


def test_a_wake_word_gets_address_limits_and_a_path_relative_to_the_recordings(program, tmp_path, monkeypatch):
    lay_out(tmp_path / "data", "wake_hello", ["a.wav"], label="hello", text="hello", split="test", speaker="ann", prompt="say hello")
    assert program.main([str(tmp_path / "data"), "--out", str(tmp_path / "out")]) == 0
    monkeypatch.setenv("SPEECHTL_DATA", str(tmp_path / "data"))
    (clip,) = read_manifest(tmp_path / "out" / "wake_hello.jsonl")
    assert clip.audio_filepath == "wake_hello/a.wav"
    assert clip.path == tmp_path / "data" / "wake_hello" / "a.wav"
    assert clip.url == f"https://raw.githubusercontent.com/some-one/a.name/{COMMIT}/some%20where/it%27s%20a.wav"
    assert (clip.word_start, clip.word_end) == pytest.approx((0.5, 1.0), abs=0.06)
    assert (clip.split, clip.speaker, clip.extra) == ("test", "ann", {"prompt": "say hello"})


@pytest.mark.parametrize(
    ("name", "files", "splits"),
    [
        ("noise_esc10", ["001_-_Dog_1-5-A.wav", "001_-_Dog_5-100-B.wav", "002_-_Rain_15-100-A.wav"], ["train", "test", "train"]),
        ("noise_gsc", ["_dude_miaowing.wav", "_pink_noise.wav", "_running_tap.wav"], ["test", "train", "test"]),
        ("music_librosa", ["a_Choice_-_Drum.wav", "b_Vibe_Ace.wav"], ["test", "train"]),
        ("noise_kitchen", ["kitchen.wav"], ["test"]),
        ("rir", ["hall.wav"], ["test"]),
        ("librispeech", ["a.wav"], [None]),
    ],
)
def test_sets_without_splits_get_them(program, tmp_path, name, files, splits):
    lay_out(tmp_path / "data", name, files)
    program.main([str(tmp_path / "data"), "--out", str(tmp_path / "out")])
    clips = read_manifest(tmp_path / "out" / f"{name}.jsonl")
    assert [(clip.audio_filepath, clip.split) for clip in clips] == [
        (f"{name}/{file}", split) for file, split in zip(files, splits, strict=True)
    ]
    assert all(clip.word_start is None for clip in clips)


def test_pieces_of_music_have_their_own_licences_and_speech_among_them_is_left_out(program, tmp_path):
    lay_out(tmp_path / "data", "music_librosa", ["198-209-0000.wav", "a_Choice_-_Drum.wav", "b_Vibe_Ace.wav"])
    program.main([str(tmp_path / "data"), "--out", str(tmp_path / "out")])
    clips = read_manifest(tmp_path / "out" / "music_librosa.jsonl")
    assert [clip.license for clip in clips] == ["CC-BY-NC-4.0", "CC-BY-3.0"]


def test_a_repeated_recording_is_kept_once_and_a_contradiction_not_at_all(program, tmp_path):
    lines = lay_out(tmp_path / "data", "prompts", ["a.wav", "b.wav", "c.wav", "d.wav"], text="one")
    lines[1]["source_sha256"] = lines[0]["source_sha256"]
    lines[3] |= {"source_sha256": lines[2]["source_sha256"], "text": "two"}
    write(tmp_path / "data", "prompts", lines)
    program.main([str(tmp_path / "data"), "--out", str(tmp_path / "out")])
    assert [clip.audio_filepath for clip in read_manifest(tmp_path / "out" / "prompts.jsonl")] == ["prompts/a.wav"]


def test_the_table_of_a_text_is_renewed_and_the_rest_kept(program, tmp_path):
    lay_out(tmp_path / "data", "rir", ["hall.wav"], license="MIT")
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- table -->\nold\n<!-- end of table -->\nafter\n")
    program.main([str(tmp_path / "data"), "--out", str(tmp_path / "out"), "--readme", str(readme)])
    text = readme.read_text()
    assert text.startswith("before\n<!-- table -->\n| set |")
    assert text.endswith("| rir | test | 1 | 0.00 |  | MIT |\n<!-- end of table -->\nafter\n")


def test_ages_come_to_stand_beside_the_speakers_that_have_one(program, tmp_path, monkeypatch):
    lines = lay_out(tmp_path / "data", "speechocean762", ["a.wav", "b.wav"], text="hello")
    write(tmp_path / "data", "speechocean762", [lines[0] | {"speaker": "so-0003"}, lines[1] | {"speaker": "so-0044"}])
    (tmp_path / "spk2age").write_text("0003\t6\n0024\t25\n")
    assert program.main([str(tmp_path / "data"), "--out", str(tmp_path / "out"), "--ages", str(tmp_path / "spk2age")]) == 0
    assert [clip.extra for clip in read_manifest(tmp_path / "out" / "speechocean762.jsonl")] == [{"age": 6}, {}]


@pytest.mark.parametrize(
    ("said", "message"),
    [("0003 6\n0024\n", "spk2age:2: a line must be"), ("0003 six\n", "got '0003 six'"), ("3 6\n", "None of the 1 speakers")],
)
def test_ages_that_cannot_be_read_or_are_of_nobody_are_refused(program, tmp_path, said, message):
    lay_out(tmp_path / "data", "speechocean762", ["a.wav"], text="hello", speaker="so-0003")
    (tmp_path / "spk2age").write_text(said)
    with pytest.raises(ManifestError, match=re.escape(message)):
        program.main([str(tmp_path / "data"), "--out", str(tmp_path / "out"), "--ages", str(tmp_path / "spk2age")])


def test_ages_without_the_set_that_they_are_of_are_refused(program, tmp_path):
    lay_out(tmp_path / "data", "wake_hello", ["a.wav"], text="hello")
    with pytest.raises(ManifestError, match="holds no set speechocean762"):
        program.main([str(tmp_path / "data"), "--out", str(tmp_path / "out"), "--ages", str(tmp_path / "spk2age")])


def test_a_source_of_another_form_is_refused(program, tmp_path):
    lay_out(tmp_path / "data", "rir", ["hall.wav"], source="somewhere")
    with pytest.raises(ManifestError, match="github:OWNER/NAME@COMMIT:PATH, got 'somewhere'"):
        program.main([str(tmp_path / "data"), "--out", str(tmp_path / "out")])


def test_a_folder_without_manifests_is_refused(program, tmp_path):
    with pytest.raises(ManifestError, match="holds no manifest"):
        program.main([str(tmp_path)])
