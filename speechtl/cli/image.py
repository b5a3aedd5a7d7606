"""`speechtl image ...`: train on pictures, predict, pretrain a backbone, look at layers, export and verify bundles."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from speechtl.cli.options import (
    BundleArgument,
    BundleOption,
    GraphOption,
    JsonOption,
    PicturesOption,
    RecipeArgument,
    ResumeOption,
    RunOption,
    UnitsOption,
)
from speechtl.cli.words import check_parity
from speechtl.errors import SpeechtlError
from speechtl.progress import say
from speechtl.text import counted, echo, echo_json

if TYPE_CHECKING:
    from speechtl.image.recipe import ImageRecipe

app = typer.Typer(name="image", help="Transfer for pictures: train, predict, look, pretrain, export, verify.", no_args_is_help=True)


@app.command(epilog="Example: speechtl image train training/recipes/pictures/road.toml --out runs/road")
def train(
    recipe: RecipeArgument,
    out: RunOption = None,
    resume: ResumeOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train a network for pictures by transfer; prints its accuracy on held-out pictures, with 95 % limits."""
    from speechtl.image.train import train as run_training

    made = _read(recipe)
    out = out or Path("runs") / made.name
    _report(run_training(made, out, resume=resume), out, as_json)


@app.command(epilog="Example: speechtl image pretrain runs/own/own-mnist.toml")
def pretrain(recipe: RecipeArgument, resume: ResumeOption = False, as_json: JsonOption = False) -> None:
    """Train a network from scratch on a large labelled source and keep it as a backbone, for inputs without a pretrained one.

    Other recipes can then use the name of the recipe: backbone = "NAME".
    """
    from speechtl.image.train import pretrain as run_pretraining

    about, folder = run_pretraining(_read(recipe), resume=resume)
    _report(about, folder, as_json)
    if not as_json:
        echo(f'Recipes can now use: backbone = "{about["name"]}"')


@app.command(epilog="Example: speechtl image predict runs/road a.png b.jpg")
def predict(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A run folder, or a bundle.", show_default=False)],
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Pictures.", show_default=False)],
    graph: GraphOption = None,
) -> None:
    """Classify pictures: one JSON line for each, with the answer and the probabilities of every task."""
    from speechtl.image.predict import predict_files

    failed = 0
    for answer in predict_files(model, files, graph):
        if "error" in answer:
            say(f"speechtl: {answer['error']}")
            failed += 1
        else:
            echo_json(answer)
    if failed:
        raise SpeechtlError(f"{failed} of {counted(len(files), 'picture')} could not be read.")


@app.command(epilog="Example: speechtl image look squeezenet photographs --out looks")
def look(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A run folder, or the name of a backbone.", show_default=False)],
    pictures: Annotated[list[Path], typer.Argument(metavar="PICTURES...", help="Files or folders.", show_default=False)],
    out: PicturesOption = Path("looks"),
    units: UnitsOption = 6,
    patches: Annotated[int, typer.Option(min=1, max=24, help="Patches of each unit.")] = 6,
) -> None:
    """Draw what layers respond to: the first filters, and the patches that activate units most, before and after training."""
    from speechtl.study.look_image import look as draw

    for path in draw(model, pictures, out, units=units, patches=patches):
        echo(str(path))


@app.command(epilog="Example: speechtl image export runs/digits -o digits.wake")
def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.", show_default=False)],
    out: BundleOption,
    int8: Annotated[bool, typer.Option("--int8/--no-int8", help="Also write an int8 graph, calibrated on the recipe's pictures.")] = True,
    as_json: JsonOption = False,
) -> None:
    """Export a run as one file for a device without torch, verified to give the scores of the network."""
    from speechtl.export.pictures import export_image_run
    from speechtl.image.run import load_run

    about = export_image_run(load_run(run), out, int8=int8)
    if as_json:
        document = {"bundle": str(out), "bytes": out.stat().st_size, "graphs": about["graphs"], "parity": about["parity"]}
        echo_json(document, indent=2)
        return
    echo(f"{out}: {out.stat().st_size / 1e6:.2f} MB")
    _print_parity(about["parity"])


@app.command(epilog="Example: speechtl image verify digits.wake")
def verify(
    bundle: BundleArgument,
    as_json: JsonOption = False,
) -> None:
    """Check on this machine that every graph of a bundle gives the scores of the trained network."""
    from speechtl.runtime.bundle.pictures import open_picture_bundle
    from speechtl.runtime.parity import verify_pictures

    results = [result.to_json() for result in verify_pictures(open_picture_bundle(bundle))]
    if as_json:
        echo_json(results, indent=2)
    else:
        _print_parity(results)
    check_parity(bundle, results)


def _print_parity(results: list[dict[str, Any]]) -> None:
    for result in results:
        echo(
            f"{result['graph']}: largest difference {result['largest_difference']:.1e} over {result['streams']} pictures, "
            f"{result['tolerance']:.0e} allowed: {'ok' if result['ok'] else 'FAILED'}"
        )


def _read(path: Path) -> ImageRecipe:
    from speechtl.image.recipe import read_image_recipe

    return read_image_recipe(path)


def _report(about: dict[str, Any], folder: Path, as_json: bool) -> None:
    if as_json:
        echo_json({"folder": str(folder), **about}, indent=2)
        return
    for result in about["validation"]:
        if result["accuracy"] is None:
            echo(f"{result['task']}: none of the pictures to report on has a label for it.")
            continue
        area = f", AUC {result['auc']:.3f}" if result.get("auc") is not None else ""
        limits = f"{result['low']:.1%} to {result['high']:.1%}"
        echo(f"{result['task']}: accuracy {result['accuracy']:.1%} ({limits}) on {result['examples']} pictures{area}")
    echo(f"The network is in {folder}.")
