import json

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from speechtl.cli.data import app
from speechtl.errors import CheckFailedError, ManifestError


@pytest.fixture
def manifest(tmp_path):
    samples = np.random.default_rng(0).normal(0, 0.003, 24_000)
    samples[8_000:16_000] *= 50
    soundfile.write(tmp_path / "a.wav", samples, 16_000)
    path = tmp_path / "m.jsonl"
    path.write_text(json.dumps({"audio_filepath": "a.wav", "duration": 1.5, "label": "hello", "license": "MIT"}) + "\n")
    return path


def call(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.parametrize("command", ["verify", "pull", "stats", "align"])
def test_every_command_shows_an_example(command):
    result = call(command, "--help")
    assert result.exit_code == 0
    assert f"Example: speechtl data {command} " in result.stdout


@pytest.mark.parametrize(
    ("command", "key", "value"), [("verify", "ok", True), ("pull", "present", 1), ("stats", "clips", 1), ("align", "manifests", None)]
)
def test_json_is_one_document_on_standard_output(manifest, command, key, value):
    document = json.loads(call(command, manifest, "--json").stdout)
    assert key in document
    assert value is None or document[key] == value


def test_verify_lists_the_problems_and_fails(manifest):
    entry = json.loads(manifest.read_text())
    manifest.write_text("".join(json.dumps(entry | {"audio_filepath": name}) + "\n" for name in ("a.wav", "b.wav", "c.wav")))
    result = call("verify", manifest)
    assert [row.split(": ")[0] for row in result.stdout.splitlines() if row.startswith(str(manifest))] == [f"{manifest}:2", f"{manifest}:3"]
    assert isinstance(result.exception, CheckFailedError)
    assert [problem["line"] for problem in json.loads(call("verify", manifest, "--json").stdout)["problems"]] == [2, 3]


def test_a_manifest_that_cannot_be_read_is_another_error_than_a_failed_check(tmp_path):
    result = call("verify", tmp_path / "none.jsonl")
    assert isinstance(result.exception, ManifestError)
    assert result.exception.exit_code == 2


@pytest.mark.parametrize("command", ["verify", "stats"])
def test_a_folder_that_is_not_there_is_told(tmp_path, command):
    result = call(command, tmp_path / "nowhere")
    assert isinstance(result.exception, ManifestError)
    assert "nowhere does not exist; give a folder of recordings or a manifest" in str(result.exception)


def test_align_writes_the_limits_into_the_manifest(manifest):
    call("align", manifest)
    entry = json.loads(manifest.read_text())
    assert (entry["word_start"], entry["word_end"]) == pytest.approx((0.5, 1.0), abs=0.06)


def test_a_folder_and_a_recording_with_hostile_names_are_lines_of_text(tmp_path):
    folder = tmp_path / "[red]x[:smile:] \x1b[2J\nb"
    folder.mkdir()
    soundfile.write(folder / "a\x1b[2J\nspeechtl: All is well..wav", np.zeros(16_000), 16_000)
    (folder / "notes.txt").write_text("")
    verified, counted = call("verify", folder).output, call("stats", folder).output
    assert "\x1b" not in verified + counted
    assert not any(line.startswith(("b", "speechtl: All is well")) for line in (verified + counted).splitlines())
    assert "[red]x[:smile:] \\x1b[2J\\x0ab" in counted


def test_a_long_recording_is_cut_into_takes_with_a_table_and_as_json(tmp_path, said):
    long = tmp_path / "long.wav"
    words = [said.spoken("oue", pitch) for pitch in (110, 115, 120, 118)]
    soundfile.write(long, said.with_pauses([*words, said.spoken("iii", 118)], [1.0] * 5, 40.0), 16_000)
    arguments = ("split", long, "--word", "computer", "--speaker", "Ann", "--out", tmp_path / "out")
    result = call(*arguments)
    assert result.exit_code == 0, result.output
    assert result.stdout.count("good") == 4
    assert "different" in result.stdout
    assert "4 of 5 takes written" in result.stdout
    assert sorted(path.name for path in (tmp_path / "out" / "Ann").iterdir()) == [f"00{number}.wav" for number in range(1, 5)]
    document = json.loads(call(*arguments, "--all", "--json").stdout)
    assert [take["file"] is not None for take in document["takes"]] == [True] * 5
    assert len(list((tmp_path / "out" / "Ann").iterdir())) == 5


def test_a_recording_without_takes_fails_the_cut_with_a_sentence(manifest):
    result = call("split", manifest.with_name("a.wav"), manifest.with_name("no.wav"), "--word", "hello", "--out", manifest.parent / "out")
    assert isinstance(result.exception, CheckFailedError)
    assert "no.wav does not exist" in str(result.exception)
