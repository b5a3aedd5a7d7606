import json

import pytest

from speechtl.audio.data.clips import read_clips
from speechtl.audio.evaluation.hours.listing import list_negatives
from speechtl.audio.evaluation.material import Plan
from speechtl.errors import ManifestError


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def write(path, lines):
    path.write_text("".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture
def listing(model, tmp_path):
    """Return a function that lists negatives, with what it notes."""

    def make(*negatives, **choices):
        notes = []
        return list_negatives(tmp_path / "list.jsonl", Plan([], negatives, **choices), model, [], notes.append), notes

    return make


@pytest.mark.parametrize("kind", ["lines", "folder", "array", "recording"])
def test_clips_are_those_of_the_manifest(listing, corpus, kind):
    if kind == "array":
        (corpus / "a.json").write_text(json.dumps(lines_of(corpus / "negatives.jsonl")))
    path = corpus / {"lines": "negatives.jsonl", "folder": "negatives", "array": "a.json", "recording": "negatives/0.wav"}[kind]
    expected = [clip for clip in read_clips([path]) if clip.split in ("train", None)]
    listed, _ = listing(path, split="train")
    given = [listed.clip(index) for index in range(len(listed))]
    assert given == expected
    assert [(clip.path, clip.where) for clip in given] == [(clip.path, clip.where) for clip in expected]
    assert list(listed.durations) == [clip.duration for clip in expected]


def test_a_missing_hash_is_computed_and_other_keys_stay(listing, corpus):
    lines = [
        {key: value for key, value in line.items() if key != "sha256"} | {"room": "hall"} for line in lines_of(corpus / "negatives.jsonl")
    ]
    listed, _ = listing(write(corpus / "n.jsonl", lines))
    assert listed.clip(0).sha256 == lines_of(corpus / "negatives.jsonl")[8]["sha256"]
    assert listed.clip(0).extra == {"room": "hall"}


def test_wrong_lines_are_all_reported_with_their_numbers(listing, corpus, monkeypatch):
    monkeypatch.setattr("speechtl.audio.evaluation.hours.listing.MOST_PROBLEMS", 2)
    good = lines_of(corpus / "negatives.jsonl")[0]
    path = write(corpus / "n.jsonl", [good, "{\n", "\n", {"audio_filepath": "a"}, {"duration": 1}])
    with pytest.raises(ManifestError, match="3 problems in manifests") as error:
        listing(path)
    assert [problem.split(": ")[0] for problem in error.value.problems] == [f"{path}:2", f"{path}:4"]


def test_recordings_that_are_not_here_are_counted_in_one_sentence(listing, corpus):
    lines = lines_of(corpus / "negatives.jsonl")
    for line in lines[1:3]:
        line["audio_filepath"] = "none.wav"
    listed, notes = listing(write(corpus / "n.jsonl", lines), split="train")
    assert len(listed) == 4
    assert [note for note in notes if "n.jsonl: 2 recordings are missing; the first: none.wav" in note]


def test_nothing_left_says_why(listing, corpus):
    with pytest.raises(ManifestError, match=r"is left to evaluate on\. Left out: 11 recordings of another split than 'dev'"):
        listing(corpus / "negatives.jsonl", split="dev")
    with pytest.raises(ManifestError, match="The only recording cannot be used"):
        listing(write(corpus / "n.jsonl", [{"audio_filepath": "none.wav", "duration": 1.0}]))
    with pytest.raises(ManifestError, match="does not exist"):
        listing(corpus / "none")
