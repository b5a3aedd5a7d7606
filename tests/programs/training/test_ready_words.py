from pathlib import Path

import pytest

from speechtl.audio.run import Run

REPORT = {
    "slices": [
        {"kind": "condition", "name": "clean", "detected": 9, "clips": 10, "recall": 0.9, "recall_low": 0.555, "recall_high": 0.997},
        {"kind": "negatives", "name": "readers", "events": 1, "hours": 2.5, "per_hour_high": 2.23},
    ],
    "negatives": {"events": 1, "hours": 2.5, "per_hour_high": 2.23},
    "delay_ms": {"p50": 120.0, "p95": 210.0},
}
PART = {"clips": 20, "minutes": 3.0, "speakers": 5}
ABOUT = {
    "name": "smart mirror",
    "phrases": ["smart mirror"],
    "encoder": {"name": "conv-ctc", "licence": "Apache-2.0"},
    "data": {"positives": PART, "negatives": PART, "noise": {**PART, "speakers": 0}, "music": PART, "licences": ["CC-BY-4.0"]},
    "versions": {"speechtl": "0.1.0", "torch": "2.13.0"},
    "licence": {"commercial": "yes", "reasons": ["name the authors"]},
}


@pytest.fixture
def program(load_program):
    return load_program("training/ready_words")


def test_a_card_says_how_well_the_word_does_and_what_it_was_made_from(program):
    lines = list(program.card(ABOUT, REPORT, "0f" * 32))
    assert lines[0] == "smart mirror: 9 of 10 found in quiet (56 to 100 %), 1 false accept in 2.5 h (at most 2.23 an hour)"
    assert "| readers | 1 | 2.50 | 2.23 |" in lines
    assert "- positives: 20 recordings, 3 minutes, 5 speakers" in lines
    assert "- noise: 20 recordings, 3 minutes" in lines
    assert f"The bundle is `ready.wake`, SHA-256 `{'0f' * 32}`, made with speechtl 0.1.0, torch 2.13.0." in lines
    command = "\n".join(lines[lines.index("## Repeat it") :])
    assert "speechtl evaluate 'smart mirror'" in command
    assert "--positives data_manifests/wake_smart_mirror.jsonl" in command


def test_runs_are_taken_at_the_rate_that_ready_words_are_aimed_at(program, tmp_path, monkeypatch):
    points = [{"false_accepts_per_hour": rate, "threshold": 1.0 - rate / 10} for rate in (0.3, 0.5, 1.0)]
    about = {"name": "alexa", "detector": {"threshold": 0.97, "smoothing": 2}, "operating_points": points}
    monkeypatch.setattr(program, "is_run", lambda folder: True)
    monkeypatch.setattr(program, "load_run", lambda folder: Run(folder, about, None))
    assert program._run(Path("alexa.toml"), tmp_path).about["detector"] == {"threshold": 0.95, "smoothing": 2}
    assert about["detector"]["threshold"] == 0.97
