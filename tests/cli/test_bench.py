import json
import sys

import numpy as np
import pytest
import soundfile

from speechtl.bench.show import print_report


@pytest.fixture(scope="module")
def report_file(tiny_bundle, tmp_path_factory):
    """A report as `bench --json FILE` writes it."""
    from speechtl.bench.run import bench
    from speechtl.files import write_json

    path = tmp_path_factory.mktemp("bench") / "here.json"
    write_json(path, bench(tiny_bundle, repetitions=1))
    return path


@pytest.fixture(scope="module")
def pictures_file(halves, tmp_path_factory):
    """A report on a bundle for pictures as `bench --json FILE` writes it."""
    from speechtl.bench.run import bench
    from speechtl.files import write_json

    path = tmp_path_factory.mktemp("bench") / "pictures.json"
    write_json(path, bench(halves / "halves.wake", repetitions=1))
    return path


@pytest.fixture
def slower(report_file, tmp_path):
    """The same report with twice the memory and other scores."""
    document = json.loads(report_file.read_text())
    document["process"]["peak_mb"] *= 2
    document["scores"]["values"][0][0] += 0.5
    document["scores"]["sha256"] = "0"
    (tmp_path / "slower.json").write_text(json.dumps(document))
    return tmp_path / "slower.json"


def test_a_report_goes_to_a_file_and_a_table_to_people(tiny_bundle, tmp_path, call):
    done = call("bench", tiny_bundle, "--json", tmp_path / "new" / "a.json", "--repetitions", "1")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "new" / "a.json").read_text())["kind"] == "speechtl bench"
    for said in ("encoder and head", "ms CPU per second of audio", "took longer than 80 ms", "Real-time factor"):
        assert said in done.stdout
    assert "the golden audio (synthesised voices)" in done.stdout  # so that nobody takes it for the recall
    assert "\x1b" not in done.stdout


@pytest.mark.slow
def test_a_bundle_for_pictures_is_measured_by_the_same_command(halves, tmp_path, call):
    done = call("bench", halves / "halves.wake", "--graph", "model.onnx", "--json", tmp_path / "a.json", "--repetitions", "1")
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "a.json").read_text())
    assert (report["kind"], report["bundle"]["kind"], report["bundle"]["graph"]) == ("speechtl bench", "image", "model.onnx")
    for said in ("stage, of each picture", "read and resize", "1920 × 1080", "ms CPU per picture", "pictures per second"):
        assert said in done.stdout
    for not_said in (" 80 ms", "audio", "detect", "\x1b"):
        assert not_said not in done.stdout


@pytest.mark.parametrize("arguments", [["--positives", "p.jsonl"], ["--split", "test"], ["--engine", "tflite-runtime"], ["--engine", "x"]])
def test_what_only_sound_has_is_refused_for_pictures(halves, call, monkeypatch, arguments):
    monkeypatch.setattr("speechtl.bench.process.run_worker", None)
    done = call("bench", halves / "halves.wake", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "halves.wake is a bundle for pictures" in done.stderr
    assert "leave out" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments", [["BUNDLE", "--json"], ["BUNDLE", "--json", "-"], ["--json", "--repetitions", "1", "BUNDLE"], ["run", "BUNDLE", "--json"]]
)
def test_json_without_a_file_is_one_document_on_standard_output(tiny_bundle, call, arguments):
    given = [str(tiny_bundle) if argument == "BUNDLE" else argument for argument in arguments]
    done = call("bench", *given, *([] if "--repetitions" in given else ["--repetitions", "1"]))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["schema"] == 1


@pytest.mark.slow
def test_a_bundle_may_be_called_like_a_command(tiny_bundle, tmp_path, call):
    (tmp_path / "compare").write_bytes(tiny_bundle.read_bytes())
    done = call("bench", tmp_path / "compare", "--json", "--repetitions", "1")
    assert json.loads(done.stdout)["bundle"]["name"] == "burst"


@pytest.mark.slow
def test_the_delay_is_measured_on_the_recordings_of_a_manifest(tiny_bundle, corpus, call):
    done = call("bench", tiny_bundle, "--positives", corpus / "positives.jsonl", "--json", "--repetitions", "1")
    assert done.returncode == 0, done.stderr
    delay = json.loads(done.stdout)["delay"]
    assert (delay["from"], delay["words"], delay["detected"]) == ("positives.jsonl", 3, 3)  # those of split "test"


@pytest.mark.slow
def test_a_broken_recording_is_reported_and_the_others_are_heard(tiny_bundle, corpus, call):
    lines = (corpus / "positives.jsonl").read_text().splitlines()
    broken = next(json.loads(line)["audio_filepath"] for line in lines if json.loads(line)["split"] == "test")
    (corpus / broken).write_text("no sound")
    done = call("bench", tiny_bundle, "--positives", corpus / "positives.jsonl", "--json", "--repetitions", "1")
    assert json.loads(done.stdout)["delay"]["words"] == 2
    assert f"{broken} is not an audio file" in done.stderr


def test_a_word_that_is_never_detected_is_said_to_be_the_reason(tiny_bundle, tmp_path, call):
    soundfile.write(tmp_path / "a.wav", np.zeros(16_000), 16_000)
    (tmp_path / "p.jsonl").write_text(json.dumps({"audio_filepath": "a.wav", "duration": 1.0, "word_start": 0.2, "word_end": 0.7}))
    done = call("bench", tiny_bundle, "--positives", tmp_path / "p.jsonl", "--repetitions", "1")
    assert done.returncode == 0, done.stderr
    assert "Detection delay: not measured; none of the 1 words in p.jsonl is detected" in done.stdout


def test_reports_are_compared_with_ratios_and_drift(report_file, call):
    done = call("bench", "compare", report_file, report_file)
    assert done.returncode == 0, done.stderr
    assert "| cpu_ms_per_second " in done.stdout
    assert "Scores are the same, bit for bit." in done.stdout


@pytest.mark.slow
def test_reports_on_pictures_are_compared_and_drawn(pictures_file, tmp_path, call):
    (tmp_path / "b.toml").write_text('[[budget]]\nmeasure = "cpu_ms_per_picture"\nat_most = 1e-3\n')
    options = ["--budget", tmp_path / "b.toml", "--plot", tmp_path / "c.png"]
    done = call("bench", "compare", pictures_file, pictures_file, *options)
    assert done.returncode == 1
    assert "| prepare_1920x1080_p50_ms " in done.stdout
    assert "Scores are the same, bit for bit." in done.stdout
    assert done.stdout.count("BROKEN:") == 2
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")
    assert "delay" not in done.stdout


def test_scores_that_drift_and_broken_budgets_are_exit_code_1(report_file, slower, tmp_path, call):
    limit = json.loads(report_file.read_text())["process"]["peak_mb"] * 1.5
    (tmp_path / "b.toml").write_text(f'[[budget]]\nmeasure = "peak_mb"\nat_most = {limit}\n')
    done = call("bench", "compare", report_file, slower, "--budget", tmp_path / "b.toml", "--json")
    assert done.returncode == 1
    assert done.stderr == f"speechtl: {report_file} and {slower}: the scores differ between the machines and 1 of 2 budgets are exceeded.\n"
    document = json.loads(done.stdout)
    assert (document["ok"], document["drift"]["ok"]) == (False, False)
    assert [budget["ok"] for budget in document["budgets"]] == [True, False]
    done = call("bench", "compare", report_file, slower, "--budget", tmp_path / "b.toml")
    assert "ok: A peak_mb" in done.stdout
    assert "BROKEN: B peak_mb" in done.stdout
    assert "Scores differ by at most 5.0e-01; 1e-04 allowed: FAILED." in done.stdout


def test_the_budgets_that_are_shipped_can_be_read(report_file, call):
    from pathlib import Path

    done = call("bench", "compare", report_file, report_file, "--budget", Path(__file__).parents[2] / "device" / "budgets.toml")
    assert done.returncode in (0, 1)
    assert "missed_deadlines" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_a_comparison_is_drawn(report_file, slower, tmp_path, call, ending):
    done = call("bench", "compare", report_file, slower, "--plot", tmp_path / f"c.{ending}")
    assert done.returncode == 1
    starts = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}
    assert (tmp_path / f"c.{ending}").read_bytes().startswith(starts[ending])


def test_names_in_a_report_of_someone_else_are_text(report_file, tmp_path, call):
    evil = "[red]x[/] [/] $\\foo$ :smile: \x1b[2J\na"
    document = json.loads(report_file.read_text())
    document["machine"] |= {"model": evil, "processor": evil, "governor": evil}
    document["bundle"] |= {"name": evil, "file": evil, "graph": evil, "engine": evil}
    path = tmp_path / "[bold]$\\bar$.json"
    path.write_text(json.dumps(document))
    done = call("bench", "compare", report_file, path, "--plot", tmp_path / "c.svg")
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert done.stdout.count(r"[red]x[/] [/] $\foo$ :smile: \x1b[2J\x0aa") >= 5
    assert "[bold]$\\bar$.json" in done.stdout
    print_report(document)
    assert (tmp_path / "c.svg").read_text().startswith("<?xml")


def test_a_plot_without_matplotlib_is_one_sentence_with_the_pip_command(report_file, tmp_path, call, monkeypatch):
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "matplotlib" else real(name, *more))
    done = call("bench", "compare", report_file, report_file, "--plot", tmp_path / "c.png")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "speechtl: --plot needs packages that are not installed. Install them with: pip install 'speechtl[train]'\n"


def test_bad_input_is_one_sentence_before_anything_is_measured(
    tiny_bundle, halves, report_file, pictures_file, tmp_path, call, monkeypatch
):
    monkeypatch.setattr("speechtl.bench.process.run_worker", None)
    whole = (halves / "halves.wake").read_bytes()
    (tmp_path / "cut.wake").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "more.toml").write_text('[[budget]]\nmeasure = "pictures_per_second"\nat_most = 5\n')
    (tmp_path / "sound.toml").write_text('[[budget]]\nmeasure = "missed_deadlines"\nat_most = 0\n')
    for arguments, says in (
        (["bench", tmp_path / "none.wake"], "none.wake does not exist"),
        (["bench", report_file], "is not a bundle"),
        (["bench", tmp_path / "cut.wake"], "is not a bundle, or was cut short"),
        (["bench", tmp_path / "cut.wake", "--positives", "p.jsonl"], "is not a bundle, or was cut short"),
        (["bench", halves / "halves.wake", "--graph", "x.onnx"], "it has: model.int8.onnx, model.onnx"),
        (["bench", "compare", report_file, pictures_file], "compare two reports of the same kind"),
        (["bench", "compare", pictures_file, pictures_file, "--budget", tmp_path / "more.toml"], "'measure' must be one of"),
        (["bench", "compare", pictures_file, pictures_file, "--budget", tmp_path / "sound.toml"], "None of the budgets applies to"),
        (["bench", tiny_bundle, "--json", tmp_path], "is a folder; give the name of a file"),
        (["bench", tiny_bundle, "--json", tmp_path / "x.wake"], "has the name of a bundle; give the report another one"),
        (["bench", tiny_bundle, "--json", report_file / "x.json"], "here.json is not a folder"),
        (["bench", tiny_bundle, "--graph", "x.onnx"], "it has: model.onnx"),
        (["bench", tiny_bundle, "--python", "'python"], "must be a command in shell syntax"),
        (["bench", "compare", report_file, tmp_path / "none.json"], "none.json does not exist; give a report made with: speechtl bench"),
        (["bench", "compare", report_file, tiny_bundle], "is not JSON"),
        (["bench", "compare", report_file, report_file, "--plot", tmp_path / "c.doc"], "must end in .png, .svg, .pdf; got c.doc"),
        (["bench", "compare", report_file, report_file, "--budget", report_file], "is not valid TOML"),
    ):
        done = call(*arguments)
        assert (done.returncode, done.stdout) == (2, ""), arguments
        assert done.stderr.startswith("speechtl: ")
        assert done.stderr.count("\n") == 1
        assert says in done.stderr


def test_manifests_that_are_missing_or_hold_nothing_of_the_split_are_said(tiny_bundle, corpus, call):
    done = call("bench", tiny_bundle, "--positives", corpus / "none.jsonl")
    assert done.returncode == 2
    assert "none.jsonl does not exist" in done.stderr
    (corpus / "train.jsonl").write_text(
        "".join(line + "\n" for line in (corpus / "positives.jsonl").read_text().splitlines() if '"train"' in line)
    )
    done = call("bench", tiny_bundle, "--positives", corpus / "train.jsonl")
    assert done.returncode == 2
    assert "No recording of" in done.stderr
    assert "has split 'test'" in done.stderr


@pytest.mark.parametrize("arguments", [["--bogus"], ["a.wake", "b.wake"], ["compare", "a.json"], ["a.wake", "--repetitions", "0"]])
def test_wrong_usage_is_exit_code_2(arguments, call):
    done = call("bench", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Usage: ")
    assert "speechtl bench" in done.stderr


def test_help_shows_the_options_of_measuring_and_names_the_comparison(call):
    done = call("bench", "--help")
    assert done.returncode == 0
    assert "--positives" in done.stdout
    assert "speechtl bench compare" in done.stdout


@pytest.mark.slow
def test_a_fresh_python_is_started_as_asked(tiny_bundle, tmp_path, call):
    python = tmp_path / "my python"
    python.write_text(f'#!/bin/sh\ntouch "{tmp_path}/started"\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    done = call("bench", tiny_bundle, "--repetitions", "1", "--json", "--python", f"'{python}'")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "started").exists()
    done = call("bench", tiny_bundle, "--python", tmp_path / "none")
    assert (done.returncode, done.stdout) == (2, "")
    assert "none cannot be started: No such file or directory." in done.stderr
