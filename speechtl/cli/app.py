"""The `speechtl` command and its exit codes. Heavy imports happen inside the sub-commands."""

from __future__ import annotations

import os
import re
import sys
from typing import Annotated

import typer

from speechtl import __version__
from speechtl.cli import adapt, bench, data, device, image, micro, ready, record, study, words
from speechtl.cli.options import Command
from speechtl.cli.studio import studio
from speechtl.errors import INTERRUPTED, MissingExtraError, SpeechtlError, os_sentence, sentence_of
from speechtl.text import echo, one_line

BASE_PACKAGES = {"numpy", "soxr", "soundfile", "rich"}

app = typer.Typer(
    name="speechtl",
    help="Wake-word detection by transfer learning, from a workstation to a Raspberry Pi.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the command line: errors raised on purpose become one sentence on stderr and an exit code."""
    _open_closed_streams()
    try:
        app([_at_home(argument) for argument in sys.argv[1:]])
    except SpeechtlError as error:
        _stop(sentence_of(error), error.exit_code)
    except ModuleNotFoundError as error:
        package = (error.name or "").split(".")[0]
        if package in BASE_PACKAGES:
            _stop(f"This command needs the package {package}, which is not installed. Install it with: pip install {package}", 2)
        if not _is_of_training(package):
            raise
        _stop(str(MissingExtraError("This command", "train")), 2)
    except SystemExit as stop:
        if isinstance(stop.__context__, BrokenPipeError):  # typer turns it into exit code 1
            sys.exit(0)
        raise
    except OSError as error:
        _stop(one_line(os_sentence(error)), 2)
    except KeyboardInterrupt:
        _stop("Stopped.", INTERRUPTED)


def _is_of_training(package: str) -> bool:
    """Whether the extra `train` installs a package; any package may be of it where speechtl runs without being installed."""
    from importlib.metadata import PackageNotFoundError, requires

    try:
        lines = requires("speechtl") or []
    except PackageNotFoundError:
        return True
    names = {re.split(r"[^\w.-]", line)[0] for line in lines if re.search(r"""extra == ['"]train['"]""", line)}
    return package in {name.replace("-", "_") for name in names}


def _at_home(argument: str) -> str:
    """An argument with the home folder in place of `~/`, also after `--option=`, where shells do not replace it."""
    if "~/" not in argument:
        return argument
    from speechtl.files import expanded

    option, equals, value = argument.partition("=") if argument.startswith("--") else ("", "", argument)
    return option + equals + (expanded(value) if value.startswith("~/") else value)


def _open_closed_streams() -> None:
    """Open the null device in place of standard streams that the parent process closed: the next file would get their number."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        if number:
            setattr(sys, ("stdin", "stdout", "stderr")[number], os.fdopen(number, "w", closefd=False))
    os.close(number)


def _stop(sentence: str, code: int) -> None:
    echo(f"speechtl: {sentence}", err=True)
    sys.exit(code)


def _version(value: bool) -> None:
    if value:
        echo(f"speechtl {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Wake-word detection by transfer learning, from a workstation to a Raspberry Pi."""


# `--help` lists the commands in this order.
for command, example in (
    (words.demo, "speechtl demo"),
    (record.record, "speechtl record computer --takes 20   or: speechtl record computer --negatives"),
    (words.train, "speechtl train training/recipes/words/computer.toml --out runs/computer"),
    (
        words.evaluate,
        "speechtl evaluate runs/computer --positives data_manifests/wake_computer.jsonl "
        "--negatives data_manifests/speechocean762.jsonl --out report",
    ),
    (words.export, "speechtl export runs/computer -o computer.wake   or: speechtl export runs/computer runs/jarvis -o home.wake"),
    (words.verify, "speechtl verify computer.wake"),
    (micro.microwakeword, "speechtl microwakeword runs/computer --out esphome"),
    (
        words.detect,
        "speechtl detect computer.wake recording.wav   or: arecord -t raw -f S16_LE -r 16000 | speechtl detect computer.wake -",
    ),
    (ready.words, "speechtl words   or: speechtl words computer"),
    (device.listen, device.LISTEN_EXAMPLE),
    (device.tally, "speechtl tally tally.jsonl"),
    (device.doctor, "speechtl doctor computer.wake --device USB"),
    (device.serve, "speechtl serve computer.wake --uri tcp://0.0.0.0:10400 --zeroconf kitchen"),
    (
        adapt.adapt,
        "speechtl adapt computer.wake --clips clips -o computer.wake --keep-previous   or, to go back: speechtl adapt computer.wake --undo",
    ),
    (studio, "speechtl studio words --lan"),
    (study.advise, "speechtl advise training/recipes/words/computer.toml"),
    (study.look, "speechtl look speech-embedding data_manifests/wake_computer.jsonl --out looks"),
):
    app.command(epilog=f"Example: {example}", cls=Command)(command)
for group in (bench.app, image.app, data.app):
    app.add_typer(group)
