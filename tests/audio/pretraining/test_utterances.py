import json

import pytest

from speechtl.audio.pretraining.phones import numbers
from speechtl.audio.pretraining.utterances import read_tested, read_utterances
from speechtl.errors import ManifestError

pytest.importorskip("espeakng_loader")


def read(transcribed, unlabelled=(), longest=10.0):
    notes = []
    return read_utterances(list(transcribed), list(unlabelled), longest=longest, note=notes.append), notes


def test_transcripts_become_phones_and_other_recordings_have_none(manifest):
    found, notes = read([manifest("a.jsonl", ["yes"])], [manifest("b.jsonl", ["yes"])])
    assert [one.phones for one in found] == [tuple(numbers(["Y", "EH", "S"])), None]
    assert notes == []


def test_what_cannot_be_used_is_counted_by_its_reason(manifest):
    broken = manifest("broken.jsonl", ["yes", "no"])
    (broken.parent / "broken.jsonl-1.wav").write_bytes(b"no sound")
    found, notes = read(
        [
            manifest("good.jsonl", ["yes"]),
            manifest("silent.jsonl", [None, "...", "go"]),
            manifest("foreign.jsonl", ["go 你好 left"]),
            manifest("long.jsonl", ["go"], seconds=3.0),
            manifest("short.jsonl", ["go"], seconds=0.1),
            manifest("crowded.jsonl", ["many words that nobody can say within so short a time as one second is"]),
            broken,
        ],
        longest=2.0,
    )
    assert len(found) == 3
    assert sorted(note.partition(" (the first")[0] for note in notes) == [
        "Left out 1 recording: a text that is too long for the recording.",
        "Left out 1 recording: longer than the 2 s that a window holds.",
        "Left out 1 recording: missing or broken",
        "Left out 1 recording: no text.",
        "Left out 1 recording: shorter than 0.2 s.",
        "Left out 2 recordings: a text without words, or with signs or sounds that English does not have.",
    ]


def test_nothing_is_learned_from_tests_or_from_those_who_speak_in_them(manifest):
    tested = manifest("test.jsonl", ["yes"], split="test")
    same_person = manifest("train.jsonl", ["no", "go"])
    lines = [json.loads(line) for line in same_person.read_text().splitlines()]
    lines[0]["speaker"] = "test.jsonl-0"
    same_person.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found, notes = read([tested, same_person])
    assert [one.clip.text for one in found] == ["go"]
    assert "Left out 2 recordings: they, or whoever speaks in them, are kept for tests." in notes


def test_nothing_is_learned_from_those_who_speak_in_tests_of_another_manifest(manifest):
    tested = read_tested([manifest("test.jsonl", ["yes"], split="test")], longest=10.0, note=print)
    other = manifest("train.jsonl", ["no", "go"])
    other.write_text(other.read_text().replace('train.jsonl-0"', 'test.jsonl-0"'))
    notes: list[str] = []
    found = read_utterances([other], [], longest=10.0, note=notes.append, tested=tested)
    assert [one.clip.text for one in found] == ["go"]
    assert notes == ["Left out 1 recording: they, or whoever speaks in them, are kept for tests."]


def test_tests_are_read_for_tests(manifest):
    tested = manifest("test.jsonl", ["yes", "no"], split="test")
    assert [one.clip.text for one in read_tested([tested, manifest("train.jsonl")], longest=9.0, note=print)] == ["yes", "no"]


def test_tests_that_cannot_be_used_are_counted_by_their_reason(manifest):
    notes = []
    tested = [manifest("a.jsonl", ["yes", None, "..."], split="test"), manifest("b.jsonl", ["no"], seconds=3.0, split="test")]
    assert [one.clip.text for one in read_tested(tested, longest=2.0, note=notes.append)] == ["yes"]
    assert [note.partition(":")[0] for note in notes] == ["Left out 1 test recording"] * 3
    assert "no text" in notes[0]


def test_it_is_an_error_when_nothing_is_left(manifest):
    with pytest.raises(ManifestError, match="The only recording cannot be used for pretraining"):
        read([manifest("silent.jsonl", [None])])
