import re

import pytest


@pytest.fixture
def program(load_program):
    pytest.importorskip("webrtcvad", reason="the gate's package is not installed: pip install 'speechtl[vad]'")
    return load_program("training/studies/gate_study")


def test_words_are_counted_with_and_without_the_gate(program, tiny_bundle, corpus, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    arguments = ["--positives", str(corpus / "positives.jsonl"), "--noise", str(corpus / "noise.jsonl"), "--pause", "3"]
    assert program.main([str(tiny_bundle), *arguments]) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if " of 3" in line]
    assert [re.search(r"(quiet|noise).*(no|yes) .* (\d) of 3", row).groups()[:2] for row in rows] == [
        ("quiet", "no"),
        ("quiet", "yes"),
        ("noise", "no"),
        ("noise", "yes"),
    ]
    assert "3 of 3" in rows[0]
    assert "100 %" in rows[0]
    assert "100 %" not in rows[1]


def test_missing_recordings_are_a_sentence_and_exit_code_2(program, tiny_bundle, tmp_path, capsys):
    assert program.main([str(tiny_bundle), "--positives", str(tmp_path / "none.jsonl")]) == 2
    assert capsys.readouterr().err.startswith("gate_study: ")
