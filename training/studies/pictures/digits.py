"""python training/studies/pictures/digits.py --out runs/digits [--full]

How many pictures does it take to recognise handwritten digits with a network that was pretrained on photographs?

The output layer of SqueezeNet (1000 classes) and its last two groups are replaced by ten new outputs. Compared for 10, 50, 100, 500
and 1000 training pictures: training only the new layer (option 1); training all layers, early ones at lower rates (option 2); the same
network from scratch; one layer on raw pixels. MNIST's test digits are split into 1000 for training and others for testing; without
MNIST, scikit-learn's 8×8 digits are used. Writes digits.csv and digits.png. `--full` tests on all other 9,000 digits with five seeds
(about an hour).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from mnist import read_idx
from torch import Tensor, nn

from speechtl.arguments import output_folder
from speechtl.errors import PictureError, reported
from speechtl.image.augment import AugmentSection
from speechtl.image.data import resize_pixels
from speechtl.image.manifest import image_data
from speechtl.image.network import PICTURES, Normalize, new_network
from speechtl.image.recipe import TrainSection
from speechtl.image.run import open_encoder
from speechtl.image.train import fit_pictures
from speechtl.progress import say
from speechtl.study.curves import Point, draw_curves, print_points, write_points
from speechtl.text import counted
from speechtl.transfer import AllLayers, Encoder, EncoderInfo, HeadOnly, Policy, Task, at_one_rate

AMOUNTS = (10, 50, 100, 500, 1000)
POOL = 1000  # training digits
TASK = Task("digit", tuple("0123456789"))
AUGMENTATION = AugmentSection(shift=0.08, rotate=12.0, scale=0.12)
KEEP = "fire7"
GRID = 2
SIZE = 56  # pixels; then strokes are as wide as edges in a photograph
RAW_SIZE = 28  # pixels of the raw digits


@dataclass(frozen=True)
class Setup:
    """Weights of the encoder (None for raw pixels), policy, number of batches, learning rate."""

    weights: str | None
    policy: Policy
    steps: int
    learning_rate: float


SETUPS = {
    "only the new layer": Setup("pretrained", HeadOnly(), 300, 1e-3),
    "all layers": Setup("pretrained", AllLayers(), 200, 1e-3),
    "from scratch": Setup("scratch", at_one_rate(AllLayers()), 200, 1e-3),
    "raw pixels": Setup(None, HeadOnly(), 300, 1e-3),
}


def main(argv: Sequence[str] | None = None) -> list[Point]:
    """Train every set-up with every amount; print, write and plot the accuracies."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=output_folder, default="runs/digits")
    parser.add_argument("--amounts", type=int, nargs="+", default=AMOUNTS, help="numbers of training pictures")
    parser.add_argument("--seeds", type=int, default=3, help="trainings for each amount, each on other pictures (default 3)")
    parser.add_argument("--test", type=int, default=2000, help="number of test digits (default 2000)")
    parser.add_argument("--full", action="store_true", help="five seeds, all other digits for testing")
    arguments = parser.parse_args(argv)
    seeds, tested = (5, 9000) if arguments.full else (arguments.seeds, arguments.test)
    digits, labels, source = load_digits()
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(digits)))
    trained_on = min(POOL, len(digits) * 2 // 3)
    pool, test = order[:trained_on], order[max(trained_on, len(order) - tested) :]  # sizes and cuts were tuned on earlier digits
    points = []
    for amount in arguments.amounts:
        for name, setup in SETUPS.items():
            for seed in range(seeds):
                accuracy = train_once(setup, digits, labels, _drawn(labels, pool, amount, seed), test, seed)
                points.append(Point(name, amount, seed, accuracy))
                say(f"{source}, {counted(amount, 'picture')}, {name}: accuracy {accuracy:.3f} (seed {seed})")
    write_points(arguments.out / "digits.csv", points, "accuracy")
    draw_curves(arguments.out / "digits.png", points, f"{source}: accuracy on {len(test)} other digits", "accuracy")
    print_points(points, "accuracy")
    return points


def load_digits() -> tuple[Tensor, Tensor, str]:
    """Digits as bytes `(digits, height, width)`, their classes `(digits, 1)`, and the name of the data set."""
    folder = image_data()
    try:
        if folder is None:
            raise PictureError("There is no folder of pictures.")
        images, labels = (read_idx(folder / "mnist" / f"t10k-{kind}.gz") for kind in ("images-idx3-ubyte", "labels-idx1-ubyte"))
        return torch.tensor(images), torch.tensor(labels).float()[:, None], "MNIST"
    except PictureError as error:
        from sklearn.datasets import load_digits as load_small

        say(f"{error} Using scikit-learn's 8×8 digits.")
        small = load_small()
        return torch.tensor(small.images / 16 * 255).round().byte(), torch.tensor(small.target).float()[:, None], "scikit-learn's digits"


def train_once(setup: Setup, digits: Tensor, labels: Tensor, chosen: Tensor, test: Tensor, seed: int) -> float:
    """Train on the chosen digits and return the accuracy on the test digits."""
    torch.manual_seed(seed)
    size = RAW_SIZE if setup.weights is None else SIZE
    encoder = raw_pixels() if setup.weights is None else open_encoder("squeezenet", setup.weights, KEEP)[0]
    network = new_network(encoder, [TASK], grid=1 if setup.weights is None else GRID)
    settings = TrainSection(steps=setup.steps, learning_rate=setup.learning_rate, seed=seed)
    fit_pictures(network, resize_pixels(digits[chosen], size), labels[chosen], setup.policy, settings, AUGMENTATION)
    right = network.scores(resize_pixels(digits[test], size))[0].argmax(dim=1) == labels[test, 0]
    return float(right.float().mean())


def raw_pixels() -> Encoder:
    """An encoder without weights: the pixels themselves."""
    pixels = nn.Sequential(Normalize((0.5,) * 3, (0.5,) * 3), nn.Flatten())
    return Encoder({"pixels": pixels}, EncoderInfo("pixels", PICTURES, 3 * RAW_SIZE * RAW_SIZE))


def _drawn(labels: Tensor, pool: Tensor, amount: int, seed: int) -> Tensor:
    """A number of digits of the pool, equally many of each class."""
    shuffled = pool[torch.from_numpy(np.random.default_rng(seed).permutation(len(pool)))]
    seen: dict[float, int] = {}
    turns = []
    for index in shuffled.tolist():
        kind = float(labels[index, 0])
        turns.append((seen.get(kind, 0), kind, index))
        seen[kind] = seen.get(kind, 0) + 1
    return torch.tensor([index for _, _, index in sorted(turns)[:amount]])


if __name__ == "__main__":
    sys.exit(reported(main))
