import os
import subprocess
import sys

import pytest
import typer

import speechtl
from speechtl.cli.app import app, main


def test_the_version_is_the_packages(call):
    done = call("--version")
    assert (done.returncode, done.stdout) == (0, f"speechtl {speechtl.__version__}\n")


COMMANDS = [
    "demo",
    "record",
    "train",
    "evaluate",
    "export",
    "verify",
    "microwakeword",
    "detect",
    "words",
    "listen",
    "tally",
    "doctor",
    "serve",
    "adapt",
    "studio",
    "advise",
    "look",
    "bench",
    "image",
    "data",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command, call):
    done = call(command, "--help")
    assert done.returncode == 0
    assert "Usage" in done.stdout
    assert command in ("data", "image") or "Example: speechtl" in done.stdout


def test_help_lists_the_commands_in_the_order_in_which_they_are_used():
    group = typer.main.get_command(app)
    assert group.list_commands(typer.Context(group)) == COMMANDS


@pytest.mark.parametrize(("command", "says"), [("evaluate", "(10; world: 20 10 5 0 -5)"), ("advise", "(head last:2 all scratch)")])
def test_help_tells_the_values_of_an_option_that_may_be_repeated(command, says, call):
    assert f"[default: {says}]" in " ".join(call(command, "--help").stdout.replace("│", "").split())


@pytest.mark.parametrize(
    "arguments",
    [
        ["detect", "--treshold", "0.5"],
        ["dettect"],
        ["detect"],
        ["detect", "a", "b", "--threshold", "2"],
        ["listen", "a", "--refractory", "x=y"],
        ["train", "--seed", "x"],
    ],
)
def test_wrong_usage_is_exit_code_2(arguments, call):
    done = call(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Usage" in done.stderr


@pytest.mark.parametrize(("package", "says"), [("torch", "speechtl[train]"), ("lightning_fabric", "speechtl[train]"), ("soxr", "soxr")])
def test_a_missing_package_is_named_with_the_pip_command(package, says, monkeypatch, call):
    monkeypatch.setattr("speechtl.cli.app.app", without(package))
    done = call("train")
    assert done.returncode == 2
    assert f"pip install {says!r}".replace("'soxr'", "soxr") in done.stderr


def test_a_missing_module_of_no_extra_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr("speechtl.cli.app.app", without("speechtl.nowhere"))
    with pytest.raises(ModuleNotFoundError):
        main()


def without(package: str):
    def app(arguments):
        raise ModuleNotFoundError(f"No module named {package!r}", name=package)

    return app


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_closed_stream_leads_nowhere(number):
    program = "\n".join(
        [
            "from speechtl.runtime.silence import quiet",
            "from speechtl.cli.app import _open_closed_streams as begin",
            "begin()",
            "with quiet(): print('x')",
            "print('y', flush=True)",
        ]
    )
    done = subprocess.run([sys.executable, "-c", program], preexec_fn=lambda: os.close(number), capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
