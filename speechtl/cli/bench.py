"""`speechtl bench ...`: measure what a bundle costs on this machine, and compare two such reports."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from speechtl.cli.options import STDOUT, Command, EngineOption, GraphOption, JsonFileOption, plot_file
from speechtl.errors import CheckFailedError, ManifestError, SpeechtlError
from speechtl.progress import progress as progress_of
from speechtl.progress import say
from speechtl.text import echo_json

if TYPE_CHECKING:
    from speechtl.bench.stimulus import Spoken

SPLIT = "test"
EXAMPLE = """Example: speechtl bench computer.wake --json here.json   then, with the report of another machine:
speechtl bench compare here.json there.json"""


class BenchGroup(TyperGroup):
    """A group in which `bench NAME.wake` is `bench run NAME.wake`."""

    ignore_unknown_options = True  # they are those of `run`

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that the first argument names, else `run`."""
        return super().resolve_command(ctx, args if args[0] in self.commands else ["run", *args])


app = typer.Typer(
    name="bench",
    help="Measure what a bundle costs on this machine; compare machines. `bench NAME.wake` is `bench run NAME.wake`.",
    epilog=EXAMPLE,
    cls=BenchGroup,
    no_args_is_help=True,
    add_help_option=False,  # `bench --help` is the help of `run`, which mentions `compare`
)


@app.command(epilog=EXAMPLE, cls=Command)
def run(
    bundle: Annotated[Path, typer.Argument(metavar="NAME.wake", help="A bundle for a wake word or for pictures.", show_default=False)],
    json_file: JsonFileOption = None,
    graph: GraphOption = None,
    engine: EngineOption = None,
    repetitions: Annotated[int, typer.Option(min=1, max=1000, help="Number of repetitions, each in a new process.")] = 5,
    positives: Annotated[
        list[Path] | None, typer.Option(metavar="MANIFEST...", help="Recordings of the word, for the detection delay.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Split to use (manifests with splits).", show_default=SPLIT)] = None,
    python: Annotated[
        str | None, typer.Option(metavar="COMMAND", help="Command that starts Python for the measured processes (emulators).")
    ] = None,
) -> None:
    """Measure a bundle on this machine: time and CPU of every stage, memory, start; for a wake word also missed deadlines and delay."""
    from speechtl.bench.run import bench, check_takes_audio
    from speechtl.bench.show import print_report

    if positives or split:
        check_takes_audio(bundle)
    chosen: dict[str, Any] = {"graph": graph, "engine": engine, "repetitions": repetitions}
    if python:
        chosen["python"] = _command(python)
    if positives:
        chosen |= {"words": _words(positives, split or SPLIT), "words_from": ", ".join(path.name for path in positives)}
    with progress_of("measuring") as progress:
        report = bench(bundle, **chosen, progress=progress)
    if json_file != STDOUT:
        print_report(report)
    if json_file is not None:
        _write(json_file, report)


@app.command(cls=Command, epilog="Example: speechtl bench compare here.json there.json --budget device/budgets.toml --plot compared.png")
def compare(
    first: Annotated[Path, typer.Argument(metavar="A.json", help="A report of speechtl bench.", show_default=False)],
    second: Annotated[Path, typer.Argument(metavar="B.json", help="The report to compare it with.", show_default=False)],
    budget: Annotated[Path | None, typer.Option(metavar="FILE", help="TOML file of limits that both reports must meet.")] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Plot both side by side (PNG, SVG or PDF).", callback=plot_file)
    ] = None,
    json_file: JsonFileOption = None,
) -> None:
    """Compare two reports: ratios, score drift between machines, budgets. Exit code 1 if scores differ or a budget is exceeded."""
    from speechtl.bench.compare import compare as compare_reports
    from speechtl.bench.compare import read_budgets
    from speechtl.bench.report import read_report
    from speechtl.bench.show import check_plot, draw, print_comparison

    if plot is not None:
        check_plot(plot)
    result = compare_reports(read_report(first), read_report(second), read_budgets(budget) if budget else ())
    if json_file != STDOUT:
        print_comparison(result)
    if json_file is not None:
        _write(json_file, result.to_json())
    if plot is not None:
        draw(result, plot)
        say(f"Plot written to {plot}.")
    if not result.ok:
        broken = sum(not verdict.ok for verdict in result.verdicts)
        what = [] if result.drift.ok else ["the scores differ between the machines"]
        what += [f"{broken} of {len(result.verdicts)} budgets are exceeded"] if broken else []
        raise CheckFailedError(f"{first} and {second}: {' and '.join(what)}.")


def _command(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise SpeechtlError(f"--python must be a command in shell syntax; got {text!r} ({error}).") from error


def _words(manifests: list[Path], split: str) -> list[Spoken]:
    from speechtl.audio.data.manifest import read_manifests
    from speechtl.audio.data.recordings import load_recordings, log_silent
    from speechtl.bench.stimulus import Spoken

    clips = read_manifests(manifests)
    if any(clip.split for clip in clips):
        clips = [clip for clip in clips if clip.split in (split, None)]
    if not clips:
        raise ManifestError(f"No recording of {', '.join(map(str, manifests))} has split {split!r}.")
    recordings = load_recordings(clips, find_words=True, on_skip=lambda problem: say(f"Skipped: {problem}"))
    log_silent(recordings, say)
    return [Spoken(recording.samples(), *recording.word) for recording in recordings]


def _write(target: str, document: dict[str, Any]) -> None:
    from speechtl.files import write_json

    if target == STDOUT:
        echo_json(document, indent=2)
    else:
        write_json(Path(target), document)
        say(f"Written to {target}.")
