import json

import pytest
from typer.testing import CliRunner

from speechtl.cli.app import app, main
from speechtl.errors import SpeechtlError
from speechtl.image.predict import predict_files


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SPEECHTL_CACHE", str(tmp_path / "cache"))


def run(*arguments) -> str:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_train_and_predict_write_json_for_programs(shapes):
    about = json.loads(run("image", "train", shapes / "shapes.toml", "--out", shapes / "run", "--json"))
    assert about["folder"] == str(shapes / "run")
    assert {"accuracy", "low", "high", "auc"} <= about["validation"][0].keys()
    files = [shapes / "shapes/cross/0.png", shapes / "shapes/square/0.png"]
    lines = run("image", "predict", shapes / "run", *files).splitlines()
    assert [json.loads(line)["file"] for line in lines] == [str(file) for file in files]


def test_a_graph_of_a_run_folder_is_refused(tmp_path):
    with pytest.raises(SpeechtlError, match="is a run folder; leave out --graph"):
        list(predict_files(tmp_path, [tmp_path / "a.png"], graph="model.onnx"))


def test_train_tells_people_the_accuracy_with_limits(shapes):
    assert "label: accuracy" in run("image", "train", shapes / "shapes.toml", "--out", shapes / "run")


def test_pretraining_makes_a_backbone_that_recipes_can_name(shapes):
    assert 'Recipes may now say: backbone = "shapes"' in run("image", "pretrain", shapes / "shapes.toml")
    (shapes / "b.toml").write_text((shapes / "shapes.toml").read_text().replace('"small"', '"shapes"').replace('"scratch"', '"pretrained"'))
    run("image", "train", shapes / "b.toml", "--out", shapes / "run")


@pytest.mark.parametrize("command", ["train", "predict", "pretrain"])
def test_every_command_has_an_example(command):
    assert "Example: speechtl image" in run("image", command, "--help")


def test_a_picture_that_cannot_be_read_is_exit_code_2(shapes, monkeypatch, capsys):
    run("image", "train", shapes / "shapes.toml", "--out", shapes / "run")
    (shapes / "bad.png").write_bytes(b"x")
    monkeypatch.setattr("sys.argv", ["speechtl", "image", "predict", str(shapes / "run"), str(shapes / "bad.png")])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert "1 of 1 picture could not be read" in capsys.readouterr().err
