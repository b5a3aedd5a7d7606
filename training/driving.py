"""Several tasks in one network: pedestrian, car, stop sign and traffic light, with missing labels; when does sharing help?

    python training/driving.py --out runs/driving

One network with four outputs against four separate networks, as large as it each (four times the size in all) or a quarter
of it each (the same size in all), on drawn road scenes: over the number of scenes, over the share of missing labels, and over the
size of the network, because sharing should hurt only where the network is too small (Caruana 1997). Then real street
photographs (traffic light, stop sign, crosswalk, speed limit): what the drawn scenes taught, and SqueezeNet with shared
and separate new layers. Writes driving.csv and driving.png. `--full` takes five seeds and up to 8000 scenes (about two hours).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from speechtl.arguments import output_folder
from speechtl.curves import Panel, Point, draw_panels, summary, write_panels
from speechtl.errors import reported
from speechtl.image.data import load_pictures
from speechtl.image.manifest import Picture, read_pictures, targets_of, tasks_of
from speechtl.image.metrics import auc
from speechtl.image.network import PictureNetwork, new_network
from speechtl.image.places import image_data
from speechtl.image.preprocess import PICTURES, Normalize
from speechtl.image.recipe import TrainSection
from speechtl.image.run import open_encoder
from speechtl.image.scenes import TASKS, scenes, without
from speechtl.image.train import fit_pictures
from speechtl.progress import say
from speechtl.runtime.pictures import PictureSettings
from speechtl.transfer import AllLayers, Encoder, EncoderInfo, HeadOnly, Task, TaskHead, attach
from speechtl.transfer.heads import start_output

SIZE = 32  # pixels
TESTED = 1000  # scenes to report on
WIDTH = 16  # channels of the first layer of the shared network
BLOCK = 20  # photographs in a row that stay together: neighbours show the same crossing
FOLDS = 3
HIDDEN = 32
STEPS = 250
BATCH = 32
MISSING = "% of labels missing"


@dataclass(frozen=True)
class Setting:
    """One comparison: how many scenes, how many of their labels are missing, how wide the shared network is."""

    examples: int = 1000
    missing: float = 0.0
    width: int = WIDTH


class SeparateHead(TaskHead):
    """Each task sees its own equal part of the embedding's numbers alone: with grouped layers before it, separate networks."""

    def __init__(self, input_size: int, tasks: Sequence[Task], hidden: int = 0) -> None:
        super().__init__(input_size, tasks, hidden=hidden)
        count = len(self.tasks)
        layers: list[nn.Module] = [nn.Dropout(0.2), nn.Unflatten(1, (-1, 1))]
        if hidden:
            layers += [nn.Conv1d(input_size, hidden * count, 1, groups=count), nn.ReLU()]
        output = nn.Conv1d(hidden * count or input_size, count, 1, groups=count)
        if not hidden:
            start_output(output)
        self.layers = nn.Sequential(*layers, output, nn.Flatten())


class Repeat(nn.Module):
    """Give the same input to several networks that stand side by side."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    def forward(self, inputs: Tensor) -> Tensor:
        """Return `(batch, times * channels, ...)`."""
        return inputs.repeat(1, self.times, *[1] * (inputs.dim() - 2))


def build(width: int, networks: int) -> PictureNetwork:
    """Return one network for all tasks, or as many separate ones side by side as there are tasks, with `width` channels each."""
    groups: dict[str, nn.Module] = {}
    inputs = 3
    for number, factor in enumerate((1, 2, 4, 4), 1):
        first: list[nn.Module] = [Normalize((0.5,) * 3, (0.5,) * 3), Repeat(networks)] if number == 1 else []
        outputs = width * factor
        conv = nn.Conv2d(inputs * networks, outputs * networks, 3, padding=1, groups=networks, bias=False)
        groups[f"conv{number}"] = nn.Sequential(*first, conv, nn.BatchNorm2d(outputs * networks), nn.ReLU(), nn.MaxPool2d(2))
        inputs = outputs
    encoder = Encoder(groups, EncoderInfo("scenes", PICTURES, inputs * networks))
    return new_network(encoder, TASKS) if networks == 1 else attach(encoder, SeparateHead(inputs * networks, TASKS), PictureNetwork)


def candidates(setting: Setting) -> dict[str, PictureNetwork]:
    """Return the networks to compare; weights grow with the square of the width, so half the width is a quarter of the size."""
    return {
        "one shared network": build(setting.width, 1),
        "four separate, as large each": build(setting.width, len(TASKS)),
        "four separate, a quarter each": build(max(setting.width // 2, 1), len(TASKS)),
    }


def main(argv: Sequence[str] | None = None) -> list[Panel]:
    """Compare; print, write and draw the mean AUC over the tasks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=output_folder, default="runs/driving")
    parser.add_argument("--seeds", type=int, default=2, help="trainings for each comparison (default 2)")
    parser.add_argument("--amounts", type=int, nargs="+", default=[100, 300, 1000, 3000], help="scenes to learn from")
    parser.add_argument("--missing", type=float, nargs="+", default=[0.0, 0.5, 0.75, 0.9], help="shares of missing labels")
    parser.add_argument("--width", type=int, default=WIDTH, help=f"of the shared network where it stays the same (default {WIDTH})")
    parser.add_argument("--widths", type=int, nargs="+", default=[2, 4, 8, 16, 32], help="channels of the shared network's first layer")
    parser.add_argument("--full", action="store_true", help="five seeds, up to 8000 scenes")
    arguments = parser.parse_args(argv)
    seeds = 5 if arguments.full else arguments.seeds
    amounts = [*arguments.amounts, 8000] if arguments.full else arguments.amounts
    most = max([*amounts, 1000])
    learned, tested = scenes(most, SIZE, seed=0), scenes(TESTED, SIZE, seed=1)
    sweeps = {
        "scenes to learn from": [(amount, Setting(examples=amount, width=arguments.width)) for amount in amounts],
        MISSING: [(round(100 * share), Setting(missing=share, width=arguments.width)) for share in arguments.missing],
        "width of the shared network": [(width, Setting(examples=most, width=width)) for width in arguments.widths],
    }
    done: dict[Setting, dict[tuple[str, int], float]] = {}
    panels = []
    for name, steps in sweeps.items():
        points = []
        for value, setting in steps:
            done[setting] = done.get(setting) or compare(setting, learned, tested, seeds)
            points += [Point(way, value, seed, mean) for (way, seed), mean in done[setting].items()]
        panels.append(Panel(name, points, logarithmic=name != MISSING))
    write_panels(arguments.out / "driving.csv", panels, "auc")
    draw_panels(arguments.out / "driving.png", panels, "One network for four tasks, or four networks: mean AUC on other scenes", "AUC")
    _print(panels)
    photographs(learned)
    return panels


def compare(setting: Setting, learned: tuple[Tensor, Tensor], tested: tuple[Tensor, Tensor], seeds: int) -> dict[tuple[str, int], float]:
    """Train every candidate with every seed; return the mean AUC over the tasks."""
    results = {}
    for seed in range(seeds):
        torch.manual_seed(seed)
        for name, network in candidates(setting).items():
            chosen = torch.from_numpy(np.random.default_rng(seed).permutation(len(learned[0]))[: setting.examples])
            labels = without(learned[1][chosen], setting.missing, seed)
            results[name, seed] = float(np.mean(trained(network, learned[0][chosen], labels, *tested, seed)))
            say(f"{setting}, {name}, seed {seed}: mean AUC {results[name, seed]:.3f}")
    return results


def trained(network: PictureNetwork, pixels: Tensor, labels: Tensor, test: Tensor, truth: Tensor, seed: int) -> list[float]:
    """Train a network from nothing and return the AUC of each task on other pictures."""
    settings = TrainSection(steps=STEPS, batch_size=BATCH, learning_rate=5e-3, seed=seed)
    fit_pictures(network, pixels, labels, AllLayers(rate_decay=1.0), settings)
    return areas(network, test, truth)


def areas(network: PictureNetwork, pixels: Tensor, truth: Tensor) -> list[float]:
    """Return the AUC of each task."""
    scores = network.scores(pixels)
    return [auc(scores[task][:, 0].double().numpy(), truth[:, task].numpy() == 1) for task in range(truth.shape[1])]


def photographs(learned: tuple[Tensor, Tensor]) -> None:
    """Print what is recognised in real street photographs."""
    folder = image_data()
    if folder is None or not (folder / "manifests" / "road.jsonl").is_file():
        say("The street photographs are not on this machine; leaving them out.")
        return
    pictures = read_pictures([folder / "manifests" / "road.jsonl"])
    tasks = tasks_of(pictures)
    truth = torch.tensor(targets_of(pictures, tasks))
    table = Table("AUC on street photographs", *(task.name.replace("_", " ") for task in tasks))
    table.add_row("the network of the drawn scenes", *_drawn_on_real(learned, pictures, tasks))
    loaded = load_pictures(pictures, tasks, PictureSettings(128), say)
    blocks = [int("".join(filter(str.isdigit, picture.path.stem))) // BLOCK for picture in loaded.pictures]
    for name, shared in (("SqueezeNet, new layers shared", True), ("SqueezeNet, new layers for each", False)):
        scores = np.zeros(truth.shape)
        for fold in range(FOLDS):
            held_out = [index for index, block in enumerate(blocks) if block % FOLDS == fold]
            others = loaded.part([index for index, block in enumerate(blocks) if block % FOLDS != fold])
            torch.manual_seed(fold)
            encoder, _ = open_encoder("squeezenet")
            head = TaskHead if shared else SeparateTop
            network = attach(encoder, head(encoder.info.embedding_size, tasks, hidden=HIDDEN), PictureNetwork)
            fit_pictures(network, others.pixels, others.labels, HeadOnly(), TrainSection(steps=200, batch_size=BATCH, seed=fold))
            scores[held_out] = torch.cat(network.scores(loaded.pixels[held_out]), dim=1).numpy()
        values = [auc(scores[:, task], truth[:, task].numpy() == 1) for task in range(len(tasks))]
        table.add_row(name, *(f"{value:.3f}" for value in values))
    Console(width=140).print(table)


class SeparateTop(SeparateHead):
    """Separate new layers behind one shared embedding, of which each task has all numbers and its own hidden layer."""

    def __init__(self, input_size: int, tasks: Sequence[Task], hidden: int) -> None:
        super().__init__(input_size, tasks, hidden)
        count = len(self.tasks)
        inner = [
            nn.Conv1d(input_size * count, hidden * count, 1, groups=count),
            nn.ReLU(),
            nn.Conv1d(hidden * count, count, 1, groups=count),
        ]
        self.layers = nn.Sequential(nn.Dropout(0.2), Repeat(count), nn.Unflatten(1, (-1, 1)), *inner, nn.Flatten())


def _drawn_on_real(learned: tuple[Tensor, Tensor], pictures: Sequence[Picture], tasks: Sequence[Task]) -> list[str]:
    """Return the AUC, on photographs, of a network that has only seen drawn scenes, for the tasks that both have."""
    torch.manual_seed(0)
    network = build(WIDTH, 1)
    pixels, labels = learned
    fit_pictures(network, pixels, labels, AllLayers(rate_decay=1.0), TrainSection(steps=STEPS, batch_size=BATCH, learning_rate=5e-3))
    loaded = load_pictures(pictures, tasks, PictureSettings(SIZE), say)
    scores = network.scores(loaded.pixels)
    ours = [task.name for task in TASKS]
    cells = []
    for index, task in enumerate(tasks):
        known = task.name in ours
        cells.append(
            f"{auc(scores[ours.index(task.name)][:, 0].double().numpy(), loaded.labels[:, index].numpy() == 1):.3f}" if known else ""
        )
    return cells


def _print(panels: Sequence[Panel]) -> None:
    for panel in panels:
        values = sorted({point.examples for point in panel.points})
        table = Table(f"mean AUC by {panel.name}", *map(str, values))
        rows = {(way, value): mean for way, value, mean, _, _ in summary(panel.points)}
        for way in dict.fromkeys(point.way for point in panel.points):
            table.add_row(way, *(f"{rows[way, value]:.3f}" for value in values))
        Console(width=140).print(table)


if __name__ == "__main__":
    sys.exit(reported(main))
