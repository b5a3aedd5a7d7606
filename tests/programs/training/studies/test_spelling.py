"""The table of words from their spelling is filled row by row, and gone on with."""

import csv
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from speechtl.audio.data.manifest import Clip, read_manifest


@pytest.fixture
def program(load_program):
    return load_program("training/studies/spelling")


def test_rows_are_written_at_once_and_not_made_again(program, tmp_path, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(program, "recall", lambda key, *_: asked.append(key) or program.Heard(0.5, 0.25, 0.4, 0.2, 3.0, 4.7))
    arguments = ["wake_computer", "--out", str(tmp_path / "out"), "--takes", "0", "3", "10"]
    done = program.main(arguments)
    assert asked == [("wake_computer", takes, synthesise, 0) for takes, synthesise in ((0, 1), (3, 1), (10, 0), (10, 1))]
    with (tmp_path / "out" / "spelling.csv").open() as file:
        assert [row["clean"] for row in csv.DictReader(file)] == ["0.5000"] * 4
    assert program.main([*arguments, "--seeds", "2"]).keys() > done.keys()
    assert len(asked) == 8
    assert "| computer | 0.50, 0.25; 0.40, 0.20, 3 in 4.7 h |" in capsys.readouterr().out


def test_no_speaker_is_in_training_and_in_the_test(program, tmp_path):
    lines = [{"audio_filepath": f"{index}.wav", "duration": 1.0, "speaker": f"p{index % 20}"} for index in range(60)]
    for line in lines:
        (tmp_path / line["audio_filepath"]).write_bytes(b"")
    (tmp_path / "word.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    pool, tests = program.divided(read_manifest(tmp_path / "word.jsonl"))
    assert not {clip.speaker for clip in pool} & {clip.speaker for clip in tests}
    assert len(pool) + len(tests) == 60
    assert 3 <= len(tests) <= 35


def test_a_speaker_gives_ten_takes_before_the_next_one_speaks(program):
    amounts = {"a": 12, "b": 4, "c": 30}
    clips = [Clip(f"{name}{index}.wav", 1.0, manifest=Path("m"), line=1, speaker=name) for name, n in amounts.items() for index in range(n)]
    speakers = [clip.speaker for clip in program.recorded(clips, np.random.default_rng(0))]
    assert {name: speakers.count(name) for name in amounts} == amounts
    first = speakers[: 10 + 4 + 10]
    assert sum(own == other for own, other in pairwise(first)) == 24 - 3
