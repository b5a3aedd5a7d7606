"""Options that several commands share, the checks of outputs, and options that take several values.

The place that an output option names is checked while the command line is read, before any other work.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from speechtl.errors import DiskFullError, MissingExtraError, SpeechtlError
from speechtl.runtime.bundle.choice import PerWord, rates, refractory_times, thresholds

STDOUT = "-"
OPTIONAL_FILE = "[FILE]"  # metavar of an option whose value may be left out: standard output
SEVERAL = "..."  # ends the metavar of an option that takes several values: --positives A B
SOURCES = f"MANIFEST/FOLDER{SEVERAL}"  # a | would end a cell of a Markdown table


class Command(TyperCommand):
    """A command with options that take several values or an optional one; typer itself reads exactly one for each."""

    def make_parser(self, ctx: Any) -> Any:
        """The parser of typer, with what its options do after their name was read."""
        parser: Any = super().make_parser(ctx)
        arguments = sum(parameter.required for parameter in self.params if parameter.param_type_name == "argument")
        for option in set(parser._long_opt.values()):
            metavar = option.obj.metavar or ""
            if metavar == OPTIONAL_FILE:
                option.nargs = 0
                option.process = partial(_read_optional, option.process)
            elif metavar.endswith(SEVERAL):
                option.process = partial(_read_several, option.process, option.obj.opts[0], arguments)
        return parser


def _read_optional(process: Callable[[str, Any], None], _: Any, state: Any) -> None:
    """Process the next word as the value, unless an option or the end of the command line follows."""
    process(STDOUT if not state.rargs or state.rargs[0].startswith("--") else state.rargs.pop(0), state)


def _read_several(process: Callable[[str, Any], None], name: str, arguments: int, value: str, state: Any) -> None:
    """Process a value and those that follow it, up to the next option, a recipe, or an argument that is still missing."""
    if value.startswith("--"):
        raise SpeechtlError(f"{name} needs a value; {value} is the next option.")
    process(value, state)
    while len(state.largs) >= arguments and state.rargs and not _is_option(state.rargs[0]) and not state.rargs[0].endswith(".toml"):
        process(state.rargs.pop(0), state)


def _is_option(word: str) -> bool:
    """Whether a word of the command line is an option, not a negative number."""
    return word.startswith("-") and not re.fullmatch(r"-\d+(\.\d*)?", word)


@contextmanager
def needing(extra: str, what: str) -> Iterator[None]:
    """Import what an extra brings; raises `MissingExtraError` where a package of it is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("speechtl"):
            raise
        raise MissingExtraError(what, extra) from error


def output_file(target: Path | None) -> Path | None:
    """The option's value; raises `SpeechtlError` where no file can be written to it."""
    from speechtl.files import check_place  # loads in milliseconds, but not with every command

    if target is not None:
        check_place(target)
    return target


def output_folder(target: Path | None) -> Path | None:
    """The option's value; raises `SpeechtlError` where no folder can be made or written to."""
    from speechtl.files import check_folder

    if target is not None:
        check_folder(target)
    return target


def clips_folder(target: Path | None) -> Path | None:
    """The option's value, checked like `output_folder`, except that a full disk does not stop anyone from listening."""
    with suppress(DiskFullError):
        output_folder(target)
    return target


def tally_file(target: Path | None) -> Path | None:
    """The option's value, checked like `output_file`, except that a full disk does not stop anyone from listening."""
    with suppress(DiskFullError):
        output_file(target)
    return target


def report_file(target: str | None) -> str | None:
    """The option's value, which may be `-` for standard output; raises `SpeechtlError` for the name of a bundle."""
    if target is not None and target != STDOUT:
        path = Path(target)
        output_file(path)
        if path.suffix == ".wake":
            raise SpeechtlError(f"{path} has the name of a bundle; give the report another one, such as {path.with_suffix('.json')}")
    return target


def finite(value: float) -> float:
    """The option's value; infinity and NaN are wrong usage."""
    if not math.isfinite(value):
        raise typer.BadParameter(f"it must be a number; got {value}.")
    return value


def plot_file(target: Path | None) -> Path | None:
    """The option's value, checked like `report_file`, for a picture."""
    report_file(None if target is None else str(target))
    return target


def nothing_required(context: typer.Context, value: Path | None) -> Path | None:
    """The value of an option that is eager and, where it is given, takes the place of everything that the command requires."""
    if value is not None:
        for parameter in context.command.params:
            parameter.required = False
    return value


def only_beside(context: typer.Context, option: str, allowed: Collection[str]) -> None:
    """Raise `SpeechtlError` for an option or argument that makes no sense beside an option; `allowed` are names of parameters."""
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if parameter.name not in allowed and source is not None and source.name == "COMMANDLINE":
            raise SpeechtlError(f"{option} takes everything else from the report; leave out {parameter.opts[-1]}.")


CHECKS = (output_file, output_folder, clips_folder, tally_file, report_file, plot_file)


def _checked(read: Callable[[list[str]], PerWord]) -> Callable[[list[str] | None], list[str] | None]:
    """A callback that refuses as wrong usage what `read` cannot read."""

    def callback(given: list[str] | None) -> list[str] | None:
        try:
            read(given or [])
        except SpeechtlError as error:
            raise typer.BadParameter(str(error)) from error
        return given

    return callback


def _per_word(name: str, read: Callable[[list[str]], PerWord], help_text: str) -> Any:
    return typer.Option(name, metavar="[WORD=]NUMBER", callback=_checked(read), show_default=False, help=help_text)


BundleArgument = Annotated[Path, typer.Argument(metavar="NAME.wake", help="A bundle, or a ready word.", show_default=False)]
BundlesArgument = Annotated[
    list[Path],
    typer.Argument(metavar="NAME.wake...", help="Bundles, ready words, or folders of bundles, which are watched.", show_default=False),
]
RecipeArgument = Annotated[Path, typer.Argument(help="A recipe (TOML).", show_default=False)]
JsonOption = Annotated[bool, typer.Option("--json", help="Write JSON to standard output, everything else to standard error.")]
JsonFileOption = Annotated[
    str | None,
    typer.Option(
        "--json",
        metavar=OPTIONAL_FILE,
        callback=report_file,
        help="Write one JSON document to this file; without a file, to standard output.",
    ),
]
ResumeOption = Annotated[bool, typer.Option("--resume", help="Continue after an interruption.")]
RunOption = Annotated[Path | None, typer.Option("--out", help="Folder for the run; default: runs/NAME.", callback=output_folder)]
BundleOption = Annotated[Path, typer.Option("-o", "--out", help="The bundle to write.", show_default=False, callback=output_file)]
PicturesOption = Annotated[Path, typer.Option("--out", help="Folder for the pictures.", callback=output_folder)]
GraphOption = Annotated[str | None, typer.Option("--graph", help="Graph of the bundle to run; default: the one it prefers.")]
EngineOption = Annotated[
    str | None, typer.Option("--engine", help="Runtime: onnxruntime, ai-edge-litert or tflite-runtime; default: what is installed.")
]
SplitOption = Annotated[str, typer.Option("--split", help="Split to use (manifests with splits).")]
ThresholdOption = Annotated[
    list[str] | None,
    _per_word(
        "--threshold",
        thresholds,
        "Score of an event, above 0, in place of the calibrated one: 0.6, or computer=0.7 for one word; may be repeated.",
    ),
]
RateOfDayOption = Annotated[
    list[str] | None,
    _per_word(
        "--false-accepts-per-day",
        rates,
        "Threshold for so many false accepts a day, which the words of a bundle share: 1, or computer=0.5 for one word; may be repeated.",
    ),
]
RefractoryOption = Annotated[
    list[str] | None,
    _per_word(
        "--refractory",
        refractory_times,
        "Least time between two events of a word (seconds): 2, or computer=3 for one word; may be repeated.",
    ),
]
UnitsOption = Annotated[int, typer.Option("--units", min=1, max=24, help="Units of each layer.")]
