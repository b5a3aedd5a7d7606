"""`speechtl image ...`: train on pictures, predict, pretrain a backbone, look at what layers see."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from speechtl.counts import counted
from speechtl.errors import SpeechtlError
from speechtl.outputs import output_folder
from speechtl.plain import echo, echo_json
from speechtl.progress import say

if TYPE_CHECKING:
    from speechtl.image.recipe import ImageRecipe

app = typer.Typer(name="image", help="The same transfer for pictures.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Write one JSON document to standard output.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on after an interruption.")]
RecipeArgument = Annotated[Path, typer.Argument(help="A recipe (TOML).", show_default=False)]


@app.command(epilog="Example: speechtl image train training/recipes/road.toml --out runs/road")
def train(
    recipe: RecipeArgument,
    out: Annotated[Path | None, typer.Option(help="Folder for the run; by default runs/NAME.", callback=output_folder)] = None,
    resume: Resume = False,
    as_json: Json = False,
) -> None:
    """Train a network for pictures by transfer; prints its accuracy on pictures it has not seen, with 95 % limits."""
    from speechtl.image.train import train as run_training

    made = _read(recipe)
    out = out or Path("runs") / made.name
    _report(run_training(made, out, resume=resume), out, as_json)


@app.command(epilog="Example: speechtl image pretrain runs/own/own-mnist.toml")
def pretrain(recipe: RecipeArgument, resume: Resume = False, as_json: Json = False) -> None:
    """Train a network from nothing on a large labelled source and keep it as a backbone, for input that nobody has trained for.

    The recipe's name is from then on one that other recipes may use: backbone = "NAME".
    """
    from speechtl.image.train import pretrain as run_pretraining

    about, folder = run_pretraining(_read(recipe), resume=resume)
    _report(about, folder, as_json)
    if not as_json:
        echo(f'Recipes may now say: backbone = "{about["name"]}"')


@app.command(epilog="Example: speechtl image predict runs/road a.png b.jpg")
def predict(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A run folder, or a bundle.", show_default=False)],
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Pictures.", show_default=False)],
    graph: Annotated[str | None, typer.Option(help="Which graph of a bundle to run.")] = None,
) -> None:
    """Tell what is in pictures: one JSON line each, with the answer and the probabilities of every task."""
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
    out: Annotated[Path, typer.Option(help="Folder for the pictures.", callback=output_folder)] = Path("looks"),
    units: Annotated[int, typer.Option(min=1, max=24, help="Units of each layer.")] = 6,
    patches: Annotated[int, typer.Option(min=1, max=24, help="Patches of each unit.")] = 6,
) -> None:
    """Draw what layers see: the first filters, and the patches that excite units most, before and after training."""
    from speechtl.study.look_image import look as draw

    for path in draw(model, pictures, out, units=units, patches=patches):
        echo(str(path))


def _read(path: Path) -> ImageRecipe:
    from speechtl.image.recipe import read_image_recipe

    return read_image_recipe(path)


def _report(about: dict[str, Any], folder: Path, as_json: bool) -> None:
    if as_json:
        echo_json({"folder": str(folder), **about}, indent=2)
        return
    for result in about["validation"]:
        if result["accuracy"] is None:
            echo(f"{result['task']}: no label of it is known among the pictures to report on.")
            continue
        area = f", AUC {result['auc']:.3f}" if result.get("auc") is not None else ""
        limits = f"{result['low']:.1%} to {result['high']:.1%}"
        echo(f"{result['task']}: accuracy {result['accuracy']:.1%} ({limits}) on {result['examples']} pictures{area}")
    echo(f"The network is in {folder}.")
