"""python training/studies/pictures/own_backbone.py --out runs/own [--full]

Does it pay to pretrain a backbone of your own? From MNIST to scikit-learn's 8×8 digits, and back.

Writes both sets of digits as folders of classes, pretrains the small network on 5,000 digits of MNIST (`speechtl image pretrain`,
kept as `own-mnist`), and transfers it to 10 to 200 of the 8×8 digits. Then the reverse: a backbone from 1,000 of the 8×8 digits
(`own-8x8`), transferred to 5,000 digits of MNIST, so that the source is smaller than a large target. `speechtl advise` can be tried on
the recipes that it writes; `ears.toml` names an encoder of another input type. Writes own.csv and own.png. `--full` takes ten seeds
instead of five.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mnist import read_idx
from numpy.typing import NDArray
from PIL import Image

from speechtl.arguments import output_folder
from speechtl.errors import PictureError, reported
from speechtl.files import write_text
from speechtl.image.manifest import image_data
from speechtl.image.recipe import make_image_recipe, read_image_recipe
from speechtl.image.train import pretrain
from speechtl.progress import say
from speechtl.settings import read_recipe_file
from speechtl.study.curves import Panel, draw_panels, print_points, write_panels
from speechtl.study.trials import curve
from speechtl.study.trials_image import ImageTrials

SIZE = 28  # pixels
AMOUNTS = (10, 20, 50, 100, 200)
LARGE = (1000, 5000)
POLICIES = ("head", "all", "scratch")
PRETRAIN_STEPS = 350
DIRECTIONS = (  # source, target, digits of the source, digits of the target, steps
    ("mnist", "8x8", 5000, AMOUNTS, 60),
    ("8x8", "mnist", 1000, LARGE, 250),
)
NAMES = {"mnist": "MNIST", "8x8": "8×8"}
RECIPE = """name = "{name}"

[data]
train = ["{folder}"]
validation = {validation}

[pictures]
size = 28
grey = true

[transfer]
backbone = "{backbone}"
weights = "{weights}"
policy = "all"
grid = 2

[augment]
shift = 0.06
rotate = 8.0
scale = 0.1

[train]
steps = {steps}
batch_size = 32
learning_rate = 2e-3
"""


def main(argv: Sequence[str] | None = None) -> list[Panel]:
    """Pretrain and transfer in both directions; print, write and plot the accuracies."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=output_folder, default="runs/own")
    parser.add_argument("--seeds", type=int, default=5, help="trainings for each point (default 5)")
    parser.add_argument("--full", action="store_true", help="ten seeds")
    arguments = parser.parse_args(argv)
    seeds = 10 if arguments.full else arguments.seeds
    out = arguments.out
    write_folder(out / "mnist", *mnist(), most=6000)
    write_folder(out / "small", *eight_by_eight(), most=1797)
    write_recipe(out / "ears.toml", "small", "speech-embedding", "pretrained", steps=60, validation=0.5)
    panels = []
    for source, target, source_digits, amounts, steps in DIRECTIONS:
        folder = {"mnist": "mnist", "8x8": "small"}
        first = write_recipe(out / f"own-{source}.toml", folder[source], "small", "scratch", PRETRAIN_STEPS, validation=0.15)
        values = read_recipe_file(first)
        values["data"]["examples"] = source_digits
        about, kept = pretrain(make_image_recipe(values, base=first.parent, source=str(first)))
        say(f"own-{source}: accuracy {about['validation'][0]['accuracy']:.3f} on its own digits; kept in {kept}")
        validation = 0.5 if target == "8x8" else 0.15
        second = write_recipe(out / f"{source}-to-{target}.toml", folder[target], f"own-{source}", "pretrained", steps, validation)
        points = curve(ImageTrials(read_image_recipe(second)), POLICIES, amounts, seeds)
        panels.append(Panel(f"{NAMES[target]} training digits, after {source_digits} {NAMES[source]} digits", points))
        print_points(points, panels[-1].name)
    write_panels(out / "own.csv", panels, "accuracy")
    draw_panels(out / "own.png", panels, "A backbone of your own: large to small data set, and the reverse", "accuracy")
    return panels


def mnist() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """MNIST's test digits and their classes."""
    folder = image_data()
    if folder is None:
        raise PictureError("MNIST's test digits are needed; let SPEECHTL_IMAGES point to a folder with mnist/t10k-images-idx3-ubyte.gz.")
    images, labels = (read_idx(folder / "mnist" / f"t10k-{kind}.gz") for kind in ("images-idx3-ubyte", "labels-idx1-ubyte"))
    return images, labels


def eight_by_eight() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Scikit-learn's digits and their classes."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    return (digits.images / 16 * 255).round().astype(np.uint8), digits.target.astype(np.uint8)


def write_folder(folder: Path, images: NDArray[np.uint8], labels: NDArray[np.uint8], most: int) -> None:
    """Write digits as PNG files, a sub-folder for each class."""
    for index in np.random.default_rng(0).permutation(len(images))[:most].tolist():
        kind = folder / str(labels[index])
        kind.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images[index]).resize((SIZE, SIZE), Image.Resampling.BILINEAR).save(kind / f"{index}.png")


def write_recipe(path: Path, folder: str, backbone: str, weights: str, steps: int, validation: float) -> Path:
    """Write a recipe that is named like its file."""
    text = RECIPE.format(name=path.stem, folder=folder, backbone=backbone, weights=weights, steps=steps, validation=validation)
    write_text(path, text)
    return path


if __name__ == "__main__":
    sys.exit(reported(main))
