"""`speechtl advise` and `speechtl look`: whether transfer makes sense for a recipe, and the patterns that layers respond to."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from speechtl.cli.options import JsonOption, PicturesOption, UnitsOption
from speechtl.progress import progress
from speechtl.text import echo, echo_json

MEASURED = ["head", "last:2", "all", "scratch"]


def advise(
    recipe: Annotated[Path, typer.Argument(help="A recipe (TOML) for a wake word or for pictures.", show_default=False)],
    measure: Annotated[bool, typer.Option("--measure", help="Train the candidate policies and compare them on held-out examples.")] = False,
    policy: Annotated[
        list[str] | None, typer.Option(metavar="POLICY...", help="With --measure: policies to train.", show_default=" ".join(MEASURED))
    ] = None,
    examples: Annotated[int | None, typer.Option(min=2, help="With --measure: number of training examples; default: all.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="With --measure: number of trainings per policy.")] = 1,
    force: Annotated[bool, typer.Option("--force", help="Also measure an encoder of another input type.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Recommend whether to use transfer for a recipe and how much of the network to train, with the reasons.

    The rules of thumb can be wrong; --measure trains the candidate policies and prints which was best.
    """
    with progress("loading"):
        from speechtl.study.advise import advise as ask
        from speechtl.study.advise import verdict
        from speechtl.study.curves import print_points, summary
        from speechtl.study.trials import curve, open_trials
        from speechtl.transfer import check_inputs

    trials = open_trials(recipe, force=force)
    advice = ask(trials.encoder, trials.target)
    document: dict[str, Any] = asdict(advice)
    if not as_json:
        echo(str(advice))
    if measure:
        if not force:
            check_inputs(trials.encoder, trials.target.input)
        points = curve(trials, policy or MEASURED, [examples], seeds)
        means = {row[0]: row[2] for row in summary(points)}
        document |= {"measure": trials.measure, "measured": means, "verdict": verdict(advice, means)}
        if not as_json:
            print_points(points, trials.measure)
            echo(document["verdict"])
    if as_json:
        echo_json(document, indent=2)


def look(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A run folder, or the name of an encoder.", show_default=False)],
    recordings: Annotated[list[Path], typer.Argument(metavar="RECORDINGS...", help="Manifests or folders.", show_default=False)],
    out: PicturesOption = Path("looks"),
    units: UnitsOption = 6,
    patches: Annotated[int, typer.Option(min=1, max=24, help="Passages for each unit.")] = 6,
) -> None:
    """Draw what an encoder responds to: its first filters, and the sounds that activate units most, before and after training."""
    with progress("loading"):
        from speechtl.study.look_audio import look as draw

    for path in draw(model, recordings, out, units=units, patches=patches):
        echo(str(path))
