"""What hours of mined speech bring: drawn, measured and gone on with."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from speechtl.audio.data.manifest import read_manifest
from speechtl.audio.evaluation.scoring import PlayedWord, ScoredStream
from speechtl.errors import ManifestError
from speechtl.runtime.trigger import TriggerSettings


@pytest.fixture
def program(load_program):
    return load_program("training/studies/mining")


def arguments(folder) -> list[str]:
    given = [f"{option} {folder / name}.jsonl" for option, name in (("--mine", "m"), ("--positives", "p"), ("--others", "o"))]
    return [str(folder / "word.toml"), *" ".join(given).split(), "--out", str(folder / "out"), "--hours", "0", "5"]


def test_rows_are_written_at_once_and_not_made_again(program, tmp_path, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(program, "trained", lambda hours, _: asked.append(hours))
    numbers = {"heard": 4.9, "minutes": 15.0, "speech": 2.0, "recall 0.8": 0, "recall 0.9": 3, "recall 0.95": 8}
    monkeypatch.setattr(program, "measure", lambda *_: numbers)
    program.main(arguments(tmp_path))
    program.main([*arguments(tmp_path), "15"])
    assert asked == [0.0, 5.0, 15.0]
    assert "| 15 | 4.90 h | 15.0 | 0 in 2.00 h (0.0 to 1.5 an hour) | 3 in 2.00 h (0.4 to 3.9 an hour) |" in capsys.readouterr().out


def test_more_hours_contain_the_fewer_and_no_one_of_the_test_split(program, tmp_path):
    lines = [{"audio_filepath": f"{index}.wav", "duration": 360.0, "speaker": f"p{index % 6}"} for index in range(30)]
    for line in lines:
        (tmp_path / line["audio_filepath"]).write_bytes(b"")
    lines[0]["split"] = "test"
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    options = SimpleNamespace(mine=[tmp_path / "m.jsonl"], out=tmp_path)
    few, many = (read_manifest(program.draw(hours, options)) for hours in (0.95, 1.95))
    assert [len(few), len(many)] == [10, 20]
    assert {clip.path for clip in few} < {clip.path for clip in many}
    assert "p0" not in {clip.speaker for clip in many}
    with pytest.raises(ManifestError, match=r"There are 2.50 hours to mine; 3 were asked for"):
        program.draw(3.0, options)


def test_the_threshold_is_the_highest_with_the_recall(program):
    logits = np.full(1000, -14.0)
    logits[50::100] = np.arange(10) - 4.5
    words = [PlayedWord(time - 0.5, time, index) for index, time in enumerate(np.arange(50, 1000, 100) * 0.08)]
    stream = ScoredStream((1.0 / (1.0 + np.exp(-logits))).astype(np.float32), np.arange(1000) * 0.08, 0.08, 0.0, words)
    trigger = program.trigger_for(0.8, SimpleNamespace(words={"clean": stream}), TriggerSettings(0.5, 1))
    assert np.log(trigger.threshold / (1.0 - trigger.threshold)) == pytest.approx(-2.5, abs=0.06)
