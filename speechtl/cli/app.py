"""The `speechtl` command. Heavy imports happen inside the sub-commands."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from speechtl import __version__
from speechtl.cli.bench import app as bench_app
from speechtl.cli.data import app as data_app
from speechtl.cli.device import LISTEN_EXAMPLE, SERVE_EXAMPLE, doctor, listen, serve
from speechtl.cli.image import app as image_app
from speechtl.cli.outputs import output_file, output_folder
from speechtl.cli.study import advise, look
from speechtl.cli.word_options import RefractoryOption, ThresholdOption
from speechtl.errors import INTERRUPTED, CheckFailedError, MissingExtraError, RecipeError, SpeechtlError, os_sentence, sentence_of
from speechtl.progress import progress, say
from speechtl.text import counted, echo, echo_json, one_line

TRAIN_PACKAGES = {
    "torch",
    "lightning_fabric",
    "safetensors",
    "pydantic",
    "pyroomacoustics",
    "scipy",
    "onnx",
    "onnxscript",
    "matplotlib",
    "tomli",
}
BASE_PACKAGES = {"numpy", "soxr", "soundfile", "rich"}
AS_BUNDLE = 3  # times the size of its runs takes a bundle at most: two graphs in float, two in int8 and the golden audio
SEVERAL = {"--positives", "--negatives", "--noise", "--phrase"}  # options of train that may have several values

app = typer.Typer(
    name="speechtl",
    help="Wake-word detection by transfer learning, from a workstation to a Raspberry Pi.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Json = Annotated[bool, typer.Option("--json", help="Write for programs: JSON on standard output, everything else on standard error.")]
BundleArgument = Annotated[Path, typer.Argument(metavar="NAME.wake", help="A bundle.", show_default=False)]
Threshold = Annotated[float | None, typer.Option(min=0.0, max=1.0, help="Score for an event, above 0, in place of the calibrated one.")]
GraphOption = Annotated[str | None, typer.Option("--graph", help="Which graph of the bundle to run; by default the one it prefers.")]
EngineOption = Annotated[
    str | None, typer.Option("--engine", help="What runs it: onnxruntime, ai-edge-litert or tflite-runtime; by default what is installed.")
]


def main() -> None:
    """Run the command line: errors raised on purpose become one sentence on stderr and an exit code."""
    _open_closed_streams()
    try:
        app(_one_value_each([_at_home(argument) for argument in sys.argv[1:]]))
    except SpeechtlError as error:
        _stop(sentence_of(error), error.exit_code)
    except ModuleNotFoundError as error:
        package = (error.name or "").split(".")[0]
        if package in BASE_PACKAGES:
            _stop(f"This command needs the package {package}, which is not installed. Install it with: pip install {package}", 2)
        if package not in TRAIN_PACKAGES:
            raise
        _stop(str(MissingExtraError("This command", "train")), 2)
    except SystemExit as stop:
        if isinstance(stop.__context__, BrokenPipeError):  # typer makes an exit code of 1 of it
            sys.exit(0)
        raise
    except OSError as error:
        _stop(one_line(os_sentence(error)), 2)
    except KeyboardInterrupt:
        _stop("Stopped.", INTERRUPTED)


def _at_home(argument: str) -> str:
    """Put in the home folder for `~/`, also behind `--option=`, where shells leave it."""
    if "~/" not in argument:
        return argument
    from speechtl.files import expanded

    option, equals, value = argument.partition("=") if argument.startswith("--") else ("", "", argument)
    return option + equals + (expanded(value) if value.startswith("~/") else value)


def _open_closed_streams() -> None:
    """Let output go nowhere where a stream was closed by who started this: the next file opened would take its number."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        if number:
            setattr(sys, ("stdin", "stdout", "stderr")[number], os.fdopen(number, "w", closefd=False))
    os.close(number)


def _one_value_each(arguments: list[str]) -> list[str]:
    """Let `train --positives A B` stand for `--positives A --positives B`; the parser takes one value an option."""
    if arguments[:1] != ["train"]:
        return arguments
    spread: list[str] = []
    several = ""  # the option whose values may go on
    for argument in arguments:
        if argument.startswith("-") or argument.endswith(".toml"):
            several = argument if argument in SEVERAL else ""
        elif several and spread[-1] != several:
            spread.append(several)
        spread.append(argument)
    return spread


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


@app.command(epilog="Example: speechtl demo")
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the run, the bundle and the recordings.", callback=output_folder)] = Path(
        "runs/demo"
    ),
    word: Annotated[str, typer.Option(help="The wake word; real recordings are used for 'computer' where they are at hand.")] = "computer",
    real: Annotated[bool | None, typer.Option("--real/--synthetic", help="Insist on real or synthesised recordings.")] = None,
) -> None:
    """Do the main job in a few minutes: make or find recordings, train, export, detect, and show what came out."""
    with progress("loading"):
        from speechtl.demo import run_demo

    run_demo(out, word, real)


@app.command(epilog="Example: speechtl train training/recipes/words/computer.toml --out runs/computer")
def train(
    recipe: Annotated[Path | None, typer.Argument(help="A recipe (TOML).", show_default=False)] = None,
    name: Annotated[str | None, typer.Option(help="Without a recipe: the wake word's name.")] = None,
    phrase: Annotated[list[str] | None, typer.Option(help="What is spoken; by default the name.")] = None,
    positives: Annotated[
        list[Path] | None, typer.Option(help="Manifests or folders of the word; the sub-folders are its speakers.")
    ] = None,
    negatives: Annotated[list[Path] | None, typer.Option(help="Manifests or folders of anything else, also one long recording.")] = None,
    noise: Annotated[list[Path] | None, typer.Option(help="Manifests or folders of noises to mix in.")] = None,
    encoder: Annotated[
        str | None,
        typer.Option(
            help="Pretrained: conv-ctc, speech-embedding (by default where layers of it learn), both side by side as "
            "speech-embedding+conv-ctc (by default where they stay frozen), torchaudio:HUBERT_BASE, or a "
            "pretraining of your own as conv-ctc:FILE or conv-ctc-tiny:FILE."
        ),
    ] = None,
    head: Annotated[str | None, typer.Option(help="New layers: linear, conv, gru or attention.")] = None,
    policy: Annotated[str | None, typer.Option(help="What to train: head (the default), last:2, all or gradual.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything random.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the run; by default runs/NAME.", callback=output_folder)] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on after an interruption.")] = False,
    as_json: Json = False,
) -> None:
    """Train a wake word by transfer; prints recall and false accepts with 95 % limits."""
    with progress("loading"):
        from speechtl.audio.encoders import from_folder
        from speechtl.audio.evaluation.report import training_summary
        from speechtl.audio.recipe import make_recipe, read_recipe
        from speechtl.audio.training.train import train as run_training
        from speechtl.runs import begun

    if recipe is not None and (name or phrase or positives or negatives):
        raise RecipeError("A recipe says its own name, phrases, positives and negatives; leave out those options, or the recipe.")
    if recipe is None and not (name and positives and negatives):
        raise RecipeError("Give a recipe, or --name with --positives and --negatives. See: speechtl train --help")
    data = {"positives": positives, "negatives": negatives, "noise": noise}
    encoder = encoder and from_folder(encoder, Path())
    given: dict[str, Any] = {
        "data": {key: [str(path.absolute()) for path in paths] for key, paths in data.items() if paths},
        "transfer": {key: value for key, value in (("encoder", encoder), ("head", head), ("policy", policy)) if value},
        "train": {} if seed is None else {"seed": seed},
    }
    if recipe is None:
        made = make_recipe({"name": name, "phrases": phrase or [], **given}, base=Path(), source="The command line")
    else:
        made = read_recipe(recipe, given)
    out = out or Path("runs") / made.name
    try:
        about = run_training(made, out, resume=resume)
    except KeyboardInterrupt:
        _stop("Stopped." + (" The same command with --resume goes on from here." if begun(out) else ""), INTERRUPTED)
    _print_json(about) if as_json else echo(training_summary(about, out))


@app.command(
    epilog="Example: speechtl evaluate runs/computer --positives data_manifests/wake_computer.jsonl "
    "--negatives data_manifests/speechocean762.jsonl --out report"
)
def evaluate(
    model: Annotated[Path, typer.Argument(help="A run folder or a bundle.", show_default=False)],
    positives: Annotated[list[Path], typer.Option(help="Manifest or folder of the word; may be repeated.", show_default=False)],
    negatives: Annotated[list[Path], typer.Option(help="Manifest or folder of anything else; may be repeated.", show_default=False)],
    noise: Annotated[list[Path] | None, typer.Option(help="Also play the word in these noises; may be repeated.")] = None,
    snr: Annotated[
        list[float] | None, typer.Option(help="At this signal-to-noise ratio in dB; may be repeated.", show_default="10")
    ] = None,
    split: Annotated[str, typer.Option(help="Which lines of manifests that have splits.")] = "test",
    threshold: Threshold = None,
    word: Annotated[str | None, typer.Option(help="Which word of a bundle that has several.")] = None,
    graph: GraphOption = None,
    engine: EngineOption = None,
    out: Annotated[Path | None, typer.Option(help="Folder for report.json and report.html.", callback=output_folder)] = None,
    as_json: Json = False,
) -> None:
    """Measure the shipped detector on continuous audio: recall, false accepts and delay, with exact 95 % limits."""
    with progress("loading"):
        from speechtl.audio.evaluation.evaluate import evaluate as run_evaluation
        from speechtl.audio.evaluation.evaluate import open_model
        from speechtl.audio.evaluation.report import evaluation_summary, write_report

    opened = open_model(model, threshold, word=word, graph=graph, engine=engine)
    report = run_evaluation(opened, positives, negatives, noise=noise or (), snr_db=snr or (10.0,), split=split, note=say)
    if out is not None:
        write_report(out, report)
    _print_json(report) if as_json else echo(evaluation_summary(report))


@app.command(epilog="Example: speechtl export runs/computer -o computer.wake   or: speechtl export runs/computer runs/jarvis -o home.wake")
def export(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Run folders; several must share a frozen encoder.", show_default=False)
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="The bundle to write.", show_default=False, callback=output_file)],
    no_int8: Annotated[bool, typer.Option("--no-int8", help="Leave out the int8 graphs.")] = False,
    tflite: Annotated[
        bool | None,
        typer.Option("--tflite/--no-tflite", help="Insist on TFLite, or leave it out; by default it is there if its converter is."),
    ] = None,
    only: Annotated[list[str] | None, typer.Option(help="Only this graph, e.g. model.int8.tflite; may be repeated.")] = None,
    golden: Annotated[bool, typer.Option("--golden/--no-golden", help="Carry the golden audio that verify plays.")] = True,
    as_json: Json = False,
) -> None:
    """Export runs as one file for the device: graphs for every runtime, with the proof that they give the network's scores."""
    from speechtl.files import check_room, size_of

    check_room(out, AS_BUNDLE * sum(map(size_of, runs)))
    with progress("loading"):
        from speechtl.audio.run import load_run
        from speechtl.export.bundle import export_runs, graphs_for
    from speechtl.runtime.verify import table

    loaded = [load_run(run) for run in runs]
    about = export_runs(loaded, out, only or graphs_for(loaded, int8=not no_int8, tflite=tflite), golden=golden)
    size = out.stat().st_size
    if as_json:
        _print_json({"bundle": str(out), "bytes": size, "graphs": about["graphs"], "parity": about["parity"]})
    else:
        echo(f"{table(about['parity'])}\n{out}: {size / 1e6:.2f} MB.")


@app.command(epilog="Example: speechtl verify computer.wake")
def verify(
    bundle: BundleArgument,
    graph: Annotated[str | None, typer.Option(help="Check only this graph of the bundle; by default all.")] = None,
    engine: Annotated[str | None, typer.Option(help="Check only in this runtime: onnxruntime, ai-edge-litert or tflite-runtime.")] = None,
    as_json: Json = False,
) -> None:
    """Check on this machine that every graph of a bundle gives the scores that the trained network gave."""
    from speechtl.runtime.bundle.wake_word import open_bundle
    from speechtl.runtime.verify import not_run, table
    from speechtl.runtime.verify import verify as run_verification

    opened = open_bundle(bundle)
    with progress("verifying"):
        results = [result.to_json() for result in run_verification(opened, graph, engine)]
    if as_json:
        _print_json(results)
    else:
        echo(table(results))
    for missing in not_run(opened) if graph is None and engine is None else ():
        say(missing)
    if not results or not all(result["ok"] for result in results):
        raise CheckFailedError(f"{bundle} does not give the scores it was made with on this machine.")


@app.command(
    epilog="Example: speechtl detect computer.wake recording.wav   or: arecord -t raw -f S16_LE -r 16000 | speechtl detect computer.wake -"
)
def detect(
    bundle: BundleArgument,
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Recordings, or - for raw samples.", show_default=False)],
    threshold: ThresholdOption = None,
    refractory: RefractoryOption = None,
    rate: Annotated[int, typer.Option(min=1000, max=384_000, help="Of raw samples on standard input, in hertz.")] = 16_000,
    channels: Annotated[int, typer.Option(min=1, max=64, help="Of raw samples on standard input.")] = 1,
    form: Annotated[str, typer.Option("--format", help="Of raw samples on standard input: s16, s32 or f32, little-endian.")] = "s16",
    graph: GraphOption = None,
    engine: EngineOption = None,
    as_json: Json = False,
) -> None:
    """Find the wake word in recordings of any rate and format; prints one line an event."""
    from speechtl.runtime.bundle.choice import Choice, refractory_times, thresholds
    from speechtl.runtime.bundle.wake_word import open_bundle
    from speechtl.runtime.detect_files import detect_file, detect_raw
    from speechtl.runtime.detector import Detector

    choice = Choice(thresholds(threshold or []), refractory_times(refractory or []), graph, engine)
    opened = open_bundle(bundle)
    choice.check([word.name for word in opened.words])
    detector = Detector.of(opened, choice)
    failed = 0
    for file in files:
        found = detect_raw(detector, sys.stdin.buffer, rate, channels, form, say) if file == "-" else detect_file(detector, Path(file), say)
        events = 0
        try:
            for event in found:
                events += 1
                line = {"file": file, "name": event.name, "time": round(event.time, 3), "score": round(event.score, 4)}
                text = f"{file}: {event.name} at {event.time:.2f} s (score {event.score:.2f})"
                echo_json(line) if as_json else echo(one_line(text))
        except SpeechtlError as error:
            if len(files) == 1:
                raise
            say(f"speechtl: {sentence_of(error)}")
            failed += 1
        else:
            if not events and not as_json:
                say(f"{file}: nothing detected")
    if failed:
        raise SpeechtlError(f"{failed} of {counted(len(files), 'file')} could not be read.")


# `--help` lists the commands in the order in which they stand here.
app.command(epilog=LISTEN_EXAMPLE)(listen)
app.command(epilog="Example: speechtl doctor computer.wake --device USB")(doctor)
app.command(epilog=SERVE_EXAMPLE)(serve)
app.command(epilog="Example: speechtl advise training/recipes/words/computer.toml")(advise)
app.command(epilog="Example: speechtl look speech-embedding data_manifests/wake_computer.jsonl --out looks")(look)
app.add_typer(bench_app)
app.add_typer(image_app)
app.add_typer(data_app)


def _print_json(document: Any) -> None:
    echo_json(document, indent=2)
