import json
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from speechtl.audio.encoders import conv_ctc
from speechtl.transfer import load_tensors

pytest.importorskip("espeakng_loader")
PROGRAM = Path(__file__).parents[2] / "training" / "pretrain.py"
TEXTS = ["yes", "no", "go left", "turn right now", "stop"]


@pytest.fixture
def recipe(tmp_path):
    """Return a recipe of a few seconds of sounds, whose name says what is wrong with their texts: nothing."""
    lines = []
    for index, text in enumerate(TEXTS * 4):
        path = tmp_path / f"{index}.wav"
        soundfile.write(path, 0.1 * np.random.default_rng(index).standard_normal(48_000), 16_000)
        split = "test" if index % 5 == 4 else "train"
        line = {"audio_filepath": path.name, "duration": 3.0, "text": text, "speaker": f"{split}-{index % 4}", "split": split}
        age = {4: {"age": 7}, 9: {"age": 30}}.get(index, {})
        lines.append(line | age | {"license": "MIT", "source": "made here", "sha256": f"{index:064d}"})
    (tmp_path / "some.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    path = tmp_path / "small.toml"
    path.write_text(
        'name = "small"\nencoder = "conv-ctc-tiny"\n[data]\ntranscribed = ["some.jsonl"]\ntest = ["some.jsonl"]\nvalidation = 0.3\n'
        "repeats = 3\n[tasks]\nteacher_weight = 0\n[train]\nepochs = 2\nbatch_size = 1\npacks = 1\nguises = 1\n"
    )
    return path


@pytest.fixture(autouse=True)
def few_rooms(monkeypatch):
    monkeypatch.setattr("speechtl.audio.pretraining.pretrain.ROOMS", 2)


def test_a_recipe_leaves_weights_a_card_and_a_log(load_program, recipe, tmp_path, capsys):
    out = tmp_path / "out"
    assert load_program("pretrain").main([str(recipe), "--out", str(out), "--cache", str(tmp_path / "cache")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["data"]["recorded"]["licences"] == {"MIT": told["data"]["recorded"]["recordings"]}
    tested = {name: result["utterances"] for name, result in told["recognition"].items() if name.startswith("test")}
    assert tested.pop("test") == sum(tested.values())
    assert tested["test, adults"] == tested["test, children"] == 1
    assert "validation" in told["recognition"]
    encoder = conv_ctc.load("conv-ctc-tiny", out / "encoder.safetensors")
    assert encoder.info.source_hours == told["data"]["recorded"]["hours"]
    assert not torch.equal(encoder.groups["widen"][0].weight, conv_ctc.build("conv-ctc-tiny").groups["widen"][0].weight)
    assert len((out / "log.csv").read_text().splitlines()) == 3
    card = (out / "card.md").read_text()
    for said in ("MIT", "Commercial use", "| test |"):
        assert said in card
    assert not (out / "checkpoint.safetensors").exists()


def test_words_said_alone_are_synthesised_and_told_apart(load_program, recipe, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("speechtl.audio.pretraining.utterances.OFTEN", 2)
    settings = ["tasks.words=1", "words.hours=0.004", "words.vocabulary=2"]
    command = [str(recipe), "--out", str(tmp_path / "out"), "--cache", str(tmp_path / "cache")]
    assert load_program("pretrain").main([*command, *(part for one in settings for part in ("--set", one))]) == 0
    told = json.loads(capsys.readouterr().out)
    (manifest,) = (tmp_path / "cache").glob("speech/*/manifest.jsonl")
    said = {json.loads(line)["text"] for line in manifest.read_text().splitlines()}
    assert said == {"left"}  # of four sounds or more, and not only said in tests
    assert told["words"]["classes"] == len({"left", "yes", "no"})
    assert "3 words said alone" in (tmp_path / "out" / "card.md").read_text()


def test_pretraining_goes_on_from_the_weights_of_another_run(load_program, recipe, tmp_path, capsys):
    program = load_program("pretrain")
    command = [str(recipe), "--cache", str(tmp_path / "cache"), "--set", "train.epochs=1", "--set", "train.learning_rate=1e-9"]
    assert program.main([*command, "--out", str(tmp_path / "first")]) == 0
    first = tmp_path / "first" / "encoder.safetensors"
    again = [*command, "--set", "train.seed=1", "--out", str(tmp_path / "second")]
    assert program.main([*again, "--set", f"start={first}"]) == 0
    weights, gone_on = (load_tensors(tmp_path / name / "encoder.safetensors")[0] for name in ("first", "second"))
    name = "groups.widen.0.weight"
    assert torch.allclose(weights[name], gone_on[name], atol=1e-6)
    assert "from weights that were pretrained before" in (tmp_path / "second" / "card.md").read_text()
    assert program.main([*command, "--out", str(tmp_path / "third"), "--set", f"start={tmp_path / 'none'}"]) == 2
    assert "does not exist" in capsys.readouterr().err


def test_an_interrupted_run_goes_on_to_the_very_same_weights(load_program, recipe, tmp_path, capsys, monkeypatch):
    program = load_program("pretrain")
    whole = [str(recipe), "--cache", str(tmp_path / "cache"), "--out"]
    assert program.main([*whole, str(tmp_path / "whole")]) == 0
    from speechtl.audio.pretraining import pretrain as module

    recognition = module.recognition

    def interrupted(*_):
        monkeypatch.setattr(module, "recognition", recognition)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "recognition", interrupted)
    with pytest.raises(KeyboardInterrupt):
        program.main([*whole, str(tmp_path / "cut")])
    assert program.main([*whole, str(tmp_path / "cut"), "--resume", "--set", "tasks.ctc=2"]) == 2
    assert "begun with another recipe" in capsys.readouterr().err
    assert program.main([*whole, str(tmp_path / "cut"), "--resume"]) == 0
    weights, resumed = (load_tensors(tmp_path / name / "network.safetensors")[0] for name in ("whole", "cut"))
    assert all(torch.equal(weights[name], resumed[name]) for name in weights)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--resume"], "nothing to resume"),
        (["--set", "train.epochs"], "write KEY=VALUE"),
        (["--set", "data.transcribed=[]"], "nothing to learn phones from"),
        (["--set", "tasks.teacher_weight=1", "--set", "tasks.teacher=unknown"], "encoder 'unknown' is not known"),
        (["--set", "tasks.words=1"], "no word is said alone 10 times"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(load_program, recipe, tmp_path, capsys, arguments, message):
    assert load_program("pretrain").main([str(recipe), "--out", str(tmp_path / "out"), "--cache", str(tmp_path / "cache"), *arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("wrong", ['data.test=["none.jsonl"]', 'data.noise=["none.jsonl"]', "start=none", "tasks.teacher_weight=1"])
def test_what_is_missing_is_said_before_any_speech_is_synthesised(load_program, recipe, tmp_path, capsys, wrong):
    settings = ["speech.hours=0.01", "tasks.teacher=unknown", wrong]
    command = [str(recipe), "--out", str(tmp_path / "out"), "--cache", str(tmp_path / "cache")]
    assert load_program("pretrain").main([*command, *(part for one in settings for part in ("--set", one))]) == 2
    error = capsys.readouterr().err
    assert "does not exist" in error or "is not known" in error
    assert not (tmp_path / "cache").exists()


def test_a_full_disk_is_one_sentence_and_leaves_no_half_of_a_file(load_program, recipe, tmp_path, capsys):
    program = load_program("pretrain")
    command = [str(recipe), "--cache", str(tmp_path / "cache"), "--out"]
    assert program.main([*command, str(tmp_path / "first")]) == 0
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, hard))  # the checkpoint is larger
    try:
        assert program.main([*command, str(tmp_path / "full")]) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert capsys.readouterr().err.splitlines()[-1].startswith("The disk is full")
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["given.json"]
    assert program.main([*command, str(tmp_path / "full"), "--resume"]) == 0
    assert "given.json" not in {path.name for path in (tmp_path / "full").iterdir()}


def test_a_folder_with_something_in_it_is_left_alone(load_program, recipe, tmp_path, capsys):
    assert load_program("pretrain").main([str(recipe), "--out", str(tmp_path), "--cache", str(tmp_path / "cache")]) == 2
    assert "is not empty" in capsys.readouterr().err


def test_windows_of_other_recordings_are_not_taken_for_these(load_program, recipe, tmp_path):
    manifest = tmp_path / "some.jsonl"
    lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    manifest.write_text("".join(json.dumps({key: line[key] for key in line if key != "sha256"}) + "\n" for line in lines))
    command = [str(recipe), "--set", "train.epochs=1", "--cache", str(tmp_path / "cache"), "--out"]
    assert load_program("pretrain").main([*command, str(tmp_path / "first")]) == 0
    soundfile.write(tmp_path / "0.wav", 0.1 * np.random.default_rng(99).standard_normal(48_000), 16_000)
    assert load_program("pretrain").main([*command, str(tmp_path / "second")]) == 0
    assert len(list((tmp_path / "cache" / "windows").iterdir())) == 2


@pytest.mark.slow
def test_two_processes_share_the_work_by_a_flag(recipe, tmp_path):
    command = [sys.executable, str(PROGRAM), str(recipe), "--out", str(tmp_path / "out"), "--cache", str(tmp_path / "cache")]
    done = subprocess.run([*command, "--devices", "2", "--accelerator", "cpu"], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "encoder.safetensors").exists()
