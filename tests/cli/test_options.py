"""Every command and program tries the place of what it writes before it does anything else."""

import ast
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer

from speechtl.cli.app import app, main
from speechtl.cli.options import CHECKS, clips_folder, needing, output_folder
from speechtl.errors import DiskFullError, MissingExtraError, SpeechtlError

ROOT = Path(__file__).parents[2]
# Options that name what is read. Whatever else takes a path, a file or a folder has to be tried before the work.
READ = {
    *("--positives", "--negatives", "--noise", "--talk", "--music", "--mine", "--rooms", "--budget", "--dry-run", "--require", "--repeat"),
    *("--clips", "--manifest", "--send-clips"),
}
PROGRAMS_READ = READ | {"--ages", "--audio", "--identity", "--speakers"}
TRIED_INSIDE = {("harness.py", "--out"), ("harness.py", "--plot")}  # with a sentence of the program's own; tests/device/test_harness.py
WRITTEN = {"--out", "-o", "--json", "--plot", "--save-clips", "--record", "--save", "--output", "--report", "--readme", "--cache"}
UNWRITABLE = Path("/proc/nope")  # which not even root may write to, whatever its permissions say


def commands(group=None, words=()):
    """Every command of the command line, with the words that call it."""
    for name, command in (group or typer.main.get_command(app)).commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*words, name))
        else:
            yield (*words, name), command


def takes_a_place(option) -> bool:
    named = {"FILE", "DIR", "FOLDER", "PATH"}
    return option.type.name in ("path", "file", "directory") or any(word in (option.metavar or "").upper() for word in named)


def checks_of(option) -> list:
    """What is called with the option's value (typer wraps the function that a command names)."""
    inner = [cell.cell_contents for cell in (getattr(option.callback, "__closure__", None) or ())]
    return [check for check in CHECKS if check in inner]


PLACES = [
    (words, option)
    for words, command in commands()
    for option in command.params
    if option.param_type_name == "option" and takes_a_place(option) and not READ.intersection(option.opts)
]
NAMES = [f"{' '.join(words)} {option.opts[-1]}" for words, option in PLACES]


def test_the_options_that_name_outputs_are_found():
    assert {"train --out", "evaluate --out", "export --out", "bench run --json", "bench compare --plot", "listen --save-clips"} <= set(
        NAMES
    )


@pytest.mark.parametrize(("words", "option"), PLACES, ids=NAMES)
def test_an_option_is_tried_or_known_to_be_read(words, option):
    assert checks_of(option), f"{' '.join(words)} {option.opts[-1]}: give it a callback of speechtl.cli.options, or add it to READ here"


def refused(words, option, place, monkeypatch, capsys, tmp_path) -> str:
    """Call a command with such an output and with arguments that do not exist; return the sentence that it ends with."""
    command = dict(commands())[words]
    given = [str(tmp_path / "none") for parameter in command.params if parameter.param_type_name == "argument" and parameter.required]
    needed = [
        text
        for one in command.params
        if one.param_type_name == "option" and one.required and one.opts != option.opts
        for text in (one.opts[0], str(tmp_path / "none"))
    ]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["speechtl", *words, option.opts[0], str(place), *needed, *given])
    before = set(sys.modules)
    begun = time.process_time()  # what other processes take is not counted
    with pytest.raises(SystemExit) as stopped:
        main()
    assert time.process_time() - begun < 1.0
    assert not [name for name in ("torch", "onnxruntime", "soundfile", "speechtl.runtime.sound.files") if name in set(sys.modules) - before]
    said = capsys.readouterr()
    assert (stopped.value.code, said.out) == (2, "")
    assert said.err.startswith("speechtl: ")
    assert said.err.count("\n") == 1
    return said.err


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="there is no /proc")
@pytest.mark.parametrize(("words", "option"), PLACES, ids=NAMES)
def test_a_place_that_cannot_be_written_to_is_one_sentence_before_any_work(words, option, monkeypatch, capsys, tmp_path):
    assert f"{UNWRITABLE} cannot be written" in refused(words, option, UNWRITABLE, monkeypatch, capsys, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("words", "option"), PLACES, ids=NAMES)
def test_a_folder_for_a_file_and_a_file_for_a_folder_are_one_sentence_before_any_work(words, option, monkeypatch, capsys, tmp_path):
    folder = bool({output_folder, clips_folder}.intersection(checks_of(option)))
    place = tmp_path / "there"
    place.touch() if folder else place.mkdir()
    expected = "is a file; give a folder" if folder else "is a folder; give the name of a file"
    assert expected in refused(words, option, place, monkeypatch, capsys, tmp_path)


def test_a_full_disk_keeps_nobody_from_listening(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=0))
    with pytest.raises(DiskFullError, match=r"has 0\.0 MB left"):
        output_folder(tmp_path)
    assert clips_folder(tmp_path / "clips") == tmp_path / "clips"
    (tmp_path / "file").touch()
    with pytest.raises(SpeechtlError, match="is a file"):
        clips_folder(tmp_path / "file")


def options_of_programs():
    """Every option of the programs with what says its type, read from their source."""
    for path in sorted(ROOT.glob("training/*.py")) + sorted(ROOT.glob("export/*.py")) + sorted(ROOT.glob("device/**/*.py")):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "add_argument":
                names = [name.value for name in call.args if isinstance(name, ast.Constant)]
                keywords = {keyword.arg: keyword.value for keyword in call.keywords}
                if names and names[0].startswith("-"):
                    yield path.name, names, keywords


def test_every_output_of_every_program_is_tried_when_its_arguments_are_read():
    tried = []
    for program, names, keywords in options_of_programs():
        if "action" in keywords or PROGRAMS_READ.intersection(names) or (program, names[-1]) in TRIED_INSIDE:
            continue
        kind = getattr(keywords.get("type"), "id", None)
        if kind == "Path" or WRITTEN.intersection(names):
            assert kind in ("output_file", "output_folder"), f"{program} {names}: give it a type of speechtl.arguments"
            default = keywords.get("default")
            assert default is None or isinstance(default, ast.Constant), f"{program} {names}: argparse tries only a default that is text"
            tried.append((program, names[-1]))
    assert {("pretrain.py", "--out"), ("to_openwakeword.py", "--out"), ("emulate.py", "--json")} <= set(tried)


def test_a_missing_package_names_the_extra_that_brings_it():
    with pytest.raises(MissingExtraError, match=r"The studio needs .*pip install 'speechtl\[studio\]'"), needing("studio", "The studio"):
        raise ModuleNotFoundError("No module named 'pydantic'", name="pydantic")
    with pytest.raises(ModuleNotFoundError), needing("studio", "The studio"):
        raise ModuleNotFoundError("No module named 'speechtl.nowhere'", name="speechtl.nowhere")


def test_negative_numbers_are_values_and_options_are_not(call):
    done = call("evaluate", "none", "--positives", "p", "--negatives", "n", "--noise", "p", "--snr", "5", "-5")
    assert (done.returncode, done.stdout) == (2, "")
    assert "none does not exist" in done.stderr
    done = call("train", "--name", "x", "--positives", "--negatives", "c")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "speechtl: --positives needs a value; --negatives is the next option.\n"
