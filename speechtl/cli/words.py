"""The commands of wake words: `speechtl demo`, `train`, `evaluate`, `export`, `verify` and `detect`. Heavy imports happen inside."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from speechtl.cli.options import (
    SOURCES,
    STDOUT,
    BundleArgument,
    BundleOption,
    EngineOption,
    GraphOption,
    JsonOption,
    RateOfDayOption,
    RefractoryOption,
    ResumeOption,
    RunOption,
    SplitOption,
    ThresholdOption,
    needing,
    nothing_required,
    only_beside,
    output_folder,
)
from speechtl.errors import CheckFailedError, RecipeError, SpeechtlError, StoppedError, sentence_of
from speechtl.progress import progress, say
from speechtl.text import counted, echo, echo_json, one_line

if TYPE_CHECKING:
    from speechtl.audio.evaluation.evaluate import Evaluation
    from speechtl.audio.evidence.repeat import Repetition
    from speechtl.audio.recipe import Recipe
    from speechtl.runtime.detector import Event

BUNDLE_SIZE = 3  # times the size of its runs, at most: two float graphs, two int8 graphs and the golden audio

EncoderOption = Annotated[
    str | None,
    typer.Option(
        help="Pretrained: conv-ctc, speech-embedding (default where its layers are trained), both side by side as "
        "speech-embedding+conv-ctc (default where they stay frozen), torchaudio:HUBERT_BASE, or your own pretraining as "
        "conv-ctc:FILE or conv-ctc-tiny:FILE."
    ),
]

TalkOption = Annotated[
    list[Path] | None, typer.Option(metavar=SOURCES, help="Also in talk made of this speech: of 2 to 8 people, and of one.")
]
RatiosOption = Annotated[
    list[float] | None,
    typer.Option(metavar="DB...", help="Signal-to-noise ratios of noise, talk and music.", show_default="10; world: 20 10 5 0 -5"),
]
ConditionsOption = Annotated[
    str,
    typer.Option(
        help="given, or world: also in simulated and far rooms, rooms with noise or babble, telephone, codec, levels of -50 to -6 dBFS."
    ),
]


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the run, the bundle and the recordings.", callback=output_folder)] = Path(
        "runs/demo"
    ),
    word: Annotated[str, typer.Option(help="The wake word; 'computer' uses real recordings if they are on this machine.")] = "computer",
    real: Annotated[bool | None, typer.Option("--real/--synthetic", help="Force real or synthesised recordings.")] = None,
) -> None:
    """Run the main job end to end in a few minutes: prepare recordings, train, export, detect, and show the result."""
    with progress("loading"), needing("train,speech-embedding,synthesis", "The demo"):
        from speechtl.demo import run_demo

    run_demo(out, word, real)


def train(
    recipe: Annotated[Path | None, typer.Argument(help="A recipe (TOML).", show_default=False)] = None,
    name: Annotated[str | None, typer.Option(help="Without a recipe: the name of the wake word.")] = None,
    phrase: Annotated[list[str] | None, typer.Option(metavar="TEXT...", help="Spoken phrases; default: the name.")] = None,
    positives: Annotated[list[Path] | None, typer.Option(metavar=SOURCES, help="The word, in a sub-folder for each speaker.")] = None,
    synthesise: Annotated[bool, typer.Option("--synthesise", help="Also speak the word with synthesised voices.")] = False,
    negatives: Annotated[
        list[Path] | None, typer.Option(metavar=SOURCES, help="Anything else, short or long; default: speech under CC-BY, downloaded once.")
    ] = None,
    noise: Annotated[list[Path] | None, typer.Option(metavar=SOURCES, help="Noise to mix in.")] = None,
    music: Annotated[list[Path] | None, typer.Option(metavar=SOURCES, help="Music to mix in.")] = None,
    mine: Annotated[
        list[Path] | None, typer.Option(metavar=SOURCES, help="Hours of anything else; the hardest 15 minutes join the negatives.")
    ] = None,
    encoder: EncoderOption = None,
    head: Annotated[str | None, typer.Option(help="New layers: linear, conv, gru or attention.")] = None,
    policy: Annotated[str | None, typer.Option(help="What to train: head (the default), last:2, all or gradual.")] = None,
    seed: Annotated[int | None, typer.Option(help="Random seed.")] = None,
    out: RunOption = None,
    resume: ResumeOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train a wake word by transfer; prints recall and false accepts with 95 % limits.

    An option that takes several values can also be repeated.
    """
    with progress("loading"):
        from speechtl.audio.evaluation.report import training_summary
        from speechtl.audio.training.train import train as run_training

    data = {"positives": positives, "negatives": negatives, "noise": noise, "music": music, "mine": mine}
    sections: dict[str, dict[str, Any]] = {
        "data": {key: [str(path.absolute()) for path in paths] for key, paths in data.items() if paths}
        | ({"synthesise": True} if synthesise else {}),
        "transfer": _given(encoder=encoder, head=head, policy=policy),
        "train": _given(seed=seed),
    }
    made = _recipe(recipe, _given(name=name, phrases=phrase or None), sections)
    out = out or Path("runs") / made.name
    with _resumable(out):
        about = run_training(made, out, resume=resume)
    echo_json(about, indent=2) if as_json else echo(training_summary(about, out))


def _given(**values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _recipe(path: Path | None, word: dict[str, Any], sections: dict[str, dict[str, Any]]) -> Recipe:
    """The recipe of a file with single keys replaced, or one made of options alone."""
    from speechtl.audio.encoders import from_folder
    from speechtl.audio.recipe import make_recipe, read_recipe

    own = {"positives", "negatives"} & set(sections["data"])
    if path is not None and (word or own):
        raise RecipeError("A recipe has its own name, phrases, positives and negatives; leave out those options, or the recipe.")
    given = {*word, *own, *({"positives"} if "synthesise" in sections["data"] else ())}
    missing = [f"--{key}" for key in ("name", "positives") if key not in given]
    if path is None and missing:
        problem = f"{missing[0]} is missing: " if len(missing) == 1 else ""
        raise RecipeError(f"{problem}Give a recipe, or --name with --positives or --synthesise. See: speechtl train --help")
    if "synthesise" in sections["data"]:
        word = _typed(word)
    transfer = sections["transfer"]
    if "encoder" in transfer:
        transfer["encoder"] = from_folder(transfer["encoder"], Path())
    if path is None:
        return make_recipe({**word, **sections}, base=Path(), source="The command line")
    return read_recipe(path, sections)


def _typed(word: dict[str, Any]) -> dict[str, Any]:
    """The name and phrases of a word that was typed: a text that cannot be a name is a phrase, and its words make the name."""
    from speechtl.settings import name_from

    typed = word.get("name", "")
    name = name_from(typed)
    return word if not name or name == typed else {"phrases": [typed], **word, "name": name}


@contextmanager
def _resumable(out: Path) -> Iterator[None]:
    """Tell a person who interrupts a training how to continue it."""
    from speechtl.runs import begun

    try:
        yield
    except KeyboardInterrupt:
        raise StoppedError("Stopped." + (" The same command with --resume continues from here." if begun(out) else "")) from None


def evaluate(
    context: typer.Context,
    model: Annotated[Path, typer.Argument(help="A run folder or a bundle.", show_default=False)],
    positives: Annotated[list[Path], typer.Option(metavar=SOURCES, help="Recordings of the word.", show_default=False)],
    negatives: Annotated[list[Path], typer.Option(metavar=SOURCES, help="Recordings of anything else.", show_default=False)],
    noise: Annotated[list[Path] | None, typer.Option(metavar=SOURCES, help="Also play the word in this noise.")] = None,
    talk: TalkOption = None,
    music: Annotated[list[Path] | None, typer.Option(metavar=SOURCES, help="Also in this music.")] = None,
    rooms: Annotated[list[Path] | None, typer.Option(metavar=SOURCES, help="Also in rooms with these impulse responses.")] = None,
    snr: RatiosOption = None,
    conditions: ConditionsOption = "given",
    split: SplitOption = "test",
    threshold: Annotated[float | None, typer.Option(min=0.0, max=1.0, help="Score of an event, in place of the calibrated one.")] = None,
    word: Annotated[str | None, typer.Option(help="Which word of a bundle with several words.")] = None,
    graph: GraphOption = None,
    engine: EngineOption = None,
    confusables: Annotated[
        bool, typer.Option("--confusables", help="Also speak words that sound like it, and list those that are taken for it.")
    ] = False,
    require: Annotated[
        Path | None, typer.Option(metavar="FILE.toml", help="Floors and ceilings of slices; exit code 1 if one is not kept.")
    ] = None,
    repeat: Annotated[
        Path | None,
        typer.Option(
            metavar="REPORT.json",
            is_eager=True,
            callback=nothing_required,
            help="Run this report again on the same model and recordings, which need not be named; exit code 1 if a result differs.",
        ),
    ] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes that hear the negatives.", show_default="one a core")] = None,
    scheduler: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Dask scheduler whose workers hear the negatives.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for report.json and report.html.", callback=output_folder)] = None,
    audio: Annotated[bool, typer.Option("--audio/--no-audio", help="With --out: sound of misses and false accepts to play.")] = True,
    as_json: JsonOption = False,
) -> None:
    """Measure the shipped detector on continuous audio: recall, false accepts and delay, with exact 95 % limits.

    An option that takes several values can also be repeated. An evaluation that was interrupted continues where it was.
    """
    if repeat is not None:
        only_beside(context, "--repeat", ("model", "repeat", "jobs", "scheduler", "out", "audio", "as_json"))
        again = _repeat(repeat, model, jobs, scheduler)
        if out is not None:
            _write(out, again.evaluation, again.evaluation.report, audio)
        echo_json(again.to_json(), indent=2) if as_json else echo(str(again))
        again.check()
        return
    with progress("loading"):
        from speechtl.audio.evaluation.evaluate import listen_to
        from speechtl.audio.evaluation.hours.negatives import Machines
        from speechtl.audio.evaluation.material import Plan
        from speechtl.audio.evaluation.model import open_model
        from speechtl.audio.evaluation.report import evaluation_summary
        from speechtl.audio.evidence.requirements import check_names, check_verdicts, judge, read_requirements

    required = read_requirements(require) if require is not None else []
    around = (noise or (), talk or (), music or (), rooms or ())
    plan = Plan(positives, negatives, *around, snr_db=snr or (), preset=conditions, split=split)
    opened = open_model(model, threshold, word=word, graph=graph, engine=engine)
    done = listen_to(opened, plan, say, [lambda prepared: check_names(required, prepared.slices)], Machines(jobs, scheduler))
    verdicts = judge(required, done.report)
    report = done.report | ({"requirements": [verdict.to_json() for verdict in verdicts]} if verdicts else {})
    if confusables:
        from speechtl.audio.spelling.fired import taken_for

        report["confusables"] = taken_for(opened)
    if out is not None:
        _write(out, done, report, audio)
    echo_json(report, indent=2) if as_json else echo(evaluation_summary(report))
    check_verdicts(verdicts, say)


def _repeat(report: Path, model: Path | None, jobs: int | None, scheduler: str | None) -> Repetition:
    """The evaluation of a report, run again."""
    with progress("loading"):
        from speechtl.audio.evaluation.hours.negatives import Machines
        from speechtl.audio.evidence.repeat import repeat

    return repeat(report, model, say, Machines(jobs, scheduler))


def _write(out: Path, done: Evaluation, report: dict[str, Any], audio: bool) -> None:
    from speechtl.audio.evaluation.report import write_report

    write_report(out, report, done.moments if audio else None)


def export(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Run folders; several must share a frozen encoder.", show_default=False)
    ],
    out: BundleOption,
    no_int8: Annotated[bool, typer.Option("--no-int8", help="Leave out the int8 graphs.")] = False,
    tflite: Annotated[
        bool | None, typer.Option("--tflite/--no-tflite", help="Force or skip TFLite; default: on if the converter is installed.")
    ] = None,
    only: Annotated[list[str] | None, typer.Option(help="Only this graph, e.g. model.int8.tflite; may be repeated.")] = None,
    golden: Annotated[bool, typer.Option("--golden/--no-golden", help="Include the golden audio that verify plays.")] = True,
    memory: Annotated[
        bool, typer.Option("--memory/--no-memory", help="Include what adapt needs when the run is gone: at most 150 kB.")
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Export runs as one file for the device: graphs for every runtime, verified to give the scores of the network.

    --json also measures what a step of every graph costs on this machine.
    """
    from speechtl.files import check_room, size_of

    check_room(out, BUNDLE_SIZE * sum(map(size_of, runs)))
    with progress("loading"):
        from speechtl.audio.run import load_run
        from speechtl.export.bundle import export_runs, graphs_for
        from speechtl.export.cost import step_costs
    from speechtl.runtime.bundle.wake_word import open_bundle
    from speechtl.runtime.parity import table

    loaded = [load_run(run) for run in runs]
    about = export_runs(loaded, out, only or graphs_for(loaded, int8=not no_int8, tflite=tflite), golden=golden, memory=memory)
    size = out.stat().st_size
    if as_json:
        document = {"bundle": str(out), "bytes": size, "graphs": about["graphs"], "parity": about["parity"]}
        echo_json({**document, "cost": step_costs(open_bundle(out))}, indent=2)
    else:
        echo(f"{table(about['parity'])}\n{out}: {size / 1e6:.2f} MB.")


def verify(
    bundle: BundleArgument,
    graph: Annotated[str | None, typer.Option(help="Check only this graph of the bundle; default: all.")] = None,
    engine: Annotated[str | None, typer.Option(help="Check only in this runtime: onnxruntime, ai-edge-litert or tflite-runtime.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Check on this machine that every graph of a bundle gives the scores of the trained network."""
    from speechtl.runtime.bundle.wake_word import open_bundle
    from speechtl.runtime.parity import not_run, table
    from speechtl.runtime.parity import verify as run_verification

    opened = open_bundle(bundle)
    with progress("verifying"):
        results = [result.to_json() for result in run_verification(opened, graph, engine)]
    if as_json:
        echo_json(results, indent=2)
    else:
        echo(table(results))
    for missing in not_run(opened) if graph is None and engine is None else ():
        say(missing)
    check_parity(bundle, results)


def check_parity(bundle: Path, results: list[dict[str, Any]]) -> None:
    """Raise `CheckFailedError` unless every graph that was run gave the expected scores."""
    if not results or not all(result["ok"] for result in results):
        raise CheckFailedError(f"{bundle} produces different scores on this machine than at export.")


def detect(
    bundle: BundleArgument,
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Recordings, or - for raw samples.", show_default=False)],
    threshold: ThresholdOption = None,
    per_day: RateOfDayOption = None,
    refractory: RefractoryOption = None,
    rate: Annotated[int, typer.Option(min=1000, max=384_000, help="Sample rate of raw stdin audio (Hz).")] = 16_000,
    channels: Annotated[int, typer.Option(min=1, max=64, help="Channels of raw stdin audio.")] = 1,
    form: Annotated[str, typer.Option("--format", help="Format of raw stdin audio: s16, s32 or f32, little-endian.")] = "s16",
    graph: GraphOption = None,
    engine: EngineOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find the wake word in recordings of any rate and format; prints one line per event."""
    from speechtl.runtime.bundle.choice import Choice, rates, refractory_times, thresholds
    from speechtl.runtime.bundle.wake_word import open_bundle
    from speechtl.runtime.detect_files import detect_file, detect_raw
    from speechtl.runtime.detector import Detector

    choice = Choice(thresholds(threshold or []), refractory_times(refractory or []), graph, engine, per_day=rates(per_day or []))
    opened = open_bundle(bundle)
    choice.check([word.name for word in opened.words])
    detector = Detector.of(opened, choice)
    for sentence in choice.explain(opened):
        say(f"speechtl: {sentence}")
    failed = 0
    for file in files:
        found = detect_raw(detector, sys.stdin.buffer, rate, channels, form, say) if file == "-" else detect_file(detector, Path(file), say)
        try:
            _print_events(file, found, as_json)
        except SpeechtlError as error:
            if len(files) == 1:
                raise
            say(f"speechtl: {sentence_of(error)}")
            failed += 1
    if failed:
        raise SpeechtlError(f"{failed} of {counted(len(files), 'file')} could not be read.")


def _print_events(file: str, events: Iterable[Event], as_json: bool) -> None:
    """Print one line per event, as soon as it comes."""
    detected = False
    for event in events:
        detected = True
        if as_json:
            echo_json({"file": file, **event.to_json(live=file == STDOUT)})
        else:
            echo(one_line(f"{file}: {event}"))
    if not detected and not as_json:
        say(f"{file}: nothing detected")
