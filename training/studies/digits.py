"""Handwritten digits from a network that knows a thousand kinds of things in photographs, and from how few pictures.

    python training/studies/digits.py --out runs/digits

SqueezeNet's 1000-class output layer is cut off, and with it the last two groups, which know photographs best; ten new
outputs take their place. Compared, from 10, 50, 100, 500 and 1000 pictures: only the new layer learns (option 1); all layers learn,
at smaller rates in front (option 2); the same network from scratch; one layer on raw pixels. MNIST's test digits are
split into 1000 to learn from and others to report on; without them scikit-learn's 8×8 digits are taken.
Writes digits.csv and digits.png. `--full` reports on all 9,000 other digits over five seeds (about an hour).
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
POOL = 1000  # digits to learn from
TASK = Task("digit", tuple("0123456789"))
COPIES = AugmentSection(shift=0.08, rotate=12.0, scale=0.12)
KEEP = "fire7"
GRID = 2
SIZE = 56  # pixels; the strokes of a digit are then as wide as edges in a photograph
SMALL = 28  # pixels of the raw digits


@dataclass(frozen=True)
class Way:
    """A way to train: which encoder (weights, or None for raw pixels), policy, batches, rate."""

    weights: str | None
    policy: Policy
    steps: int
    rate: float


WAYS = {
    "only the new layer": Way("pretrained", HeadOnly(), 300, 1e-3),
    "all layers": Way("pretrained", AllLayers(), 200, 1e-3),
    "from scratch": Way("scratch", at_one_rate(AllLayers()), 200, 1e-3),
    "raw pixels": Way(None, HeadOnly(), 300, 1e-3),
}


def main(argv: Sequence[str] | None = None) -> list[Point]:
    """Train every way with every amount; print, write and draw the accuracies."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=output_folder, default="runs/digits")
    parser.add_argument("--amounts", type=int, nargs="+", default=AMOUNTS, help="how many pictures to learn from")
    parser.add_argument("--seeds", type=int, default=3, help="trainings for each amount, each with other pictures (default 3)")
    parser.add_argument("--test", type=int, default=2000, help="digits to report on (default 2000)")
    parser.add_argument("--full", action="store_true", help="five seeds, all other digits")
    arguments = parser.parse_args(argv)
    seeds, tested = (5, 9000) if arguments.full else (arguments.seeds, arguments.test)
    digits, labels, name = load_digits()
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(digits)))
    learned = min(POOL, len(digits) * 2 // 3)
    pool, test = order[:learned], order[max(learned, len(order) - tested) :]  # sizes and cuts were tried on those in front
    points = []
    for amount in arguments.amounts:
        for way, settings in WAYS.items():
            for seed in range(seeds):
                accuracy = train_once(settings, digits, labels, _drawn(labels, pool, amount, seed), test, seed)
                points.append(Point(way, amount, seed, accuracy))
                say(f"{name}, {counted(amount, 'picture')}, {way}: accuracy {accuracy:.3f} (seed {seed})")
    write_points(arguments.out / "digits.csv", points, "accuracy")
    draw_curves(arguments.out / "digits.png", points, f"{name}: accuracy on {len(test)} other digits", "accuracy")
    print_points(points, "accuracy")
    return points


def load_digits() -> tuple[Tensor, Tensor, str]:
    """Return digits as bytes `(digits, height, width)`, their classes `(digits, 1)`, and what they are."""
    folder = image_data()
    try:
        if folder is None:
            raise PictureError("There is no folder of pictures.")
        images, labels = (read_idx(folder / "mnist" / f"t10k-{kind}.gz") for kind in ("images-idx3-ubyte", "labels-idx1-ubyte"))
        return torch.tensor(images), torch.tensor(labels).float()[:, None], "MNIST"
    except PictureError as error:
        from sklearn.datasets import load_digits as load_small

        say(f"{error} Taking scikit-learn's 8×8 digits.")
        small = load_small()
        return torch.tensor(small.images / 16 * 255).round().byte(), torch.tensor(small.target).float()[:, None], "scikit-learn's digits"


def train_once(way: Way, digits: Tensor, labels: Tensor, chosen: Tensor, test: Tensor, seed: int) -> float:
    """Train one way on the chosen digits and return the accuracy on the test digits."""
    torch.manual_seed(seed)
    size = SMALL if way.weights is None else SIZE
    encoder = raw_pixels() if way.weights is None else open_encoder("squeezenet", way.weights, KEEP)[0]
    network = new_network(encoder, [TASK], grid=1 if way.weights is None else GRID)
    settings = TrainSection(steps=way.steps, learning_rate=way.rate, seed=seed)
    fit_pictures(network, resize_pixels(digits[chosen], size), labels[chosen], way.policy, settings, COPIES)
    right = network.scores(resize_pixels(digits[test], size))[0].argmax(dim=1) == labels[test, 0]
    return float(right.float().mean())


def raw_pixels() -> Encoder:
    """Return an encoder that knows nothing: the pixels themselves."""
    pixels = nn.Sequential(Normalize((0.5,) * 3, (0.5,) * 3), nn.Flatten())
    return Encoder({"pixels": pixels}, EncoderInfo("pixels", PICTURES, 3 * SMALL * SMALL))


def _drawn(labels: Tensor, pool: Tensor, amount: int, seed: int) -> Tensor:
    """Return so many digits of the pool, as many of each kind."""
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
