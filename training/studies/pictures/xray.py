"""python training/studies/pictures/xray.py --out runs/xray [--full]

Can a network that was pretrained on photographs tell pneumonia in chest X-rays?

Normal or pneumonia, trained on 100 pictures and on all of them, with cross-validation over patients: no patient is in both training and
test data, and every patient is tested once. Compared: training only the new layer, the last two groups, all groups, and the same network
from scratch. Prints the AUC with 95 % limits by bootstrap over patients; writes xray.csv and xray.png. The default is scaled down: 112
pixels and two folds; `--full` takes 224 pixels and five folds (about an hour). This measures transfer; it is not a medical device.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from speechtl.arguments import output_folder
from speechtl.console import PlainTable, plain_console
from speechtl.errors import reported
from speechtl.files import write_text, writing
from speechtl.image.augment import AugmentSection
from speechtl.image.data import PictureSet, draw, load_pictures
from speechtl.image.manifest import Picture, image_data, read_pictures, tasks_of
from speechtl.image.metrics import auc, auc_limits
from speechtl.image.network import new_network
from speechtl.image.recipe import TrainSection
from speechtl.image.run import open_encoder
from speechtl.image.train import fit_pictures
from speechtl.progress import say
from speechtl.runtime.pictures import PictureSettings
from speechtl.transfer import AllLayers, HeadOnly, LastLayers, Policy, Task, at_one_rate

KEEP = "fire8"
GRID = 3
AUGMENTATION = AugmentSection(shift=0.04, rotate=5.0, scale=0.06, flip=True, light=0.1)


@dataclass(frozen=True)
class Setup:
    """Weights of the encoder, policy, and number of batches."""

    weights: str
    policy: Policy
    steps: int


SETUPS = {
    "only the new layer": Setup("pretrained", HeadOnly(), 200),
    "last two groups": Setup("pretrained", LastLayers(2), 100),
    "all groups": Setup("pretrained", AllLayers(), 80),
    "from scratch": Setup("scratch", at_one_rate(AllLayers()), 80),
}


@dataclass(frozen=True)
class Result:
    """AUC of one set-up for one number of pictures, over all patients, with its 95 % limits."""

    setup: str
    examples: int
    value: float
    low: float
    high: float


def main(argv: Sequence[str] | None = None) -> list[Result]:
    """Train every set-up on 100 pictures and on all; print, write and plot the areas under the ROC curve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path, nargs="?", default=(image_data() or Path()) / "manifests" / "xray_nih.jsonl")
    parser.add_argument("--out", type=output_folder, default="runs/xray")
    parser.add_argument("--examples", type=int, default=100, help="pictures of the smaller training (default 100)")
    parser.add_argument("--folds", type=int, default=2, help="folds of the cross-validation over patients (default 2)")
    parser.add_argument("--full", action="store_true", help="224 pixels, five folds")
    arguments = parser.parse_args(argv)
    pictures = read_pictures([arguments.manifest])
    tasks = tasks_of(pictures)
    loaded = load_pictures(pictures, tasks, PictureSettings(224 if arguments.full else 112), say)
    folds = folds_of(loaded.pictures, 5 if arguments.full else arguments.folds)
    results = []
    for examples in (arguments.examples, None):
        for name, setup in SETUPS.items():
            results.append(cross_validate(name, setup, loaded, tasks, folds, examples))
            say(_line(results[-1]))
    _write(arguments.out, results)
    _print(results)
    return results


def folds_of(pictures: Sequence[Picture], count: int) -> list[int]:
    """The fold of every picture; all pictures of a patient are in one fold."""
    patients = sorted({str(picture.group) for picture in pictures})
    order = np.random.default_rng(0).permutation(len(patients))
    fold = {patients[patient]: place % count for place, patient in enumerate(order)}
    return [fold[str(picture.group)] for picture in pictures]


def cross_validate(name: str, setup: Setup, pictures: PictureSet, tasks: list[Task], folds: list[int], examples: int | None) -> Result:
    """Train without each fold in turn and score that fold; return the AUC over all folds, with ranks as scores."""
    scores = np.zeros(len(pictures))
    used = 0
    for fold in sorted(set(folds)):
        others = [index for index, own in enumerate(folds) if own != fold]
        chosen = others if examples is None else draw(pictures.pictures, others, examples, seed=fold)
        used += len(chosen)
        held_out = [index for index, own in enumerate(folds) if own == fold]
        own_scores = _scores(setup, pictures.part(chosen), pictures.part(held_out), tasks, seed=fold)
        scores[held_out] = own_scores.argsort().argsort() / len(held_out)  # ranks: logits of two trainings are not comparable
    positive = pictures.labels[:, 0].numpy() == 1
    groups = [picture.group for picture in pictures.pictures]
    return Result(name, used // len(set(folds)), auc(scores, positive), *auc_limits(scores, positive, groups))


def _scores(setup: Setup, train: PictureSet, test: PictureSet, tasks: list[Task], seed: int) -> np.ndarray:
    torch.manual_seed(seed)
    network = new_network(open_encoder("squeezenet", setup.weights, KEEP)[0], tasks, grid=GRID)
    fit_pictures(network, train.pixels, train.labels, setup.policy, TrainSection(steps=setup.steps, copies=2, seed=seed), AUGMENTATION)
    return network.scores(test.pixels)[0][:, 1].numpy()


def _line(result: Result) -> str:
    return f"{result.setup}, {result.examples} pictures: AUC {result.value:.3f} ({result.low:.3f} to {result.high:.3f})"


def _write(folder: Path, results: Sequence[Result]) -> None:
    stream = io.StringIO()
    table = csv.writer(stream, lineterminator="\n")
    table.writerow(["setup", "examples", "auc", "low", "high"])
    table.writerows(
        [result.setup, result.examples, *(f"{value:.4f}" for value in (result.value, result.low, result.high))] for result in results
    )
    write_text(folder / "xray.csv", stream.getvalue())
    _draw(folder / "xray.png", results)


def _draw(path: Path, results: Sequence[Result]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 4.2), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    names = list(dict.fromkeys(result.setup for result in results))
    for offset, examples in enumerate(dict.fromkeys(result.examples for result in results)):
        mine = [result for result in results if result.examples == examples]
        places = np.arange(len(names)) + 0.16 * (2 * offset - 1)
        values = np.array([result.value for result in mine])
        limits = np.array([[result.value - result.low, result.high - result.value] for result in mine]).T
        axes.errorbar(places, values, limits, fmt="o", capsize=4, label=f"{examples} pictures")
    axes.axhline(0.5, color="grey", linewidth=0.8, linestyle="--")
    axes.set_xticks(range(len(names)), names)
    axes.set(ylabel="area under the ROC curve", title="Normal or pneumonia, 95 % limits over patients")
    axes.grid(axis="y", alpha=0.3)
    axes.legend()
    with writing(path) as beside:
        figure.savefig(beside, format="png")


def _print(results: Sequence[Result]) -> None:
    table = PlainTable("AUC", *(f"{examples} pictures" for examples in dict.fromkeys(result.examples for result in results)))
    for setup in dict.fromkeys(result.setup for result in results):
        mine = [result for result in results if result.setup == setup]
        table.add_row(setup, *(f"{result.value:.3f} ({result.low:.3f} to {result.high:.3f})" for result in mine))
    plain_console().print(table)


if __name__ == "__main__":
    sys.exit(reported(main))
