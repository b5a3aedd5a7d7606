import json

import numpy as np
import pytest
import soundfile

from speechtl.audio.data import prepare, read_clips
from speechtl.audio.recipe import make_recipe
from speechtl.errors import ManifestError

RATE = 16_000


@pytest.fixture(autouse=True)
def _own_places(tmp_path, monkeypatch):
    monkeypatch.setenv("SPEECHTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SPEECHTL_DATA", raising=False)


@pytest.fixture
def manifest(tmp_path):
    """Write a manifest and its recordings; every line is a dict, `duration` 1 s by default."""

    def write(name: str, lines: list[dict]):
        (tmp_path / name).mkdir()
        full = []
        for index, line in enumerate(lines):
            line = {"audio_filepath": f"{name}/{index}.wav", "duration": 1.0, **line}
            samples = np.random.default_rng([len(name), index]).normal(0, 0.05, round(line["duration"] * RATE))
            soundfile.write(tmp_path / line["audio_filepath"], samples, RATE)
            full.append(json.dumps(line) + "\n")
        (tmp_path / f"{name}.jsonl").write_text("".join(full))
        return tmp_path / f"{name}.jsonl"

    return write


def people(count: int, clips: int = 2, **others) -> list[dict]:
    return [{"speaker": f"p{person}", **others} for person in range(count) for _ in range(clips)]


def talk(count: int = 8, seconds: float = 30.0, **others) -> list[dict]:
    return [{"speaker": f"n{person}", "duration": seconds, **others} for person in range(count)]


def recipe(positives, negatives, **data):
    values = {"name": "word", "data": {"positives": [str(positives)], "negatives": [str(negatives)], **data}}
    return make_recipe(values, base=positives.parent, source="test")


def files(recordings) -> set[str]:
    return {recording.clip.audio_filepath for recording in recordings}


def speakers(recordings) -> set[str]:
    return {recording.clip.speaker for recording in recordings}


def test_lines_of_the_test_split_are_never_used(manifest):
    positives = manifest("p", people(6) + people(2, split="test"))
    negatives = manifest("n", talk() + talk(3, split="test"))
    noise = manifest("x", [{"split": "test"}, {}, {}, {}])
    data = prepare(recipe(positives, negatives, noise=[str(noise)]), note=lambda text: None)
    used = data.clips()
    assert used
    assert not [clip for clip in used if clip.split == "test"]
    assert len([clip for clip in used if clip.audio_filepath.startswith("p/")]) == 12
    assert len([clip for clip in used if clip.audio_filepath.startswith("x/")]) == 3


def assert_apart(data) -> None:
    train, validation = data.train, data.validation
    assert not speakers(train.positives + train.negatives) & speakers(validation.positives + validation.negatives)
    assert not files(train.positives + train.negatives + train.noise) & files(
        validation.positives + validation.negatives + validation.noise
    )


@pytest.mark.parametrize("seed", range(3))
def test_no_speaker_is_on_both_sides(manifest, seed):
    positives = manifest("p", people(8))
    negatives = manifest("n", talk(6) + [{"speaker": f"p{person}", "duration": 20.0} for person in range(8)])
    made = recipe(positives, negatives)
    made = made.model_copy(update={"train": made.train.model_copy(update={"seed": seed})})
    data = prepare(made, note=lambda text: None)
    assert_apart(data)
    assert data.validation.positives
    assert len(data.train.positives) >= 6


def test_no_speaker_is_on_both_sides_when_manifests_mark_their_validation_lines(manifest):
    positives = manifest("p", people(6, split="train") + [{"speaker": f"v{person}", "split": "validation"} for person in range(3)])
    negatives = manifest("n", talk(8) + [{"speaker": f"{kind}{person}", "duration": 20.0} for kind in "pv" for person in range(3)])
    data = prepare(recipe(positives, negatives), note=lambda text: None)
    assert speakers(data.validation.positives) == {"v0", "v1", "v2"}
    assert_apart(data)


def test_with_one_speaker_the_clips_are_divided_with_a_note_and_the_negatives_by_speaker(manifest):
    positives = manifest("p", [{"speaker": "me"}] * 12)
    negatives = manifest("n", [{"speaker": f"n{person}", "duration": 10.0} for person in range(6) for _ in range(5)])
    notes = []
    data = prepare(recipe(positives, negatives), notes.append)
    assert not files(data.train.positives) & files(data.validation.positives)
    assert data.validation.positives
    assert any("one speaker" in note for note in notes)
    assert not speakers(data.train.negatives) & speakers(data.validation.negatives)


def test_negatives_in_which_the_word_is_said_are_left_out_with_a_note(manifest):
    positives = manifest("p", people(6))
    said = [{"text": "Please, WORD."}, {"label": "word"}, {"text": "the word's end"}]
    kept = [{"text": "words and swords"}, {"text": "nothing"}]
    negatives = manifest("n", talk() + [{"speaker": "x", **line} for line in said + kept])
    notes = []
    data = prepare(recipe(positives, negatives), notes.append)
    texts = {clip.text or clip.label for clip in data.clips() if clip.speaker == "x"}
    assert texts == {"words and swords", "nothing"}
    assert "Left out 3 negatives" in " ".join(notes)


def test_no_more_negatives_are_taken_than_asked_for(manifest):
    data = prepare(recipe(manifest("p", people(6)), manifest("n", talk(20)), negative_minutes=5.0), note=lambda text: None)
    seconds = sum(recording.seconds for part in (data.train, data.validation) for recording in part.negatives)
    assert 200 < seconds <= 300


@pytest.mark.parametrize("seed", range(4))
def test_one_recording_that_is_too_long_does_not_shut_out_the_others(manifest, seed):
    negatives = manifest("n", talk(8) + [{"speaker": f"long{index}", "duration": 200.0} for index in range(4)])
    made = recipe(manifest("p", people(6)), negatives, negative_minutes=3.0, validation_share=0.4)
    made = made.model_copy(update={"train": made.train.model_copy(update={"seed": seed})})
    data = prepare(made, note=lambda text: None)
    assert sum(recording.seconds for recording in data.train.negatives) >= 60
    assert sum(recording.seconds for recording in data.validation.negatives) >= 30


def test_too_few_positives_are_an_error_with_numbers(manifest):
    with pytest.raises(ManifestError, match="There are 2 positive recordings to train on and 1 to validate on; at least 5 and 1"):
        prepare(recipe(manifest("p", people(3, clips=1)), manifest("n", talk())), note=lambda text: None)


def test_too_few_negatives_are_an_error_with_numbers(manifest):
    with pytest.raises(ManifestError, match=r"s of negatives to (train|validate) on; at least 30 s"):
        prepare(recipe(manifest("p", people(6)), manifest("n", talk(3, seconds=5.0))), note=lambda text: None)


def test_a_broken_recording_is_reported_and_left_out(manifest, tmp_path):
    positives = manifest("p", people(6))
    (tmp_path / "p" / "3.wav").write_bytes(b"broken")
    notes = []
    data = prepare(recipe(positives, manifest("n", talk())), notes.append)
    assert len(data.train.positives) + len(data.validation.positives) == 11
    assert any("3.wav" in note and "Skipped" in note for note in notes)


def test_a_folder_stands_for_its_recordings_and_its_sub_folders_for_speakers(tmp_path):
    for name in ("anna/1.wav", "anna/2.flac", "ben/deep/1.ogg", "loose.wav", "notes.txt", ".hidden.wav"):
        (tmp_path / "f" / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("txt"):
            (tmp_path / "f" / name).write_text("x")
        else:
            soundfile.write(tmp_path / "f" / name, np.zeros(RATE), RATE)
    clips = read_clips([tmp_path / "f"])
    assert {(clip.audio_filepath, clip.speaker) for clip in clips} == {
        ("anna/1.wav", "anna"),
        ("anna/2.flac", "anna"),
        ("ben/deep/1.ogg", "deep"),
        ("loose.wav", None),
    }
    assert all(clip.duration == pytest.approx(1.0) for clip in clips)


def test_a_folder_without_recordings_is_an_error(tmp_path):
    with pytest.raises(ManifestError, match="holds no recordings"):
        read_clips([tmp_path])
