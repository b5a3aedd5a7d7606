"""Several tasks in one network: pedestrian, car, stop sign and traffic light. When does sharing help the one with few labels?

    python training/driving.py --out runs/driving

One task (the target) has few labels, the others have 2000. One shared network with four outputs is held against a network for
the target alone, as large as the shared one or a quarter of it (four such are as large, and as much work, as the shared one).
Steps and learning rate of every way are chosen on validation scenes with a seed of its own, from the same grid; the limits are
those of the paired difference on other scenes. The drawn scenes vary how much the tasks share: nothing more than the street,
a context (busy or quiet), parts (one material), or both. Two controls: the other labels shuffled, and a front that was pretrained
on other scenes. Writes driving.csv and driving.png, and trainings.jsonl, from where an interrupted study goes on.
`--photographs` adds real street photographs (traffic light, stop sign, crosswalk, speed limit) with SqueezeNet.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from speechtl.curves import Panel, Point, draw_panels, write_panels
from speechtl.errors import reported
from speechtl.image.data import load_pictures
from speechtl.image.manifest import Picture, read_pictures, targets_of, tasks_of
from speechtl.image.metrics import auc
from speechtl.image.network import PictureNetwork, new_network
from speechtl.image.places import image_data
from speechtl.image.preprocess import PICTURES, Normalize
from speechtl.image.recipe import TrainSection
from speechtl.image.run import open_encoder
from speechtl.image.scenes import TASKS, scenes
from speechtl.image.train import fit_pictures
from speechtl.progress import say
from speechtl.runtime.pictures import PictureSettings
from speechtl.statistics import mean_limits
from speechtl.transfer import AllLayers, Encoder, EncoderInfo, HeadOnly, Task, TaskHead, attach

SIZE = 32  # pixels
LEARNED, CHOSEN_ON, TESTED = 2000, 500, 1000  # scenes to learn from, to choose steps and rate on, to report on
WIDTH = 8  # channels of the first layer of the shared network
BLOCK = 20  # photographs in a row that stay together: neighbours show the same crossing
FOLDS = 3
HIDDEN = 32
BATCH = 32
GRID = [(steps, rate) for steps in (150, 450) for rate in (3e-3, 1e-2)]  # to choose from, for every way
TUNED_WITH = 100  # labels of the target
TUNING_SEED = 1000
WORLDS = {
    "little in common": {},
    "context": {"context": True},
    "parts": {"parts": True},
    "context and parts": {"context": True, "parts": True},
}

Scenes = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Way:
    """How to learn the target: alone or with the other tasks, in how large a network, and from what."""

    name: str
    shared: bool = False
    width: int = WIDTH
    balanced: bool = True
    shuffled: bool = False  # the other tasks' labels, so that they teach nothing
    few: bool = False  # labels of the other tasks, as many as of the target
    pretrained: bool = False  # on the other tasks of other scenes


ALONE, QUARTER, SHARED = Way("alone"), Way("alone, a quarter the size", width=WIDTH // 2), Way("shared", shared=True)
UNBALANCED = replace(SHARED, name="shared, every label counts the same", balanced=False)
SHUFFLED = replace(SHARED, name="shared, other labels shuffled", shuffled=True)
FEW = replace(SHARED, name="shared, as few labels of the others", few=True)
ALONE_PRETRAINED = replace(ALONE, name="alone, pretrained front", pretrained=True)
SHARED_PRETRAINED = replace(SHARED, name="shared, pretrained front", pretrained=True)
WAYS = (ALONE, QUARTER, SHARED, UNBALANCED, SHUFFLED, FEW, ALONE_PRETRAINED, SHARED_PRETRAINED)


@dataclass(frozen=True)
class Trained:
    """What one training gave: AUC of the target on the validation and test scenes."""

    world: str
    way: str
    labels: int
    seed: int
    steps: int
    rate: float
    validation: float
    test: float


class Study:
    """Trainings of one target task, each done once and kept in a file."""

    def __init__(self, out: Path, target: int) -> None:
        self.file = out / "trainings.jsonl"
        self.target = target
        self.done: dict[tuple[object, ...], Trained] = {}
        if self.file.is_file():
            for line in self.file.read_text(encoding="utf-8").splitlines():
                self._keep(Trained(**json.loads(line)))
        out.mkdir(parents=True, exist_ok=True)

    def result(self, world: str, way: Way, labels: int, seed: int) -> Trained:
        """Result with the steps and the rate that are best for this way in this world on validation scenes."""
        tried = [self.train(world, way, TUNED_WITH, TUNING_SEED, steps, rate) for steps, rate in GRID]
        best = max(tried, key=lambda one: one.validation)
        return self.train(world, way, labels, seed, best.steps, best.rate)

    def train(self, world: str, way: Way, labels: int, seed: int, steps: int, rate: float) -> Trained:
        """Train once."""
        key = (world, way.name, labels, seed, steps, rate)
        if key not in self.done:
            network = fitted(drawn(world, 0, LEARNED), way, self.target, labels, seed, steps, rate, world)
            values = [area(network, drawn(world, *which), self.target) for which in ((2, CHOSEN_ON), (1, TESTED))]
            self._keep(Trained(*key, *values))  # type: ignore[arg-type]
            with self.file.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(asdict(self.done[key])) + "\n")
            say(f"{world}, {way.name}, {labels} labels, seed {seed}, {steps} steps, rate {rate:g}: AUC {values[0]:.3f} on validation")
        return self.done[key]

    def _keep(self, one: Trained) -> None:
        self.done[one.world, one.way, one.labels, one.seed, one.steps, one.rate] = one


@cache
def drawn(world: str, seed: int, count: int) -> Scenes:
    """Scenes of a world; seeds tell apart those to learn from (0), to test on (1), to choose on (2) and to pretrain on (3)."""
    return scenes(count, SIZE, seed=seed, **WORLDS[world])


def fitted(learned: Scenes, way: Way, target: int, labels: int, seed: int, steps: int, rate: float, world: str) -> PictureNetwork:
    """Train one way."""
    pixels, known = labelled(learned, way, target, labels, seed)
    torch.manual_seed(seed)
    encoder = pretrained(world, target, seed) if way.pretrained else build(way.width)
    network = new_network(encoder, TASKS if way.shared else [TASKS[target]])
    settings = TrainSection(steps=steps, batch_size=BATCH, learning_rate=rate, seed=seed)
    fit_pictures(network, pixels, known, AllLayers(rate_decay=1.0), settings, balanced=way.balanced)
    return network


def labelled(learned: Scenes, way: Way, target: int, labels: int, seed: int) -> Scenes:
    """Pictures and labels that a way learns from; all ways have the same labels of the target."""
    order = torch.from_numpy(np.random.default_rng(seed).permutation(len(learned[0])))
    pixels, known = learned[0][order], learned[1][order]
    known[labels:, target] = math.nan
    if not way.shared or way.few:
        pixels, known = pixels[:labels], known[:labels]
    if not way.shared:
        return pixels, known[:, [target]]
    if way.shuffled:
        turned = torch.Generator().manual_seed(seed)
        for other in set(range(len(TASKS))) - {target}:
            known[:, other] = known[torch.randperm(len(known), generator=turned), other]
    return pixels, known


def pretrained(world: str, target: int, seed: int) -> Encoder:
    """Layers that learned the other tasks on other scenes."""
    pixels, known = drawn(world, 3, LEARNED)
    others = [index for index in range(len(TASKS)) if index != target]
    network = new_network(build(WIDTH), [TASKS[index] for index in others])
    settings = TrainSection(steps=max(steps for steps, _ in GRID), batch_size=BATCH, learning_rate=GRID[-1][1], seed=seed)
    fit_pictures(network, pixels, known[:, others], AllLayers(rate_decay=1.0), settings)
    return network.encoder


def build(width: int) -> Encoder:
    """Four convolutions; weights and multiply-adds grow with the square of the width."""
    groups: dict[str, nn.Module] = {}
    inputs = 3
    for number, factor in enumerate((1, 2, 4, 4), 1):
        first: list[nn.Module] = [Normalize((0.5,) * 3, (0.5,) * 3)] if number == 1 else []
        conv = nn.Conv2d(inputs, width * factor, 3, padding=1, bias=False)
        groups[f"conv{number}"] = nn.Sequential(*first, conv, nn.BatchNorm2d(width * factor), nn.ReLU(), nn.MaxPool2d(2))
        inputs = width * factor
    return Encoder(groups, EncoderInfo("scenes", PICTURES, inputs))


def multiply_adds(width: int) -> int:
    """Multiply-adds of the convolutions for one picture."""
    total, inputs, side = 0, 3, SIZE
    for factor in (1, 2, 4, 4):
        total += side * side * 9 * inputs * width * factor
        inputs, side = width * factor, side // 2
    return total


def area(network: PictureNetwork, test: Scenes, target: int) -> float:
    """AUC of the target."""
    pixels, truth = test
    scores = dict(zip(network.head.tasks, network.scores(pixels), strict=True))[TASKS[target]]
    return auc(scores[:, 0].double().numpy(), truth[:, target].numpy() == 1)


def main(argv: Sequence[str] | None = None) -> list[Panel]:
    """Compare; print, write and draw the AUC of the target."""
    names = [task.name for task in TASKS]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/driving"))
    parser.add_argument("--seeds", type=int, default=5, help="trainings for each figure (default 5)")
    parser.add_argument("--labels", type=int, nargs="+", default=[25, 100], help="of the target (default 25 100)")
    parser.add_argument("--target", choices=names, default="traffic_light", help="the task with few labels (default traffic_light)")
    parser.add_argument("--photographs", action="store_true", help="real street photographs as well")
    arguments = parser.parse_args(argv)
    study = Study(arguments.out, names.index(arguments.target))
    panels = []
    for world, ways in plan().items():
        results = [study.result(world, way, labels, seed) for labels in arguments.labels for way in ways for seed in range(arguments.seeds)]
        print_world(world, results, arguments.labels)
        panels.append(Panel(f"labels of the target; in common: {world}", [Point(r.way, r.labels, r.seed, r.test) for r in results]))
    write_panels(arguments.out / "driving.csv", panels, "auc")
    draw_panels(arguments.out / "driving.png", panels, f"{arguments.target} alone or together with three other tasks", "AUC")
    if arguments.photographs:
        photographs(drawn("little in common", 0, LEARNED))
    return panels


def plan() -> dict[str, tuple[Way, ...]]:
    """Which ways to compare in which world; the controls where tasks share most."""
    return {
        "little in common": (ALONE, SHARED, UNBALANCED),
        "context": (ALONE, SHARED),
        "parts": (ALONE, SHARED),
        "context and parts": WAYS,
    }


def print_world(world: str, results: Sequence[Trained], amounts: Sequence[int]) -> None:
    """Print the mean of every way and what it gains over the target alone, with 95 % limits of the paired difference."""
    values = {(one.way, one.labels, one.seed): one for one in results}
    table = Table(f"in common: {world}", *(f"{labels} labels" for labels in amounts), "steps, rate", "multiply-adds, four tasks")
    for way in [way for way in WAYS if way.name in {one.way for one in results}]:
        mine = [one for one in results if one.way == way.name]
        cells = [gain([one for one in mine if one.labels == labels], values) for labels in amounts]
        work = mine[0].steps * BATCH * 3 * multiply_adds(way.width) * (1 if way.shared else len(TASKS))
        table.add_row(way.name, *cells, f"{mine[0].steps}, {mine[0].rate:g}", f"{work:.1e}")
    Console(width=160).print(table)


def gain(mine: Sequence[Trained], values: dict[tuple[str, int, int], Trained]) -> str:
    """Mean AUC, and how much more it is than alone."""
    mean = f"{np.mean([one.test for one in mine]):.3f}"
    if mine[0].way == ALONE.name:
        return mean
    more = [one.test - values[ALONE.name, one.labels, one.seed].test for one in mine]
    low, high = mean_limits(more)
    return f"{mean} ({np.mean(more):+.2f}; {low:+.2f} to {high:+.2f})"


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


class Repeat(nn.Module):
    """Give the same input to several networks that stand side by side."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    def forward(self, inputs: Tensor) -> Tensor:
        """`(batch, times * channels, ...)`."""
        return inputs.repeat(1, self.times, *[1] * (inputs.dim() - 2))


class SeparateTop(TaskHead):
    """Separate new layers behind one shared embedding; each task has all numbers and a hidden layer of its own."""

    def __init__(self, input_size: int, tasks: Sequence[Task], hidden: int) -> None:
        super().__init__(input_size, tasks, hidden=hidden)
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
    network = new_network(build(2 * WIDTH), TASKS)
    pixels, labels = learned
    fit_pictures(network, pixels, labels, AllLayers(rate_decay=1.0), TrainSection(steps=250, batch_size=BATCH, learning_rate=5e-3))
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


if __name__ == "__main__":
    sys.exit(reported(main))
