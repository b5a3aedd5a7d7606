import json

import pytest

from speechtl.errors import reported


@pytest.fixture
def program(load_program):
    return load_program("training/studies/added_words")


def test_a_bundle_is_compared_with_the_first(program, tiny_bundle):
    first, second = program.measure([tiny_bundle, tiny_bundle], None, rounds=2)
    assert first["ratio"] == 1.0
    assert (second["words"], second["graph"]) == (1, "model.onnx")
    assert 0.0 < second["cpu_ms_per_second"] < 1000.0


def test_results_are_printed_for_people_and_as_json(program, tiny_bundle, monkeypatch, capsys):
    monkeypatch.setattr(program, "ROUNDS", 1)
    monkeypatch.setattr(program, "SECONDS", 1)
    program.main([str(tiny_bundle)])
    assert f"{tiny_bundle}: 1 word in model.onnx, " in capsys.readouterr().out
    program.main([str(tiny_bundle), "--json"])
    assert json.loads(capsys.readouterr().out)[0]["bundle"] == str(tiny_bundle)


def test_a_missing_bundle_is_one_sentence_and_exit_code_2(program, tmp_path, capsys):
    assert reported(lambda: program.main([str(tmp_path / "none.wake")])) == 2
    assert capsys.readouterr().err.count("\n") == 1
