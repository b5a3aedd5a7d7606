import csv
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from speechtl.audio.encoders import conv_ctc
from speechtl.errors import AudioError
from speechtl.transfer import load_tensors, save_tensors

pytest.importorskip("espeakng_loader")
PROGRAM = Path(__file__).parents[3] / "training" / "pretrain.py"
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
        "repeats = 3\n[tasks]\nteacher_weight = 0\n[train]\nepochs = 2\nbatch_size = 1\npacks = 1\ncopies = 1\n"
    )
    return path


@pytest.fixture(autouse=True)
def few_rooms_and_backgrounds(monkeypatch):
    monkeypatch.setattr("speechtl.audio.pretraining.train.ROOMS", 2)
    monkeypatch.setattr("speechtl.audio.pretraining.mixing.WINDOWS", 2)


def test_a_recipe_leaves_weights_a_card_and_a_log(load_program, recipe, tmp_path, capsys):
    out = tmp_path / "out"
    assert load_program("training/pretrain").main([str(recipe), "--out", str(out), "--cache", str(tmp_path / "cache")]) == 0
    printed = capsys.readouterr()
    assert printed.err.endswith(f"Next: speechtl train RECIPE --encoder conv-ctc-tiny:{out / 'encoder.safetensors'} --out RUN\n")
    told = json.loads(printed.out)
    assert told["data"]["recorded"]["licences"] == {"MIT": told["data"]["recorded"]["recordings"]}
    tested = {name: result["utterances"] for name, result in told["recognition"].items() if name.startswith("test")}
    assert tested.pop("test") == sum(tested.values())
    assert tested["test, adults"] == tested["test, children"] == 1
    assert "validation" in told["recognition"]
    encoder = conv_ctc.load("conv-ctc-tiny", out / "encoder.safetensors")
    assert encoder.info.source_hours == told["data"]["recorded"]["hours"]
    assert not torch.equal(encoder.groups["widen"][0].weight, conv_ctc.build("conv-ctc-tiny").groups["widen"][0].weight)
    assert len((out / "log.csv").read_text().splitlines()) == 3
    assert encoder.info.licence == "MIT"
    card = (out / "card.md").read_text()
    for said in ("MIT", "Commercial use: **yes**", "| test |"):
        assert said in card
    assert json.loads((out / "pretraining.json").read_text())["notes"] == [
        "Left out 4 recordings: they, or their speakers, are in the test split."
    ]
    assert not (out / "checkpoint.safetensors").exists()


@pytest.mark.slow
def test_words_said_alone_are_synthesised_and_told_apart(load_program, recipe, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("speechtl.audio.pretraining.data.OFTEN", 2)
    settings = ["tasks.words=1", "words.hours=0.004", "words.vocabulary=2"]
    command = [str(recipe), "--out", str(tmp_path / "out"), "--cache", str(tmp_path / "cache")]
    assert load_program("training/pretrain").main([*command, *(part for one in settings for part in ("--set", one))]) == 0
    told = json.loads(capsys.readouterr().out)
    (manifest,) = (tmp_path / "cache").glob("speech/*/manifest.jsonl")
    said = {json.loads(line)["text"] for line in manifest.read_text().splitlines()}
    assert said == {"left"}  # of four sounds or more, and not only said in tests
    assert told["words"]["classes"] == len({"left", "yes", "no"})
    card = (tmp_path / "out" / "card.md").read_text()
    assert "3 single words" in card
    assert "synthesised by espeak" in card


@pytest.mark.slow
def test_pretraining_goes_on_from_the_weights_of_another_run(load_program, recipe, tmp_path, capsys):
    program = load_program("training/pretrain")
    command = [str(recipe), "--cache", str(tmp_path / "cache"), "--set", "train.epochs=1", "--set", "train.learning_rate=1e-9"]
    assert program.main([*command, "--out", str(tmp_path / "first")]) == 0
    first = tmp_path / "first" / "encoder.safetensors"
    tensors, described = load_tensors(first)
    save_tensors(first, tensors, described | {"licence": "CC-BY-NC-4.0"})
    again = [*command, "--set", "train.seed=1", "--out", str(tmp_path / "second")]
    assert program.main([*again, "--set", f"start={first}"]) == 0
    weights, gone_on = (load_tensors(tmp_path / name / "encoder.safetensors")[0] for name in ("first", "second"))
    name = "groups.widen.0.weight"
    assert torch.allclose(weights[name], gone_on[name], atol=1e-6)
    card = (tmp_path / "second" / "card.md").read_text()
    assert "from pretrained weights" in card
    assert "Commercial use: **no**.\n\n- the data of the initial weights is under CC-BY-NC-4.0: non-commercial use only" in card
    assert conv_ctc.load("conv-ctc-tiny", tmp_path / "second" / "encoder.safetensors").info.licence == "CC-BY-NC-4.0 AND MIT"
    assert program.main([*command, "--out", str(tmp_path / "third"), "--set", f"start={tmp_path / 'none'}"]) == 2
    assert "does not exist" in capsys.readouterr().err


@pytest.mark.slow
def test_an_interrupted_run_goes_on_to_the_very_same_weights(load_program, recipe, tmp_path, capsys, monkeypatch):
    program = load_program("training/pretrain")
    whole = [str(recipe), "--cache", str(tmp_path / "cache"), "--out"]
    assert program.main([*whole, str(tmp_path / "whole")]) == 0
    from speechtl.audio.pretraining import train as module

    recognition = module.recognition

    def interrupted(*given):
        if not (tmp_path / "cut" / "log.csv").exists():
            return recognition(*given)
        monkeypatch.setattr(module, "recognition", recognition)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "recognition", interrupted)
    assert program.main([*whole, str(tmp_path / "cut")]) == 130
    assert "Stopped. The same command continues with" in capsys.readouterr().err
    assert program.main([*whole, str(tmp_path / "cut"), "--resume", "--set", "tasks.ctc=2"]) == 2
    assert "started with another recipe" in capsys.readouterr().err
    assert program.main([*whole, str(tmp_path / "cut"), "--resume"]) == 0
    logs = [list(csv.DictReader((tmp_path / name / "log.csv").open())) for name in ("whole", "cut")]
    assert [row | {"seconds": ""} for row in logs[0]] == [row | {"seconds": ""} for row in logs[1]]
    assert float(logs[1][1]["seconds"]) > float(logs[1][0]["seconds"])
    assert json.loads((tmp_path / "cut" / "pretraining.json").read_text())["history"][0]["phone_error_rate"] is not None
    weights, resumed = (load_tensors(tmp_path / name / "network.safetensors")[0] for name in ("whole", "cut"))
    assert all(torch.equal(weights[name], resumed[name]) for name in weights)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--resume"], "nothing to resume"),
        (["--set", "train.epochs"], "write KEY=VALUE"),
        (["--set", "data.transcribed=[]"], "nothing to learn phones from"),
        (["--set", "tasks.teacher_weight=1", "--set", "tasks.teacher=unknown"], "teacher 'unknown' is not known"),
        (["--set", "data.transcribed=[]", "--set", "tasks.ctc=0", "--set", "tasks.teacher_weight=1"], "there is no speech"),
        (["--set", "tasks.words=1"], "no word occurs alone 10 times"),
        (["--set", "words.hours=1"], "words.hours is 1, but tasks.words is 0"),
        (["--set", "words.hours=1", "--set", "tasks.words=1", "--set", "data.transcribed=[]", "--set", "speech.hours=1"], "which is empty"),
        (["--accelerator", "abacus"], "--accelerator abacus, --devices 1: "),
        (["--accelerator", "mps"], "--accelerator mps, --devices 1: "),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(load_program, recipe, tmp_path, capsys, arguments, message):
    assert (
        load_program("training/pretrain").main(
            [str(recipe), "--out", str(tmp_path / "out"), "--cache", str(tmp_path / "cache"), *arguments]
        )
        == 2
    )
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("wrong", ['data.test=["none.jsonl"]', 'data.noise=["none.jsonl"]', "start=none", "tasks.teacher_weight=1"])
def test_what_is_missing_is_said_before_any_speech_is_synthesised(load_program, recipe, tmp_path, capsys, wrong):
    settings = ["speech.hours=0.01", "tasks.teacher=unknown", wrong]
    command = [str(recipe), "--out", str(tmp_path / "out"), "--cache", str(tmp_path / "cache")]
    assert load_program("training/pretrain").main([*command, *(part for one in settings for part in ("--set", one))]) == 2
    error = capsys.readouterr().err
    assert "does not exist" in error or "is not known" in error
    assert not (tmp_path / "cache").exists()


@pytest.mark.slow
def test_a_full_disk_is_one_sentence_and_leaves_no_half_of_a_file(load_program, recipe, tmp_path, capsys):
    program = load_program("training/pretrain")
    command = [str(recipe), "--cache", str(tmp_path / "cache"), "--out"]
    assert program.main([*command, str(tmp_path / "first")]) == 0
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, hard))  # the checkpoint is larger
    try:
        assert program.main([*command, str(tmp_path / "full")]) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert capsys.readouterr().err.splitlines()[-1].startswith("The disk is full")
    assert sorted(path.name for path in (tmp_path / "full").iterdir()) == ["given.json", "log.csv"]
    assert program.main([*command, str(tmp_path / "full"), "--resume"]) == 0
    assert "given.json" not in {path.name for path in (tmp_path / "full").iterdir()}


@pytest.mark.slow
def test_a_damaged_recording_is_counted_before_the_training_and_not_met_in_it(load_program, recipe, tmp_path, capsys):
    lines = [json.loads(line) for line in (tmp_path / "some.jsonl").read_text().splitlines()]
    for index in (0, 4):  # to learn from, and of a test
        samples = (2000 * np.random.default_rng(index).standard_normal(48_000)).astype(np.int16)
        soundfile.write(tmp_path / f"{index}.flac", samples, 16_000)
        whole = bytearray((tmp_path / f"{index}.flac").read_bytes())
        whole[20_000:23_000] = bytes(3000)
        (tmp_path / f"{index}.flac").write_bytes(whole)
        lines[index]["audio_filepath"] = f"{index}.flac"
    (tmp_path / "some.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    command = [str(recipe), "--out", str(tmp_path / "out"), "--cache", str(tmp_path / "cache"), "--set", "train.epochs=1"]
    assert load_program("training/pretrain").main(command) == 0
    notes = json.loads((tmp_path / "out" / "pretraining.json").read_text())["notes"]
    assert sum(note.startswith("Left out 1 test recording: missing or broken") for note in notes) == 1
    assert sum(note.startswith("Left out 1 recording: missing or broken") for note in notes) == 1


@pytest.mark.slow
def test_people_are_held_out_as_the_manifest_says(load_program, recipe, tmp_path, capsys):
    lines = [json.loads(line) for line in (tmp_path / "some.jsonl").read_text().splitlines()]
    lines[2]["split"] = "validation"
    (tmp_path / "some.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    command = [str(recipe), "--out", str(tmp_path / "out"), "--cache", str(tmp_path / "cache"), "--set", "train.epochs=1"]
    assert load_program("training/pretrain").main(command) == 0
    told = json.loads(capsys.readouterr().out)
    speaker = lines[2]["speaker"]
    theirs = sum(line["speaker"] == speaker for line in lines)
    assert told["data"]["validation"]["recordings"] == theirs
    assert told["data"]["recorded"]["recordings"] == len(lines) - 4 - theirs


@pytest.mark.slow
def test_that_nobody_is_held_out_or_tested_is_said(load_program, recipe, tmp_path, capsys):
    lines = [json.loads(line) | {"speaker": "one", "split": "train"} for line in (tmp_path / "some.jsonl").read_text().splitlines()]
    (tmp_path / "some.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    command = [str(recipe), "--out", str(tmp_path / "out"), "--cache", str(tmp_path / "cache"), "--set", "train.epochs=1"]
    assert load_program("training/pretrain").main(command) == 0
    error = capsys.readouterr().err
    assert "none is held out" in error
    assert 'has split "test"' in error


@pytest.mark.slow
def test_other_noise_makes_other_backgrounds_and_the_same_windows(load_program, recipe, tmp_path):
    line = {"duration": 3.0, "license": "MIT"}
    names = ("16.wav", "17.wav")  # the second comes later
    (tmp_path / "noise.jsonl").write_text("".join(json.dumps(line | {"audio_filepath": f"noise/{name}"}) + "\n" for name in names))
    command = [str(recipe), "--cache", str(tmp_path / "cache"), "--set", "train.epochs=1", "--set", 'data.noise=["noise.jsonl"]', "--out"]
    (tmp_path / "noise").mkdir()
    for name in names:
        (tmp_path / name).rename(tmp_path / "noise" / name)
        assert load_program("training/pretrain").main([*command, str(tmp_path / f"with-{name}")]) == 0
    assert len(list((tmp_path / "cache" / "windows").iterdir())) == 1
    assert len(list((tmp_path / "cache" / "backgrounds").glob("noise-*"))) == 2


def test_a_folder_with_something_in_it_is_left_alone(load_program, recipe, tmp_path, capsys):
    assert load_program("training/pretrain").main([str(recipe), "--out", str(tmp_path), "--cache", str(tmp_path / "cache")]) == 2
    assert "is not empty" in capsys.readouterr().err


@pytest.mark.slow
def test_batches_that_are_too_large_leave_nothing_that_is_in_the_way(load_program, recipe, tmp_path, capsys):
    command = [str(recipe), "--out", str(tmp_path / "out"), "--cache", str(tmp_path / "cache"), "--set", "train.epochs=1"]
    assert load_program("training/pretrain").main([*command, "--set", "train.batch_size=999"]) == 2
    assert "0 batches in an epoch for 1 processes; give more examples or a smaller batch_size" in capsys.readouterr().err
    assert load_program("training/pretrain").main(command) == 0
    assert load_program("training/pretrain").main(command) == 2
    assert "is already finished; choose another --out" in capsys.readouterr().err


@pytest.mark.slow
def test_windows_of_other_recordings_are_not_taken_for_these(load_program, recipe, tmp_path):
    manifest = tmp_path / "some.jsonl"
    lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    manifest.write_text("".join(json.dumps({key: line[key] for key in line if key != "sha256"}) + "\n" for line in lines))
    command = [str(recipe), "--set", "train.epochs=1", "--cache", str(tmp_path / "cache"), "--out"]
    assert load_program("training/pretrain").main([*command, str(tmp_path / "first")]) == 0
    soundfile.write(tmp_path / "0.wav", 0.1 * np.random.default_rng(99).standard_normal(48_000), 16_000)
    assert load_program("training/pretrain").main([*command, str(tmp_path / "second")]) == 0
    assert len(list((tmp_path / "cache" / "windows").iterdir())) == 2


DRIVER = """
import importlib.util, os, sys
from pathlib import Path
from speechtl.audio.pretraining import mixing, train as pretrain
from speechtl.transfer import save_tensors

fit, out = pretrain._Pretraining.fit, Path(sys.argv[1])
pretrain.ROOMS = mixing.WINDOWS = 2

def fit_and_keep(run, network, *others):
    history = fit(run, network, *others)
    save_tensors(out / ("weights-of-" + os.environ.get("LOCAL_RANK", "0")), network.state_dict(), {})
    return history

pretrain._Pretraining.fit = fit_and_keep
spec = importlib.util.spec_from_file_location("program", sys.argv[2])
program = importlib.util.module_from_spec(spec)
spec.loader.exec_module(program)
sys.exit(program.main(sys.argv[3:]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for a process in /proc")
def test_two_processes_learn_the_same_weights_and_go_on_when_one_was_killed(recipe, tmp_path):
    (tmp_path / "driver.py").write_text(DRIVER)
    command = [sys.executable, str(tmp_path / "driver.py"), str(tmp_path), str(PROGRAM), str(recipe), "--out", str(tmp_path / "out")]
    command += [
        "--cache",
        str(tmp_path / "cache"),
        "--set",
        "train.epochs=24",
        "--devices",
        "2",
        "--accelerator",
        "cpu",
    ]  # long enough to be killed
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as first:
        while not (tmp_path / "out" / "checkpoint.safetensors").exists():
            assert first.poll() is None, first.stderr and first.stderr.read()
            time.sleep(0.02)
        (child,) = Path(f"/proc/{first.pid}/task/{first.pid}/children").read_text().split()
        os.kill(int(child), signal.SIGKILL)
        told = first.communicate(timeout=60)[1]
    assert first.returncode == 2, told
    assert told.splitlines()[-1].startswith("Another process of this run has ended. The same command continues")
    assert "Traceback" not in told
    done = subprocess.run([*command, "--resume"], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["name"] == "small"  # one of the processes tells it
    assert done.stderr.count("Left out 4 recordings: they, or their speakers") == 1
    weights = [load_tensors(tmp_path / f"weights-of-{rank}")[0] for rank in (0, 1)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    with (tmp_path / "out" / "log.csv").open() as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == [str(epoch) for epoch in range(1, 25)]
    again = subprocess.run([*command[:-4], "--resume"], capture_output=True, text=True, timeout=300, check=False)
    assert "already finished" in again.stderr


@pytest.mark.slow
def test_two_hosts_learn_the_same_weights(recipe, tmp_path):
    (tmp_path / "driver.py").write_text(DRIVER)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    hosts = []
    for rank in ("0", "1"):
        (tmp_path / rank).mkdir()
        command = [
            sys.executable,
            str(tmp_path / "driver.py"),
            str(tmp_path / rank),
            str(PROGRAM),
            str(recipe),
            "--out",
            str(tmp_path / "out"),
        ]
        command += ["--cache", str(tmp_path / "cache"), "--accelerator", "cpu", "--nodes", "2", "--node-rank", rank, "--main-port", port]
        hosts.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
    told = [host.communicate(timeout=300) for host in hosts]
    assert [host.returncode for host in hosts] == [0, 0], told
    assert json.loads(told[0][0])["name"] == "small"
    assert told[1][0] == ""
    weights = [load_tensors(tmp_path / rank / "weights-of-0")[0] for rank in ("0", "1")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


@pytest.mark.slow
def test_what_is_synthesised_without_and_what_failed_is_noted(load_program, recipe, tmp_path, monkeypatch):
    from speechtl.audio.synthesis import corpus as spoken_corpus

    speak = spoken_corpus.speak_all
    monkeypatch.setattr("speechtl.audio.pretraining.corpora.missing_synthesizers", lambda: ["festival"])
    monkeypatch.setattr(
        spoken_corpus, "speak_all", lambda utterances, synthesizers: {**speak(utterances, synthesizers), 0: AudioError("hoarse")}
    )
    command = [str(recipe), "--out", str(tmp_path / "out"), "--cache", str(tmp_path / "cache"), "--set", "train.epochs=1"]
    assert load_program("training/pretrain").main([*command, "--set", "speech.hours=0.01"]) == 0
    notes = json.loads((tmp_path / "out" / "pretraining.json").read_text())["notes"]
    assert "Synthesised without festival, which this machine does not have." in notes
    assert any(note.startswith("Left out ") and note.endswith("hoarse") for note in notes)
