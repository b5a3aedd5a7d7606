import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechtl.audio.data.check import Report, validate
from speechtl.audio.data.manifest import cache_path, read_manifest, read_manifests, resolve, usable, write_manifest
from speechtl.audio.data.stats import stats
from speechtl.errors import ManifestError

RATE = 16_000


@pytest.fixture(autouse=True)
def _own_places(tmp_path, monkeypatch):
    monkeypatch.setenv("SPEECHTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SPEECHTL_DATA", raising=False)


def record(path: Path, seconds: float = 1.0, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).normal(0, 0.1, round(seconds * RATE))
    soundfile.write(path, noise, RATE)
    return path


def line(path: Path, duration: float = 1.0, **others) -> dict:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"audio_filepath": path.name, "duration": duration, "sha256": digest} | others


def manifest(path: Path, *lines) -> Path:
    path.write_text("".join((entry if isinstance(entry, str) else json.dumps(entry)) + "\n" for entry in lines))
    return path


def kinds(report: Report) -> list[tuple[str, int]]:
    return [(problem.kind, problem.line) for problem in report.problems]


def test_every_wrong_line_is_listed_with_file_and_line(tmp_path):
    good = {"audio_filepath": "a.wav", "duration": 1.0}
    path = manifest(
        tmp_path / "m.jsonl",
        good,
        "{not json",
        "[1, 2]",
        {"duration": 1.0},
        {"audio_filepath": "a.wav"},
        good | {"duration": "long"},
        good | {"duration": True},
        good | {"duration": float("nan")},
        good | {"duration": 10**400},
        good | {"speaker": 12},
        good | {"word_start": 0.8, "word_end": 0.2},
        good | {"word_start": 0.8},
        good | {"word_start": 0.8, "word_end": 3.0},
        good | {"split": "tset"},
        good | {"sha256": "../../etc"},
        good | {"duration": 0},
        good | {"text": "\ud83d hello"},
    )
    with pytest.raises(ManifestError) as caught:
        read_manifest(path)
    assert [problem.split(": ")[0] for problem in caught.value.problems] == [f"{path}:{number}" for number in range(2, 18)]
    assert "'word_end' (0.2) must be after 'word_start' (0.8)" in str(caught.value)
    every = "\n".join(caught.value.problems)
    assert "did you mean 'test'?" in every
    assert str(caught.value).endswith("and 6 more")
    assert r"'text' has half of a character in it: '\ud83d hello'" in every


def test_wrong_lines_of_several_manifests_are_listed_together(tmp_path):
    first, second = manifest(tmp_path / "a.jsonl", "{"), manifest(tmp_path / "b.jsonl", "{")
    with pytest.raises(ManifestError) as caught:
        read_manifests([first, second, tmp_path / "none.jsonl"])
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda path: None, "does not exist"),
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: path.write_text("\n \n"), "is empty"),
        (lambda path: path.write_bytes(b"\xff\xfe\x00"), "not text in UTF-8"),
    ],
)
def test_what_is_no_manifest_is_named(tmp_path, make, sentence):
    make(tmp_path / "m.jsonl")
    with pytest.raises(ManifestError, match=sentence):
        read_manifest(tmp_path / "m.jsonl")


@pytest.mark.parametrize("age", ["7", True, -1])
def test_an_age_is_a_number_of_years(tmp_path, age):
    with pytest.raises(ManifestError) as caught:
        read_manifest(manifest(tmp_path / "m.jsonl", {"audio_filepath": "a.wav", "duration": 1.0, "age": age}))
    assert "'age' must be a number of years" in caught.value.problems[0]


@pytest.mark.parametrize("channel", [0, -1, 1.5, "1", True])
def test_a_channel_is_a_whole_number_from_1_on(tmp_path, channel):
    with pytest.raises(ManifestError) as caught:
        read_manifest(manifest(tmp_path / "m.jsonl", {"audio_filepath": "a.wav", "duration": 1.0, "channel": channel}))
    assert "'channel' must be a whole number, 1 for the first channel, got" in caught.value.problems[0]


def test_two_channels_of_one_recording_are_no_duplicates_and_a_third_does_not_exist(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.full((16_000, 2), 0.1), 16_000)
    path = manifest(tmp_path / "m.jsonl", *({"audio_filepath": "a.wav", "duration": 1.0, "channel": channel} for channel in (1, 2)))
    assert kinds(validate([path])) == []
    path = manifest(tmp_path / "m.jsonl", {"audio_filepath": "a.wav", "duration": 1.0, "channel": 3})
    (problem,) = validate([path]).problems
    assert problem.message == f"{tmp_path / 'a.wav'} has 2 channels; channel 3 was asked for."


def test_unknown_keys_and_values_survive_rewriting(tmp_path):
    entry = {"audio_filepath": "ä.wav", "duration": 1.25, "offset": 0.5, "text": "naïve", "prompt": {"kind": [1, 2]}}
    path = manifest(tmp_path / "m.jsonl", entry)
    write_manifest(path, read_manifest(path))
    assert [json.loads(text) for text in path.read_text().splitlines()] == [entry]
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_manifest(tmp_path):
    path = manifest(tmp_path / "m.jsonl", {"audio_filepath": "a.wav", "duration": 1.0})
    before = path.read_text()
    clips = read_manifest(path)
    clips[0].extra["no json"] = object()
    with pytest.raises(TypeError):
        write_manifest(path, clips)
    assert path.read_text() == before


def test_a_path_is_looked_up_beside_the_manifest_then_in_the_data_folder_then_in_the_cache(tmp_path, monkeypatch):
    data = tmp_path / "data"
    digest = hashlib.sha256(b"original").hexdigest()
    entry = {"audio_filepath": "set/a.flac", "duration": 1.0, "url": "http://host/some%20where/A.WAV?raw", "source_sha256": digest}
    folder = tmp_path / "manifests"
    folder.mkdir()
    path = manifest(folder / "m.jsonl", entry, entry | {"audio_filepath": "../set/a.flac"})
    monkeypatch.setenv("SPEECHTL_DATA", str(data))
    clips = read_manifest(path)
    assert [clip.path for clip in clips] == [None, None]
    cached = cache_path(clips[0])
    assert cached == tmp_path / "cache" / "audio" / digest[:2] / f"{digest}.wav"
    assert resolve(clips[0]) is None
    for place in (cached, data / "set/a.flac", folder / "set/a.flac"):
        record(place.with_suffix(".flac")).replace(place)
        assert resolve(clips[0]) == place
    record(tmp_path / "set/a.flac")
    assert resolve(clips[1]).samefile(tmp_path / "set/a.flac")


def test_a_file_is_right_when_it_fits_either_hash(tmp_path):
    a, b = record(tmp_path / "a.wav", seed=1), record(tmp_path / "b.wav", seed=2)
    entry_b = line(b)
    entry_b["source_sha256"] = entry_b["sha256"]
    entry_b["sha256"] = "0" * 64
    assert validate([manifest(tmp_path / "m.jsonl", line(a, source_sha256="1" * 64), entry_b)]).ok


def test_all_problems_of_a_data_set_are_listed_in_the_order_of_the_lines(tmp_path):
    files = [record(tmp_path / f"{number}.flac", seed=number) for number in range(7)]
    entries = [line(file) for file in files]
    files[1].unlink()  # missing
    files[2].write_bytes(files[2].read_bytes()[:8000])  # cut short; its hash is wrong too
    entries[2].pop("sha256")
    files[3].write_text("a text, not a recording\n")
    entries[3].pop("sha256")
    entries[4]["sha256"] = "0" * 64
    entries[5]["duration"] = 0.7
    first = manifest(tmp_path / "first.jsonl", *entries, entries[0])
    second = manifest(tmp_path / "second.jsonl", entries[6])
    report = validate([first, second])
    assert kinds(report) == [("missing", 2), ("broken", 3), ("broken", 4), ("hash", 5), ("duration", 6), ("duplicate", 8), ("duplicate", 1)]
    assert [problem.manifest for problem in report.problems[-2:]] == [first, second]
    assert [problem.kind for problem in report.fatal] == ["hash", "duplicate", "duplicate"]
    assert len(report.broken) == 4
    assert str(report.problems[0]).startswith(f"{first}:2: ")


def test_damage_in_the_middle_of_a_recording_is_found(tmp_path):
    path = record(tmp_path / "a.flac", seconds=3)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 3000] = bytes(3000)
    path.write_bytes(data)
    report = validate([manifest(tmp_path / "m.jsonl", {"audio_filepath": "a.flac", "duration": 3.0})])
    assert kinds(report) == [("broken", 1)]


def test_a_recording_without_hashes_that_stands_twice_under_two_names_is_found(tmp_path):
    record(tmp_path / "a.wav")
    record(tmp_path / "b.wav")
    path = manifest(tmp_path / "m.jsonl", *({"audio_filepath": name, "duration": 1.0} for name in ("a.wav", "b.wav")))
    assert kinds(validate([path])) == [("duplicate", 2)]


def test_two_parts_of_one_long_recording_are_no_duplicates(tmp_path):
    path = record(tmp_path / "long.wav", seconds=4)
    parts = [line(path, 2.0), line(path, 2.0, offset=2.0), line(path, 2.0, offset=3.0)]
    assert kinds(validate([manifest(tmp_path / "m.jsonl", *parts)])) == [("broken", 3)]


def test_a_speaker_in_two_splits_is_found_across_manifests(tmp_path):
    lines = [line(record(tmp_path / f"{n}.wav", seed=n), speaker=speaker) for n, speaker in enumerate(["ann", "ann", "bob", "eve", "eve"])]
    train = manifest(tmp_path / "train.jsonl", lines[0] | {"split": "train"}, lines[2] | {"split": "train"}, lines[3])
    test = manifest(tmp_path / "test.jsonl", lines[1] | {"split": "test"}, lines[4] | {"split": "test"})
    report = validate([train, test])
    assert kinds(report) == [("speaker", 1), ("speaker", 2)]
    assert f"'ann' is in split 'test' here (1 line) and in split 'train' at {train}:1" in report.problems[0].message
    assert len(report.fatal) == 2


def test_lines_without_a_split_count_as_training(tmp_path):
    lines = [line(record(tmp_path / f"{n}.wav", seed=n), speaker="ann") for n in range(3)]
    assert validate([manifest(tmp_path / "m.jsonl", lines[0], lines[1] | {"split": "train"})]).ok
    assert kinds(validate([manifest(tmp_path / "m.jsonl", lines[0], lines[2] | {"split": "test"})])) == [("speaker", 2)]


def test_the_same_manifest_given_twice_is_read_once(tmp_path):
    path = manifest(tmp_path / "m.jsonl", line(record(tmp_path / "a.wav")))
    assert validate([path, tmp_path / "." / "m.jsonl"]).clips == 1


def test_broken_files_are_reported_and_skipped(tmp_path):
    names = ["good.wav", "short.flac", "text.wav", "gone.wav"]
    for name in names:
        record(tmp_path / name)
    path = manifest(tmp_path / "m.jsonl", *({"audio_filepath": name, "duration": 1.0} for name in names))
    (tmp_path / "short.flac").write_bytes((tmp_path / "short.flac").read_bytes()[:9000])
    (tmp_path / "text.wav").write_text("a text\n")
    (tmp_path / "gone.wav").unlink()
    skipped: list[str] = []
    left = usable(read_manifest(path), lambda clip, reason: skipped.append(clip.audio_filepath))
    assert [clip.audio_filepath for clip in left] == ["good.wav"]
    assert skipped == names[1:]


def test_skipping_is_never_silent(tmp_path, caplog):
    record(tmp_path / "good.wav")
    path = manifest(tmp_path / "m.jsonl", *({"audio_filepath": name, "duration": 1.0} for name in ("good.wav", "gone.wav")))
    usable(read_manifest(path))
    assert f"{path}:2" in caplog.text
    assert "gone.wav is missing" in caplog.text


def test_no_usable_clip_at_all_is_an_error(tmp_path):
    path = manifest(tmp_path / "m.jsonl", {"audio_filepath": "gone.wav", "duration": 1.0})
    with pytest.raises(ManifestError, match="The only clip cannot be used"):
        usable(read_manifest(path), lambda clip, reason: None)


def test_stats_count_every_split(tmp_path):
    entry = {"audio_filepath": "a.wav", "duration": 1800.0, "license": "MIT", "label": "yes"}
    path = manifest(
        tmp_path / "m.jsonl",
        entry | {"split": "test", "speaker": "ann"},
        entry | {"split": "train"},
        entry | {"split": "train", "speaker": "bob"},
    )
    test, train = stats([path])
    assert (test.split, test.clips, test.hours, test.speakers) == ("test", 1, 0.5, 1)
    assert (train.split, train.clips, train.hours, train.speakers, train.without_speaker) == ("train", 2, 1.0, 1, 1)
    assert train.labels == {"yes": 2}
    assert train.licences == {"MIT": 2}
