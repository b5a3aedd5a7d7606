import json
import os
import resource
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from speechtl.cli.app import main

RATE = 16_000


def run(*arguments, cwd=None, stdin: bytes | None = None, before=None, timeout: float = 100) -> subprocess.CompletedProcess:
    environment = {key: value for key, value in os.environ.items() if key != "SPEECHTL_DATA"} | {"COLUMNS": "200", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "speechtl", *map(str, arguments)]
    done = subprocess.run(
        command, cwd=cwd, input=stdin, capture_output=True, timeout=timeout, check=False, preexec_fn=before, env=environment
    )
    done.stdout, done.stderr = done.stdout.decode(), done.stderr.decode()
    assert "Traceback" not in done.stderr, done.stderr
    return done


def assert_one_sentence(done, says: str, code: int = 2) -> None:
    assert done.returncode == code, done.stderr
    assert done.stderr.startswith("speechtl: ")
    assert done.stderr.count("\n") == 1, done.stderr
    assert says in done.stderr


@pytest.fixture
def recording(bursts, tmp_path):
    soundfile.write(tmp_path / "two bursts.wav", bursts((0.5, 2.0), 3.0), RATE)
    return tmp_path / "two bursts.wav"


def test_detections_are_json_lines_and_nothing_else(tiny_bundle, recording):
    done = run("detect", tiny_bundle, recording, "--json")
    assert done.returncode == 0
    assert done.stderr == ""
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [list(line) for line in lines] == [["file", "name", "time", "score", "peak", "start", "end", "level", "snr"]] * 2
    for line, start in zip(lines, (0.5, 2.0), strict=True):
        assert line["file"] == str(recording)
        assert line["name"] == "burst"
        assert start < line["time"] < start + 0.2
        assert 0.5 <= line["score"] <= 1.0


def test_a_number_of_false_accepts_a_day_sets_the_threshold_and_says_what_it_costs(tiny_bundle, recording, call):
    done = call("detect", tiny_bundle, recording, "--false-accepts-per-day", "24")
    assert done.returncode == 0
    assert "threshold 0.1192 for 24 false accepts a day (at most 65 with 95 % confidence); recall in validation 93.3 %" in done.stderr
    assert (
        "both given for all words" in call("detect", tiny_bundle, recording, "--false-accepts-per-day", "24", "--threshold", "0.5").stderr
    )


def test_detections_are_lines_for_people(tiny_bundle, recording, call):
    done = call("detect", tiny_bundle, recording)
    assert done.stdout.splitlines()[0].startswith(f"{recording}: burst at 0.5")


def test_a_file_without_the_word_is_no_error_and_people_are_told(tiny_bundle, tmp_path, call):
    soundfile.write(tmp_path / "quiet.wav", np.zeros(RATE), RATE)
    done = call("detect", tiny_bundle, tmp_path / "quiet.wav", "--json")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    done = call("detect", tiny_bundle, tmp_path / "quiet.wav")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", f"{tmp_path / 'quiet.wav'}: nothing detected\n")


@pytest.mark.parametrize(("form", "scale", "dtype"), [("s16", 2**15, "<i2"), ("f32", 1, "<f4")])
def test_raw_samples_come_from_standard_input(tiny_bundle, bursts, form, scale, dtype):
    samples = np.round(bursts((0.5,), 1.5) * 32768) / 32768 * scale
    options = [] if form == "s16" else ["--format", form]
    done = run("detect", tiny_bundle, "-", "--json", "--channels", "2", *options, stdin=np.repeat(samples.astype(dtype), 2).tobytes())
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert json.loads(done.stdout)["file"] == "-"


def test_detection_takes_a_threshold_and_a_refractory_time_for_a_word(tiny_bundle, recording, call):
    def events(*options) -> int:
        done = call("detect", tiny_bundle, recording, "--json", *options)
        assert done.returncode == 0
        return len(done.stdout.splitlines())

    assert events() == events("--threshold", "burst=0.4", "--threshold", "1") == 2
    assert events("--refractory", "burst=9", "--refractory", "0") == 1
    assert events("--threshold", "burst=1") == 0
    assert_one_sentence(call("detect", tiny_bundle, recording, "--refractory", "brust=3"), "did you mean 'burst'")


def test_a_broken_file_among_others_is_named_and_the_others_are_heard(tiny_bundle, recording, tmp_path, call):
    (tmp_path / "text.wav").write_text("no sound")
    done = call("detect", tiny_bundle, tmp_path / "text.wav", recording, tmp_path / "none.wav", "--json")
    assert done.returncode == 2
    assert len(done.stdout.splitlines()) == 2
    assert "text.wav is not an audio file" in done.stderr
    assert "none.wav does not exist" in done.stderr
    assert "2 of 3 files" in done.stderr


def test_bad_recordings_are_one_sentence(tiny_bundle, tmp_path, call):
    assert_one_sentence(call("detect", tiny_bundle, tmp_path / "none.wav"), "none.wav does not exist")
    (tmp_path / "empty.wav").touch()
    assert_one_sentence(call("detect", tiny_bundle, tmp_path / "empty.wav"), "is empty")


def test_bad_bundles_are_one_sentence(tiny_bundle, recording, tmp_path, remake, call):
    assert_one_sentence(call("detect", tmp_path / "none.wake", recording), "none.wake does not exist")
    assert_one_sentence(call("detect", recording, recording), "is not a bundle")
    (tmp_path / "cut.wake").write_bytes(tiny_bundle.read_bytes()[:3000])
    assert_one_sentence(call("verify", tmp_path / "cut.wake"), "cut short")
    assert_one_sentence(call("detect", tiny_bundle, recording, "--graph", "x.onnx"), "it has: model.onnx")
    broken = remake(files={"model.onnx": b"no graph"})
    assert_one_sentence(call("verify", broken), "cannot load model.onnx")


def test_an_untouched_bundle_verifies_and_an_altered_one_is_exit_code_1(tiny_bundle, remake, call):
    import io

    from speechtl.runtime.bundle.wake_word import open_bundle

    done = call("verify", tiny_bundle)
    assert done.returncode == 0
    assert "model.onnx" in done.stdout
    assert "ok" in done.stdout
    golden = open_bundle(tiny_bundle).golden()
    file = io.BytesIO()
    np.savez(file, audio=golden["audio"], scores=golden["scores"] * 0.9)
    done = call("verify", remake(files={"golden.npz": file.getvalue()}), "--json")
    assert_one_sentence(done, "produces different scores", code=1)
    assert json.loads(done.stdout)[0]["ok"] is False


def test_bad_recipes_are_one_sentence(tmp_path, call):
    assert_one_sentence(call("train", tmp_path / "none.toml"), "does not exist")
    (tmp_path / "r.toml").write_text('nmae = "x"\n[data]\nnegatives = ["n"]\n')
    done = call("train", tmp_path / "r.toml")
    assert_one_sentence(done, "did you mean 'name'?")
    assert "'data.positives' is missing" in done.stderr
    (tmp_path / "r.toml").write_text("name = ")
    assert_one_sentence(call("train", tmp_path / "r.toml"), "not valid TOML")
    (tmp_path / "r.jsonl").write_text("{}\n")
    assert_one_sentence(call("train", tmp_path / "r.jsonl"), "is a manifest; give a recipe")


@pytest.mark.parametrize("begun", [True, False])
def test_an_interrupted_training_says_how_to_go_on(tmp_path, monkeypatch, capsys, begun):
    def train(recipe, out, *, resume):
        if begun:
            out.with_name(out.name + ".partial").mkdir(parents=True)
        raise KeyboardInterrupt

    monkeypatch.setattr("speechtl.audio.training.train.train", train)
    given = ["--name", "x", "--positives", str(tmp_path), "--negatives", str(tmp_path), "--out", str(tmp_path / "run")]
    monkeypatch.setattr("sys.argv", ["speechtl", "train", *given])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 130
    assert ("--resume continues" in capsys.readouterr().err) is begun


def test_a_recipe_and_a_name_exclude_each_other(tmp_path, call):
    assert_one_sentence(call("train", tmp_path / "r.toml", "--name", "x"), "leave out those options")
    assert_one_sentence(call("train", "--name", "x"), "--positives is missing: ")
    assert_one_sentence(call("train"), "Give a recipe, or --name with --positives or --synthesise")


def test_a_typed_word_needs_neither_recordings_nor_a_name_without_spaces(tmp_path, monkeypatch, call):
    made = []
    monkeypatch.setattr("speechtl.audio.training.train.train", lambda recipe, out, resume: made.append(recipe) or {"name": "x"})
    call("train", "--name", "hey marvin", "--synthesise", "--json", cwd=tmp_path)
    call("train", "--name", "marvin", "--synthesise", "--phrase", "mar-vin", "/mɑːvɪn/", "--json", cwd=tmp_path)
    assert [(recipe.name, recipe.phrases) for recipe in made] == [("hey_marvin", ["hey marvin"]), ("marvin", ["mar-vin", "/mɑːvɪn/"])]
    assert all(recipe.data.synthesise and not recipe.data.negatives for recipe in made)


def test_options_of_train_take_several_values(tmp_path, monkeypatch, call):
    made = []
    monkeypatch.setattr("speechtl.audio.training.train.train", lambda recipe, out, resume: made.append((recipe, out)) or {"name": "x"})
    positives, negatives = ("--positives", "a", "b"), ("--negatives", "c", "--negatives", "d", "e")
    call("train", "--name", "x", *positives, "--noise", "n", "--seed", "1", *negatives, "--phrase", "one", "two", "--json", cwd=tmp_path)
    ((recipe, out),) = made
    assert [[path.name for path in paths] for paths in (recipe.data.positives, recipe.data.negatives)] == [["a", "b"], ["c", "d", "e"]]
    assert [path.name for path in recipe.data.noise] == ["n"]
    assert (recipe.phrases, recipe.train.seed, str(out)) == (["one", "two"], 1, "runs/x")


def test_a_recipe_may_follow_an_option_of_several_values(corpus, known_tiny, monkeypatch, call):
    made = []
    monkeypatch.setattr("speechtl.audio.training.train.train", lambda recipe, out, resume: made.append(recipe) or {"name": "x"})
    call("train", "--noise", "n", "word.toml", "--json", cwd=corpus)
    assert [path.name for path in made[0].data.noise] == ["n"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["MODEL", "--positives", "a", "b", "--negatives", "c", "d"],
        ["--positives", "a", "--positives", "b", "MODEL", "--negatives", "c", "d"],
        ["--positives", "a", "--positives", "b", "--negatives", "c", "--negatives", "d", "MODEL"],
    ],
)
def test_options_of_evaluate_take_several_values_once_the_model_is_named(tiny_bundle, monkeypatch, call, arguments):
    played = []
    empty = SimpleNamespace(report={})
    listen_to = "speechtl.audio.evaluation.evaluate.listen_to"
    monkeypatch.setattr(listen_to, lambda model, plan, note, checks, machines: played.append((plan.positives, plan.negatives)) or empty)
    done = call("evaluate", *(tiny_bundle if word == "MODEL" else word for word in arguments), "--json")
    assert done.returncode == 0, done.stderr
    assert [[str(path) for path in paths] for paths in played[0]] == [["a", "b"], ["c", "d"]]


def test_what_is_no_run_is_one_sentence(tmp_path, call):
    assert_one_sentence(call("export", tmp_path, "-o", tmp_path / "a.wake"), "is not a run")
    assert_one_sentence(call("evaluate", tmp_path / "none", "--positives", "p", "--negatives", "n"), "does not exist")


def test_evaluate_refuses_a_file_as_its_folder_before_it_begins(tiny_bundle, tmp_path, call):
    (tmp_path / "report").write_text("mine")
    done = call("evaluate", tiny_bundle, "--positives", "p", "--negatives", "n", "--out", tmp_path / "report")
    assert_one_sentence(done, "is a file; give a folder")


def test_missing_manifests_are_named_with_what_to_do(tmp_path, call):
    done = call("train", "--name", "x", "--positives", "p.jsonl", "--negatives", "n.jsonl", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("speechtl: ")
    assert "p.jsonl does not exist" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_a_missing_folder_of_recordings_is_named_with_what_to_do(tmp_path, call):
    done = call("train", "--name", "x", "--positives", "word", "--negatives", "other", cwd=tmp_path)
    assert_one_sentence(done, "word does not exist; give a folder of recordings or a manifest")


def test_noise_on_the_command_line_is_relative_to_where_one_stands(corpus, call):
    from speechtl.audio.recipe import read_recipe

    (corpus / "deep").mkdir()
    (corpus / "deep" / "word.toml").write_text((corpus / "word.toml").read_text().replace('["', '["../').replace("tiny", "scratch"))
    read_recipe(corpus / "deep" / "word.toml")
    done = call("train", "deep/word.toml", "--noise", "none_here.jsonl", cwd=corpus)
    assert done.returncode == 2
    assert "none_here.jsonl does not exist" in done.stderr
    assert "deep" not in done.stderr.split("none_here.jsonl")[0].rsplit("speechtl:")[-1]


@pytest.fixture
def trained(corpus, tiny_run):
    """A finished run with random weights in the full architecture."""
    import torch

    from speechtl.audio.encoders import build_encoder
    from speechtl.audio.network.heads import make_head
    from speechtl.audio.network.model import WakeWordNetwork
    from speechtl.audio.run import save_run
    from speechtl.transfer import attach

    torch.manual_seed(0)
    encoder = build_encoder("scratch")
    (corpus / "run").mkdir()
    about = {**tiny_run.about, "recipe": {"transfer": {"encoder": "scratch"}}, "encoder": encoder.info.to_json()}
    save_run(corpus / "run", attach(encoder, make_head("linear", 96), WakeWordNetwork), about)
    return corpus / "run"


def small_files_only() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))


@pytest.mark.slow
def test_a_full_disk_is_one_sentence_and_leaves_nothing_half_written(trained, tmp_path):
    before = sorted(path.name for path in tmp_path.iterdir())
    done = run("export", trained, "-o", tmp_path / "a.wake", "--no-int8", "--no-tflite", before=small_files_only)
    lines = done.stderr.splitlines(keepends=True)
    done.stderr = "".join(
        line for line in lines if not line.startswith(("loading: ", "exporting", "The bundle has no memory"))
    )  # on a busy machine
    assert_one_sentence(done, "disk is full")
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_an_export_verifies_and_says_how_large_it_is(trained, tmp_path, call):
    done = call("export", trained, "-o", tmp_path / "new" / "a.wake", "--no-int8", "--no-tflite", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["bytes"] == (tmp_path / "new" / "a.wake").stat().st_size
    assert all(result["ok"] for result in said["parity"])
    assert [(row["graph"], row["cpu_ms_per_step"] > 0) for row in said["cost"]] == [("model.onnx", True)]
    assert call("verify", tmp_path / "new" / "a.wake").returncode == 0


def test_an_evaluation_is_json_on_standard_output_and_a_report_in_a_folder(tiny_bundle, corpus, call):
    done = call(
        "evaluate", tiny_bundle, "--positives", "positives.jsonl", "--negatives", "negatives.jsonl", "--json", "--out", "report", cwd=corpus
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["positives"]["recall"] == 1.0
    assert json.loads((corpus / "report" / "report.json").read_text()) == report
    assert "burst" in (corpus / "report" / "report.html").read_text()


@pytest.fixture
def evaluated(tiny_bundle, corpus, call):
    """Evaluate the tiny bundle from the folder of its recordings, with more options."""

    def run(*options):
        return call("evaluate", tiny_bundle, "--positives", "positives.jsonl", "--negatives", "negatives.jsonl", *options, cwd=corpus)

    return run


FLOORS = """[[require]]
measure = "recall"
at_least = 0.9

[[require]]
kind = "negatives"
measure = "per_hour_high"
at_most = 1.0
"""


def test_an_evaluation_that_misses_a_floor_ends_with_exit_code_1_and_its_report(evaluated, corpus):
    (corpus / "floors.toml").write_text(FLOORS)
    done = evaluated("--require", "floors.toml", "--out", "report")
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert [line for line in lines if line.startswith("Not met: negatives negatives: upper limit of false accepts per hour ")]
    assert lines[-1] == "speechtl: 1 of 2 requirements is not met."
    verdicts = json.loads((corpus / "report" / "report.json").read_text())["requirements"]
    assert [verdict["ok"] for verdict in verdicts] == [True, False]
    (corpus / "floors.toml").write_text(FLOORS.replace("1.0", "1000.0"))
    assert evaluated("--require", "floors.toml").returncode == 0


def test_a_floor_of_no_slice_is_one_sentence_before_anything_is_played(evaluated, corpus, monkeypatch):
    (corpus / "floors.toml").write_text(
        FLOORS.replace("negatives", "accent").replace("per_hour_high", "recall").replace("at_most", "at_least")
    )
    monkeypatch.setattr("speechtl.audio.evaluation.hours.negatives._hear", pytest.fail)
    done = evaluated("--require", "floors.toml")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(
        "speechtl: floors.toml, requirement 2: this evaluation will have no slice of kind 'accent'; it has slices of condition, speaker"
    )


def test_a_report_is_repeated_from_its_file_alone(evaluated, corpus, call):
    evaluated("--out", "report")
    done = call("evaluate", "--repeat", "report/report.json", cwd=corpus)
    assert (done.returncode, done.stdout.splitlines()[0]) == (
        0,
        "report/report.json is repeated: every count and rate, every slice, miss and false accept is the same.",
    )
    report = json.loads((corpus / "report" / "report.json").read_text())
    report["positives"]["detected"] = 2
    (corpus / "report" / "report.json").write_text(json.dumps(report))
    done = call("evaluate", "--repeat", "report/report.json", "--out", "again", cwd=corpus)
    assert done.returncode == 1
    assert "positives, detected  2" in done.stdout
    assert done.stderr.endswith("speechtl: report/report.json was not repeated: 1 result changed.\n")
    assert json.loads((corpus / "again" / "report.json").read_text())["positives"]["detected"] == 3


@pytest.mark.parametrize(
    ("options", "name"), [(("--negatives", "n"), "--negatives"), (("--threshold", "0.5"), "--threshold"), (("--split", "test"), "--split")]
)
def test_a_repetition_takes_everything_from_the_report(corpus, call, options, name):
    done = call("evaluate", "--repeat", "report.json", *options, cwd=corpus)
    assert_one_sentence(done, f"--repeat takes everything else from the report; leave out {name}.")


def test_sounds_of_misses_can_be_left_out(evaluated, corpus):
    evaluated("--threshold", "1", "--out", "report")
    assert len(list((corpus / "report" / "report-audio").iterdir())) == 3
    assert "<audio" in (corpus / "report" / "report.html").read_text()
    evaluated("--threshold", "1", "--out", "silent", "--no-audio")
    assert sorted(path.name for path in (corpus / "silent").iterdir()) == ["report.html", "report.json"]
    assert "<audio" not in (corpus / "silent" / "report.html").read_text()


def test_a_reader_that_goes_away_is_no_error(tiny_bundle, recording):
    command = [sys.executable, "-m", "speechtl", "detect", str(tiny_bundle), *[str(recording)] * 40, "--json"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    child.stdout.readline()
    child.stdout.close()
    said = child.stderr.read().decode()
    child.stderr.close()
    assert (child.wait(60), said) == (0, "")


def test_an_interruption_is_exit_code_130_without_a_traceback(tiny_bundle, bursts):
    command = [sys.executable, "-m", "speechtl", "detect", str(tiny_bundle), "-", "--json"]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    # a test run in the background of a shell ignores the signal, and its children inherit that
    child = subprocess.Popen(command, **pipes, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    child.stdin.write(np.round(bursts((0.5,), 1.5) * 32768).astype("<i2").tobytes())
    child.stdin.flush()
    child.stdout.readline()  # the event has been told while the stream goes on
    time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=60)
    assert child.returncode == 130
    assert "Traceback" not in said.decode()
