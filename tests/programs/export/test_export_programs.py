import json
from pathlib import Path

import numpy as np
import pytest

from speechtl.errors import SpeechtlError, reported
from speechtl.runtime.bundle.wake_word import open_bundle


@pytest.mark.parametrize("name", ["export/verify", "export/to_openwakeword"])
def test_every_program_has_help_that_begins_with_what_to_type(load_program, name, capsys):
    with pytest.raises(SystemExit) as stopped:
        load_program(name).main(["--help"])
    assert stopped.value.code == 0
    assert f"python {name}.py" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("export/verify", ["{}/none.wake"]),
        ("export/to_openwakeword", ["{}/none", "--out", "{}/out"]),
    ],
)
def test_what_is_not_there_is_one_sentence_and_exit_code_2(load_program, name, arguments, tmp_path, capsys):
    program = load_program(name)
    assert reported(lambda: program.main([argument.format(tmp_path) for argument in arguments])) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_runtime_reports_from_its_own_process(load_program, tiny_bundle):
    import sys

    results = load_program("export/verify").verify_in(Path(sys.executable), tiny_bundle, "onnxruntime")
    assert [(result["graph"], result["ok"]) for result in results] == [("model.onnx", True)]
    json.dumps(results)


def test_what_was_measured_is_written_into_the_bundle_beside_what_it_says_of_others(load_program, tiny_bundle, tmp_path):
    path = tmp_path / "a.wake"
    path.write_bytes(tiny_bundle.read_bytes())
    before = open_bundle(path)
    other = {"graph": "model.onnx", "engine": "tflite-runtime", "largest_difference": 0.01, "tolerance": 0.1, "streams": 25, "ok": True}
    load_program("export/verify").certify(path, [other])
    after = open_bundle(path)
    assert after.graphs["model.onnx"].measured == ("onnxruntime", "tflite-runtime")
    assert after.about == {**before.about, "parity": [*before.about["parity"], other]}
    assert dict(after.files) == dict(before.files)
    load_program("export/verify").certify(path, [{**other, "ok": False}])
    assert open_bundle(path).graphs["model.onnx"].measured == ("onnxruntime",)


def test_scores_that_come_later_are_compared_where_they_belong(load_program):
    own = np.zeros(60)
    own[[20, 21, 40]] = (0.9, 0.5, 0.7)
    compare = load_program("export/to_openwakeword").compare
    assert compare(own, np.concatenate([np.zeros(7), own])) == (0.0, 7)
    assert compare(own, own[3:]) == (0.0, -3)
    with pytest.raises(SpeechtlError, match="--audio"):
        compare(np.zeros(60), np.zeros(60))
