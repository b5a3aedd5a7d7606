"""Commands in the documents: programs and options exist, and what needs neither time nor a device runs."""

import argparse
import re
import runpy
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.documents.pages import DOCUMENTS, ROOT, blocks

MARK = re.compile(r"\b(needs?|takes?|downloads?)\b")  # in a comment: the command cannot run in a test
SYSTEM = {"apt-get", "aplay", "arecord", "cd", "docker", "git", "journalctl", "npm", "scp", "ssh", "systemctl"}
MODULES = {"venv", "http.server", "tests.fuzz", "speechtl.places.ros2"}
STUDIES = ROOT / "training" / "studies" / "README.md"


@dataclass(frozen=True)
class Command:
    """One command of a document; `runs` unless a comment says what it needs."""

    document: str
    words: tuple[str, ...]
    runs: bool

    def __str__(self) -> str:
        return f"{self.document}: {shlex.join(self.words)}"


def commands_of(document: Path) -> list[Command]:
    found = []
    for block in blocks(document, "sh"):
        marked = document == STUDIES
        for line in block.replace("\\\n", " ").splitlines():
            comment = re.search(r"(?:^|\s)#(.*)", line)
            needs = marked or (comment is not None and MARK.search(comment[1]) is not None)
            words = shlex.split(line, comments=True)
            marked = needs if not words else marked  # a comment on a line of its own is about the rest of the block
            found += [Command(str(document.relative_to(ROOT)), part, not needs) for part in parts(words)]
    return found


def parts(words: list[str]) -> list[tuple[str, ...]]:
    """The single commands of a line, without what runs them as another user or with another environment."""
    commands: list[list[str]] = [[]]
    for word in words:
        if word in ("&&", "|"):
            commands.append([])
        elif commands[-1] or not (word in ("sudo", "time", "linux32") or re.match(r"[A-Z_]+=", word)):
            commands[-1].append(word)
    return [tuple(command) for command in commands if command]


COMMANDS = list(dict.fromkeys(command for document in DOCUMENTS for command in commands_of(document)))


def test_every_document_with_commands_is_read():
    assert {command.document for command in COMMANDS} >= {"README.md", "training/README.md", "export/README.md", "device/README.md"}
    assert len(COMMANDS) > 60


def test_the_first_commands_are_those_of_the_gate():
    gate = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    (setup,) = [block.split("  #")[0] for block in blocks(ROOT / "README.md", "sh") if "pytest -n" in block]
    assert setup in gate


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_a_command_has_only_options_that_exist(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    program, *arguments = command.words
    name = Path(program).name
    if name == "speechtl":
        parse(arguments)
    elif name in ("python", "python3"):
        check_python(arguments, monkeypatch)
    elif name == "pytest":
        assert all((ROOT / part).exists() for part in arguments if "/" in part)
    elif name == "pip":
        check_extras(arguments)
    elif name in ("install.sh", "run"):
        script = ROOT / program.removeprefix("speechtl/")
        assert all(option in script.read_text(encoding="utf-8") for option in arguments if option.startswith("--"))
    else:
        assert name in SYSTEM, f"{program} is not known; add it to SYSTEM if it comes with the system"


def parse(arguments: list[str]) -> None:
    """Parse a command line of speechtl with its own parser, without running it."""
    import typer

    from speechtl.cli.app import app

    command, name = typer.main.get_command(app), "speechtl"
    while getattr(command, "commands", None):
        name = arguments.pop(0) if arguments[0] in command.commands else "run"
        command = command.commands[name]
    with command.make_context(name, arguments):
        pass


def test_an_option_that_does_not_exist_is_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Exception, match="No such option: --thresholds"):
        parse(["detect", "a.wake", "b.wav", "--thresholds", "0.5"])
    with pytest.raises(SystemExit):
        parse_program("export/verify.py", ["a.wake", "--certified"], monkeypatch)


def check_python(arguments: list[str], monkeypatch) -> None:
    if arguments[0] == "-c":
        exec(arguments[1].split(";")[0])  # what it imports
    elif arguments[0] == "-m":
        assert arguments[1] in MODULES
    else:
        parse_program(arguments[0], [inner for argument in arguments[1:] for inner in expanded(argument)], monkeypatch)


class ParsedError(BaseException):
    """The arguments of a program are right."""


def parse_program(program: str, arguments: list[str], monkeypatch) -> None:
    """Run a program up to the point at which its arguments are parsed."""
    for name in ("parse_args", "parse_intermixed_args"):
        monkeypatch.setattr(argparse.ArgumentParser, name, stop_after(getattr(argparse.ArgumentParser, name)))
    monkeypatch.setattr(sys, "argv", [program, *arguments])
    monkeypatch.setattr(sys, "path", [str((ROOT / program).parent), *sys.path])
    with pytest.raises(ParsedError):
        runpy.run_path(str(ROOT / program), run_name="__main__")


def stop_after(parse_args):
    def parse_and_stop(*arguments):
        parse_args(*arguments)
        raise ParsedError

    return parse_and_stop


def expanded(word: str) -> list[str]:
    """The words that a shell makes of `a{b,c}`."""
    braces = re.fullmatch(r"(.*)\{(.*)\}(.*)", word)
    return [braces[1] + part + braces[3] for part in braces[2].split(",")] if braces else [word]


def check_extras(arguments: list[str]) -> None:
    from speechtl.toml_files import read_toml

    known = read_toml(ROOT / "pyproject.toml")["project"]["optional-dependencies"]
    for argument in arguments:
        for extras in re.findall(r"\[(.*)\]", argument):
            assert set(extras.split(",")) <= set(known)


def test_every_recipe_manifest_and_program_that_is_named_is_there():
    texts = [path.read_text(encoding="utf-8") for part in ("speechtl", "training", "device") for path in (ROOT / part).rglob("*.py")]
    texts += [document.read_text(encoding="utf-8") for document in DOCUMENTS]
    pattern = r"(?<![\w/])(?:speechtl(?!/device)|training|data_manifests|export|device)/[\w/{},-]+\.(?:toml|jsonl|py|sh)\b"
    named = {path for text in texts for found in re.findall(pattern, text) for path in expanded(found)}
    assert len(named) > 20
    assert not [path for path in sorted(named) if not (ROOT / path).is_file()]


@pytest.fixture
def workplace(recorded_run, known_tiny, tiny_bundle, halves, said, tmp_path, monkeypatch):
    """A folder in which the commands of the documents find what they name: small runs, recordings and pictures."""
    from speechtl.audio.run import save_run

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPEECHTL_CACHE", str(tmp_path / "cache"))
    for name in ("training", "data_manifests", "device"):
        (tmp_path / name).symlink_to(ROOT / name)
    run = recorded_run("marvin")
    (tmp_path / "runs" / "marvin").mkdir(parents=True)
    save_run(tmp_path / "runs" / "marvin", run.network, run.about)
    shutil.copy(tiny_bundle, tmp_path / "computer.wake")
    write_recordings(tmp_path, said)
    shutil.copytree(halves / "run", tmp_path / "runs" / "leaves")
    shutil.copytree(halves / "halves", tmp_path / "pictures" / "leaves")
    shutil.copy(next((halves / "halves").rglob("*.png")), tmp_path / "new.jpg")
    return tmp_path


def write_recordings(folder: Path, said) -> None:
    """Write recordings of a word by three speakers, twice, and of anything else."""
    random = np.random.default_rng(0)
    for kind in ("recordings/marvin", "kept/marvin"):
        for number in range(3):
            (folder / kind / f"speaker{number}").mkdir(parents=True)
            take = said.with_pauses([said.spoken(pitch=110.0 + 20.0 * number)], [0.5], 40.0, seed=number)
            soundfile.write(folder / kind / f"speaker{number}" / "take.wav", take, 16_000)
    (folder / "kept" / "other").mkdir()
    soundfile.write(folder / "kept" / "other" / "long.wav", random.normal(0, 0.002, 20 * 16_000), 16_000)
    soundfile.write(folder / "some_recording.wav", said.spoken(), 16_000)


@pytest.mark.slow
def test_commands_that_need_nothing_run_one_after_the_other(workplace, monkeypatch, capsys):
    from speechtl.cli.app import main

    ran = 0
    for command in COMMANDS:
        if command.runs and command.words[0] == "speechtl":
            words = [path for word in command.words for path in (sorted(map(str, Path().glob(word))) if "*" in word else [word])]
            monkeypatch.setattr(sys, "argv", words)
            with pytest.raises(SystemExit) as stopped:
                main()
            assert not stopped.value.code, f"{command}: {capsys.readouterr().err}"
            ran += 1
    assert ran > 10
