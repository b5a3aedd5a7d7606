"""The table of words from their spelling is filled row by row, and gone on with."""

import csv
import json

import pytest

from speechtl.audio.data.manifest import read_manifest


@pytest.fixture
def program(load_program):
    return load_program("training/studies/spelling")


def test_rows_are_written_at_once_and_not_made_again(program, tmp_path, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(program, "recall", lambda key, *_: asked.append(key) or (0.5, 0.25))
    arguments = ["wake_computer", "--out", str(tmp_path / "out"), "--takes", "0", "3", "10"]
    done = program.main(arguments)
    assert asked == [("wake_computer", takes, synthesise, 0) for takes, synthesise in ((0, 1), (3, 1), (10, 0), (10, 1))]
    with (tmp_path / "out" / "spelling.csv").open() as file:
        assert [row["clean"] for row in csv.DictReader(file)] == ["0.5000"] * 4
    assert program.main([*arguments, "--seeds", "2"]).keys() > done.keys()
    assert len(asked) == 8
    assert "| computer | 0.50, 0.25 |" in capsys.readouterr().out


def test_no_speaker_is_in_training_and_in_the_test(program, tmp_path):
    lines = [{"audio_filepath": f"{index}.wav", "duration": 1.0, "speaker": f"p{index % 20}"} for index in range(60)]
    for line in lines:
        (tmp_path / line["audio_filepath"]).write_bytes(b"")
    (tmp_path / "word.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    pool, tests = program.divided(read_manifest(tmp_path / "word.jsonl"))
    assert not {clip.speaker for clip in pool} & {clip.speaker for clip in tests}
    assert len(pool) + len(tests) == 60
    assert 3 <= len(tests) <= 35
