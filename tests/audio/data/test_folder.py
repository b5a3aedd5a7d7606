import json
import os
import shutil
import subprocess

import numpy as np
import pytest
import soundfile

from speechtl.audio.data.clips import read_clips
from speechtl.audio.data.folder_check import look_at_folders
from speechtl.audio.data.manifest import read_manifest, write_manifest
from speechtl.audio.recipe import make_recipe
from speechtl.audio.training.selection import prepare
from speechtl.errors import ManifestError
from speechtl.folders import conversion, look_into
from speechtl.runtime.sound import media
from speechtl.runtime.sound.files import describe

RATE = 16_000


def record(path, seconds=1.0, seed=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(abs(hash(str(path))) if seed is None else seed)
    samples = random.normal(0, 0.05, round(seconds * RATE))
    samples[: len(samples) // 2] /= 50.0  # steady noise would be taken for a take without a word
    soundfile.write(path, samples, RATE)
    return path


def speakers(folder):
    return {clip.audio_filepath: clip.speaker for clip in read_clips([folder], lambda text: None)}


def folder_recipe(root, **data):
    return make_recipe({"name": "word", "data": {"positives": ["p"], "negatives": ["n"], **data}}, base=root, source="test")


@pytest.fixture
def positives(tmp_path, said):
    """A folder `p` of takes by four people."""
    for person in range(4):
        for take in range(3):
            path = record(tmp_path / "p" / f"person{person}" / f"{take}.wav")
            word = said.spoken(pitch=100.0 + 10.0 * person, speed=1.0 + 0.1 * take)
            soundfile.write(path, said.with_pauses([word], [0.3], 30.0, seed=3 * person + take), RATE)
    return tmp_path


@pytest.fixture
def no_pyav(monkeypatch):
    monkeypatch.setattr(media, "installed", lambda: False)


def test_files_that_are_passed_over_are_counted_by_kind_with_the_command_that_converts_them(no_pyav, tmp_path):
    record(tmp_path / "a.wav")
    for name in ("b.m4a", "c.M4A", "d.webm", "._a.wav", "notes.txt", "me.jpg", ".DS_Store"):
        (tmp_path / name).write_bytes(b"x")
    notes = []
    assert len(read_clips([tmp_path], notes.append)) == 1
    (note,) = notes
    assert "1 recording is used" in note
    for part in (
        "2 .m4a files",
        "1 .webm file",
        "1 file of macOS (._)",
        "1 hidden file",
        "1 picture (.jpg)",
        "1 text (.txt)",
        "find -L ",
        "speechtl[media]",
    ):
        assert part in note


def test_what_phones_record_is_read_where_pyav_is_installed(tmp_path):
    av = pytest.importorskip("av")
    samples = np.random.default_rng(0).normal(0, 0.05, (1, RATE)).astype(np.float32)
    with av.open(str(tmp_path / "take.m4a"), "w") as file:
        stream = file.add_stream("aac", rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.rate = RATE
        file.mux([*stream.encode(frame), *stream.encode(None)])
    notes = []
    (clip,) = read_clips([tmp_path], notes.append)
    assert clip.duration == pytest.approx(1.0, abs=0.2)
    assert notes == []


def test_a_folder_of_recordings_that_are_not_read_is_an_error_with_the_command(no_pyav, tmp_path):
    (tmp_path / "a.amr").write_bytes(b"x")
    with pytest.raises(ManifestError, match=r"contains no recordings.*1 \.amr file.*ffmpeg"):
        read_clips([tmp_path])


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="ffmpeg is not installed")
def test_the_command_converts_files_in_sub_folders_whatever_their_names(tmp_path):
    folder = tmp_path / "it's $(mine)"
    source = record(folder / "a b" / "take.wav")
    subprocess.run(["ffmpeg", "-loglevel", "error", "-i", source, folder / "a b" / "'one' $x.m4a"], check=True)
    source.unlink()
    found = look_into(folder, {".wav"}, {".m4a"})
    subprocess.run(conversion(folder, found.unread), shell=True, check=True, stderr=subprocess.DEVNULL)
    after = look_into(folder, {".wav"}, {".m4a"})
    assert [path.name for path in after.files] == ["'one' $x.m4a.wav"]
    assert not after.unread


def test_hidden_folders_and_those_of_systems_are_not_learned_from(tmp_path):
    record(tmp_path / "a.wav")
    for name in (".Trash-1000", ".ipynb_checkpoints", "__MACOSX", "@eaDir"):
        record(tmp_path / name / "x.wav")
    found = look_into(tmp_path, {".wav"})
    assert [path.name for path in found.files] == ["a.wav"]
    assert found.left_out == ["4 hidden or system folders"]


def test_nothing_odd_in_a_folder_stops_the_others(tmp_path):
    record(tmp_path / "a.wav")
    (tmp_path / "take.wav").mkdir()
    (tmp_path / "broken.wav").symlink_to("gone.wav")
    (tmp_path / "itself.wav").symlink_to("itself.wav")
    os.mkfifo(tmp_path / "pipe.wav")
    found = look_into(tmp_path, {".wav"})
    assert [path.name for path in found.files] == ["a.wav"]
    assert found.left_out == ["2 broken links", "1 pipe, socket or device"]


def test_links_to_folders_are_followed_once_and_loops_end(tmp_path):
    record(tmp_path / "elsewhere" / "anna" / "a.wav")
    folder = tmp_path / "mine"
    record(folder / "b.wav")
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    (folder / "again").symlink_to(tmp_path / "elsewhere")
    (folder / "loop").symlink_to(folder)
    (folder / "same.wav").symlink_to("b.wav")
    assert len(look_into(folder, {".wav"}).files) == 2


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["84/121/a.flac", "174/50/b.flac"], {"84", "174"}),
        (["dev-clean/84/121/a.flac", "dev-clean/174/50/b.flac"], {"84", "174"}),
        (["librivox/a.wav", "librivox/b.wav"], {"librivox"}),
        (["anna/a.wav", "ben/deep/b.wav"], {"anna", "ben"}),
        (["a.wav", "b.wav"], {None}),
    ],
)
def test_speakers_are_the_first_folders_that_differ(tmp_path, files, expected):
    for name in files:
        record(tmp_path / name)
    assert set(speakers(tmp_path).values()) == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    ("negatives", "unit"),
    [
        ({"n/long.wav": 160.0}, "part"),
        ({f"n/librivox/{index}.wav": 25.0 for index in range(8)}, "file"),
        ({f"n/{part}/{person}/{index}.wav": 20.0 for part in "ab" for person in range(4) for index in range(2)}, "folder"),
        ({f"n/{index}.wav": 35.0 for index in range(4)}, None),
        ({f"n/{person}/{index}.wav": 20.0 for person in range(4) for index in range(2)}, None),
    ],
)
def test_negatives_of_too_few_speakers_are_divided_no_narrower_than_needed(positives, negatives, unit):
    for name, seconds in negatives.items():
        record(positives / name, seconds)
    notes = []
    data = prepare(folder_recipe(positives), notes.append)
    assert ([note for note in notes if "too few speakers" in note] != []) is (unit is not None)
    assert unit is None or f"each {unit} is either in training or in validation" in " ".join(notes)
    seconds = [sum(recording.seconds for recording in data.negatives if recording.fold == fold) for fold in range(4)]
    assert min(seconds) >= 30
    assert sum(seconds) == pytest.approx(sum(negatives.values()))
    heard = [(recording.clip.path, time) for recording in data.negatives for time in range(*_span(recording.clip))]
    assert len(heard) == len(set(heard))  # no second is on two sides


def _span(clip):
    return round(clip.offset), round(clip.offset + clip.duration)


def test_a_speaker_of_the_word_is_never_divided_among_the_negatives(positives):
    record(positives / "n" / "person1" / "long.wav", 200.0)
    record(positives / "n" / "other" / "long.wav", 200.0)
    data = prepare(folder_recipe(positives), lambda text: None)
    fold = {recording.clip.speaker: recording.fold for recording in data.positives}["person1"]
    assert {recording.fold for recording in data.negatives if recording.clip.speaker == "person1"} == {fold}
    assert len({recording.fold for recording in data.negatives if recording.clip.speaker == "other"}) == 3  # person1 fills the fourth


def test_one_long_noise_is_divided_between_training_and_validation(positives):
    for index in range(4):
        record(positives / "n" / f"{index}.wav", 35.0)
    record(positives / "x" / "noise.wav", 60.0)
    data = prepare(folder_recipe(positives, noise=["x"]), lambda text: None)
    assert (len(data.noise), len(data.validation_noise)) == (4, 1)
    assert sum(recording.seconds for recording in [*data.noise, *data.validation_noise]) == pytest.approx(60.0)


def test_a_file_name_that_is_no_text_is_read_and_written_like_any_other(tmp_path):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.wav")
    record(tmp_path / "a.wav")
    os.rename(tmp_path / "a.wav", path)  # noqa: PTH104 - the name is made of bytes
    (clip,) = read_clips([tmp_path], lambda text: None)
    assert describe(clip.path)[2] == 1.0
    write_manifest(tmp_path / "m.jsonl", [clip])
    assert json.loads((tmp_path / "m.jsonl").read_text())["audio_filepath"] == "caf\udce9.wav"
    assert read_manifest(tmp_path / "m.jsonl")[0].path == clip.path


def test_recordings_of_a_folder_are_looked_at(tmp_path):
    time = np.arange(RATE) / RATE
    quiet = np.random.default_rng(1).normal(0, 0.0005, RATE)
    word = quiet + 0.3 * np.sin(2 * np.pi * 700 * time) * ((time > 0.3) & (time < 0.8))
    sounds = {
        "word": word,
        "double": word,
        "clipped": np.clip(20 * word, -1, 1),
        "silent": 0 * time,
        "noise": quiet,
        "short": word[6000:7600],
    }
    for name, samples in sounds.items():
        soundfile.write(tmp_path / f"{name}.wav", samples, RATE)
    (tmp_path / "broken.wav").write_bytes(b"broken")
    (report,) = look_at_folders([tmp_path])
    looks = {look.path.stem: look for look in report.looks}
    kinds = {name: [kind for kind, _ in look.problems] for name, look in looks.items()}
    assert kinds == {
        "broken": ["broken"],
        "clipped": ["clipped"],
        "double": [],
        "noise": ["no word"],
        "short": ["short"],
        "silent": ["silent"],
        "word": ["duplicate"],
    }
    assert looks["double"].word == pytest.approx((0.3, 0.8), abs=0.05)
    assert looks["double"].peak_db == pytest.approx(20 * np.log10(0.3), abs=0.2)
