import json

import numpy as np
import pytest
import soundfile

pytest.importorskip("torch", reason="torch is not installed")

from speechtl.adapt.clips import Wanted, read_inbox
from speechtl.errors import SpeechtlError

RATE = 16_000
NAME = "20261121T0930{second:02d}.345Z_computer_0.97.wav"


def write(path, seconds=1.0, seed=0, level=0.1):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.random.default_rng(seed).normal(0, level, round(seconds * RATE)), RATE)


@pytest.fixture
def said():
    return []


def read(said, folder=None, manifest=None):
    return read_inbox(folder, manifest, Wanted(["computer"], ["hey home"]), said.append)


def test_labels_are_the_sub_folders_and_everything_else_is_counted_and_told(tmp_path, said):
    write(tmp_path / "word" / "a.wav", seed=1)
    write(tmp_path / "not-word" / "b.wav", seed=2)
    write(tmp_path / "unsure" / "c.wav", seed=3)
    write(tmp_path / "d.wav", seed=4)
    (tmp_path / "word" / "damaged.wav").write_bytes(b"RIFF nothing")
    write(tmp_path / "word" / "silent.wav", level=0.0)
    inbox = read(said, tmp_path)
    assert [(clip.recording.clip.audio_filepath, clip.is_word) for clip in inbox.clips] == [("a.wav", True), ("b.wav", False)]
    assert (inbox.unsure, inbox.unlabelled, len(inbox.problems)) == (1, 1, 2)
    told = " ".join(said)
    assert "1 clip of the word and 1 of anything else." in told
    assert "Left out 1 clip labelled unsure." in told
    assert "Left out 1 clip without a label." in told
    assert "Left out 2 clips that cannot be used." in told
    assert "is silent" in told


def test_a_clip_given_twice_counts_once_and_one_with_both_labels_not_at_all(tmp_path, said):
    for name in ("word/a.wav", "word/b.wav", "not-word/x.wav", "word/x.wav"):
        write(tmp_path / name, seed=len(name.split("/")[1]) + ("x" in name))
    inbox = read(said, tmp_path)
    assert (len(inbox.clips), inbox.repeated, inbox.contradicting) == (1, 1, 2)


def test_clips_that_were_saved_for_another_word_of_the_detector_are_left_out(tmp_path, said):
    write(tmp_path / "word" / NAME.format(second=1), seed=1)
    write(tmp_path / "word" / NAME.format(second=2).replace("computer", "hey_home"), seed=2)
    write(tmp_path / "not-word" / NAME.format(second=3).replace("computer_0.97", "hey_home_near_0.41"), seed=3)
    inbox = read(said, tmp_path)
    assert ([clip.is_word for clip in inbox.clips], inbox.of_other_words) == ([True], 2)
    assert "Left out 2 clips of another word." in " ".join(said)


def test_files_that_are_no_recordings_are_named(tmp_path, said):
    write(tmp_path / "word" / "a.wav", seed=1)
    for label in ("word", "not-word"):
        (tmp_path / label).mkdir(exist_ok=True)
        (tmp_path / label / "talk.odt").write_bytes(b"odd")
    assert len(read(said, tmp_path).clips) == 1
    assert "1 recording is used; skipped: 1 .odt file." in said[0]
    assert "0 recordings are used; skipped: 1 .odt file." in said[1]


def test_a_name_with_digits_that_are_no_time_is_a_name(tmp_path, said):
    write(tmp_path / "word" / "20261399T999999.999Z_computer_0.97.wav", seed=1)
    write(tmp_path / "word" / NAME.format(second=1), seed=2)
    assert len({clip.occasion for clip in read(said, tmp_path).clips}) == 2


def test_a_manifest_gives_labels_or_texts(tmp_path, said):
    lines = []
    for index, line in enumerate(
        [{"label": "word"}, {"label": "not-word"}, {"label": "unsure"}, {"text": "my computer"}, {"text": "no"}, {}, {"label": "Word"}]
    ):
        write(tmp_path / f"{index}.wav", seed=index)
        lines.append(json.dumps({"audio_filepath": f"{index}.wav", "duration": 1.0, **line}))
    (tmp_path / "m.jsonl").write_text("\n".join(lines))
    inbox = read(said, manifest=tmp_path / "m.jsonl")
    assert [clip.is_word for clip in inbox.clips] == [True, False, True, False]
    assert (inbox.unsure, inbox.unlabelled) == (1, 2)


def test_clips_of_one_minute_are_held_back_together(tmp_path, said):
    for number, second in enumerate((1, 9)):
        write(tmp_path / "not-word" / NAME.format(second=second), seed=number)
    write(tmp_path / "not-word" / NAME.format(second=1).replace("T0930", "T0935"), seed=7)
    folds = read(said, tmp_path).folds
    assert folds[0] == folds[1] != folds[2]


def test_takes_of_one_new_speaker_are_held_back_one_by_one(tmp_path, said):
    for number in range(5):
        write(tmp_path / "word" / "anna" / f"{number}.wav", seed=number)
    inbox = read(said, tmp_path)
    assert inbox.held_back
    assert len(set(inbox.folds)) == 4


def test_one_clip_cannot_be_held_back(tmp_path, said):
    write(tmp_path / "word" / "a.wav")
    assert not read(said, tmp_path).held_back


def test_a_long_recording_without_the_word_is_taken_in_pieces_and_its_quarters_are_held_back(tmp_path, said):
    write(tmp_path / "not-word" / "television.wav", 250.0)
    inbox = read(said, tmp_path)
    assert len(inbox.clips) == 8
    assert inbox.folds == sorted(inbox.folds)
    assert set(inbox.folds) == {0, 1, 2, 3}


def test_without_any_labelled_clip_the_error_says_where_they_belong(tmp_path, said):
    write(tmp_path / "a.wav")
    with pytest.raises(SpeechtlError, match="Move clips into its sub-folders word and not-word"):
        read(said, tmp_path)
    with pytest.raises(SpeechtlError, match="is not a folder"):
        read(said, tmp_path / "a.wav")
