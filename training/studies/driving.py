"""Does a task with few labels gain from a network that it shares with three tasks of 2000 labels?

    python training/studies/driving.py --out runs/driving

The tasks are pedestrian, car, stop sign and traffic light in drawn scenes. One network with four outputs is compared with a
network for the target alone, of any width or a quarter of the size (four of these are about as large as a shared one). Steps, rate,
width and weighting of every way are chosen on validation scenes, for each number of labels, with a seed of its own. The limits are
those of the paired difference on test scenes. `--worlds` chooses what the tasks share (context: busy or quiet streets; parts: one
material), `--controls` adds other ways. Writes driving.csv, driving.png, and trainings.jsonl, from which an interrupted study resumes.
`--photographs` adds real street photographs (traffic light, stop sign, crosswalk, speed limit) with SqueezeNet.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, astuple, dataclass, replace
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scenes import TASKS, scenes
from torch import Tensor, nn

from speechtl.arguments import output_folder
from speechtl.errors import reported
from speechtl.image.data import load_pictures
from speechtl.image.manifest import Picture, image_data, read_pictures, targets_of, tasks_of
from speechtl.image.metrics import auc
from speechtl.image.network import PICTURES, Normalize, PictureNetwork, new_network
from speechtl.image.recipe import TrainSection
from speechtl.image.run import open_encoder
from speechtl.image.train import fit_pictures
from speechtl.limits import mean_limits
from speechtl.progress import say
from speechtl.runtime.pictures import PictureSettings
from speechtl.study.curves import Panel, Point, draw_panels, write_panels
from speechtl.transfer import AllLayers, Encoder, EncoderInfo, HeadOnly, Task, TaskHead, attach

SIZE = 32  # pixels
LEARNED, CHOSEN_ON, TESTED = 2000, 500, 1000  # scenes to learn from, to choose steps and rate on, to report on
WIDTH = 8  # channels of the first layer of the shared network
BLOCK = 20  # photographs in a row that stay together: neighbours show the same crossing
FOLDS = 3
HIDDEN = 32
BATCH = 32
STEPS, RATES, WIDTHS = (150, 450, 900), (1e-2, 3e-3), (WIDTH, WIDTH // 2)
TUNING_SEED = 1000
LEARN, VALIDATE, PRETRAIN, TEST = 0, 2, 3, 20261  # seeds of the scenes
WORLDS = {
    "little in common": {},
    "context": {"context": True},
    "parts": {"parts": True},
    "context and parts": {"context": True, "parts": True},
}

Scenes = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Way:
    """How to learn the target: alone or with the other tasks, and from what."""

    name: str
    shared: bool = False
    widths: tuple[int, ...] = WIDTHS  # to choose from
    shuffled: bool = False  # the other tasks' labels, so that they teach nothing
    few: bool = False  # labels of the other tasks, as many as of the target
    pretrained: bool = False  # on the other tasks of other scenes


ALONE, QUARTER, SHARED = Way("alone"), Way("alone, a quarter the size", widths=(WIDTH // 2,)), Way("shared", shared=True)
SHUFFLED = replace(SHARED, name="shared, other labels shuffled", shuffled=True)
FEW = replace(SHARED, name="shared, as few labels of the others", few=True)
ALONE_PRETRAINED = replace(ALONE, name="alone, pretrained front", pretrained=True, widths=(WIDTH,))
SHARED_PRETRAINED = replace(SHARED, name="shared, pretrained front", pretrained=True, widths=(WIDTH,))
WAYS = (ALONE, QUARTER, SHARED)
CONTROLS = (SHUFFLED, FEW, ALONE_PRETRAINED, SHARED_PRETRAINED)


@dataclass(frozen=True)
class Choice:
    """What is chosen on validation for every way and number of labels."""

    steps: int
    rate: float
    width: int
    balanced: bool = False  # every task counts the same, rather than every label


@dataclass(frozen=True)
class Trained:
    """AUC of the target after one training; `within` compares only scenes with as many of the other objects, without context."""

    world: str
    way: str
    labels: int
    seed: int
    steps: int
    rate: float
    width: int
    balanced: bool
    validation: float
    test: float
    within: float

    @property
    def key(self) -> tuple[object, ...]:
        """What tells trainings apart."""
        return self.world, self.way, self.labels, self.seed, *astuple(self.choice)

    @property
    def choice(self) -> Choice:
        """How it was trained."""
        return Choice(self.steps, self.rate, self.width, self.balanced)


class Study:
    """Trainings of one target task, each done once and kept in a file."""

    def __init__(self, out: Path, target: int) -> None:
        self.file = out / "trainings.jsonl"
        self.target = target
        self.done: dict[tuple[object, ...], Trained] = {}
        if self.file.is_file():
            for line in self.file.read_text(encoding="utf-8").splitlines():
                self.keep(Trained(**json.loads(line)))
        out.mkdir(parents=True, exist_ok=True)

    def tune(self, world: str, way: Way, labels: int) -> Trained:
        """Training that is best on validation: one setting after the other is chosen, with those before it."""

        def train(choice: Choice) -> Trained:
            return self.train(world, way, labels, TUNING_SEED, choice)

        best = train(Choice(STEPS[1], RATES[0], way.widths[0]))
        best = better(best, train(replace(best.choice, rate=RATES[1])))
        if way.shared:
            best = better(best, train(replace(best.choice, balanced=True)))
        shorter = train(replace(best.choice, steps=STEPS[0]))
        best = shorter if shorter.validation > best.validation else better(best, train(replace(best.choice, steps=STEPS[2])))
        for width in way.widths[1:]:
            best = better(best, train(replace(best.choice, width=width)))
        return best

    def train(self, world: str, way: Way, labels: int, seed: int, choice: Choice) -> Trained:
        """Train once."""
        key = (world, way.name, labels, seed, *astuple(choice))
        if key not in self.done:
            network = fitted(drawn(world, LEARN, LEARNED), way, self.target, labels, seed, choice, world)
            validation, _ = areas(network, drawn(world, VALIDATE, CHOSEN_ON), self.target)
            test = areas(network, drawn(world, TEST, TESTED), self.target)
            one = Trained(world, way.name, labels, seed, **asdict(choice), validation=validation, test=test[0], within=test[1])
            with self.file.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(asdict(one)) + "\n")
            self.keep(one)
            say(f"{world}, {way.name}, {labels} labels, seed {seed}, {choice}: AUC {validation:.3f} on validation")
        return self.done[key]

    def keep(self, one: Trained) -> None:
        """Take note of a training."""
        self.done[one.key] = one


def better(one: Trained, other: Trained) -> Trained:
    """The better one on validation; the first of equals."""
    return other if other.validation > one.validation else one


@cache
def drawn(world: str, seed: int, count: int) -> Scenes:
    """Scenes of a world."""
    return scenes(count, SIZE, seed=seed, **WORLDS[world])


def fitted(learned: Scenes, way: Way, target: int, labels: int, seed: int, choice: Choice, world: str) -> PictureNetwork:
    """Train one way."""
    pixels, known = labelled(learned, way, target, labels, seed)
    torch.manual_seed(seed)
    encoder = pretrained(world, target, seed) if way.pretrained else build(choice.width)
    network = new_network(encoder, TASKS if way.shared else [TASKS[target]])
    settings = TrainSection(steps=choice.steps, batch_size=BATCH, learning_rate=choice.rate, seed=seed)
    fit_pictures(network, pixels, known, AllLayers(rate_decay=1.0), settings, balanced=choice.balanced)
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
    pixels, known = drawn(world, PRETRAIN, LEARNED)
    others = [index for index in range(len(TASKS)) if index != target]
    network = new_network(build(WIDTH), [TASKS[index] for index in others])
    settings = TrainSection(steps=STEPS[1], batch_size=BATCH, learning_rate=RATES[0], seed=seed)
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


def work(way: Way, one: Trained) -> float:
    """Multiply-adds of the trainings for four tasks (forward and backward), without those to tune or to pretrain."""
    pictures = LEARNED if way.shared and not way.few else one.labels
    batch = min(BATCH, pictures)
    in_epoch = pictures // batch
    steps = max(round(one.steps / in_epoch), 1) * in_epoch
    return steps * batch * 3 * multiply_adds(one.width) * (1 if way.shared else len(TASKS))


def areas(network: PictureNetwork, test: Scenes, target: int) -> tuple[float, float]:
    """AUC of the target among all scenes, and among scenes with as many of the other objects."""
    pixels, truth = test
    scores = dict(zip(network.head.tasks, network.scores(pixels), strict=True))[TASKS[target]][:, 0].double().numpy()
    there = truth[:, target].numpy() == 1
    return auc(scores, there), within(scores, there, others_in(test, target))


def others_in(test: Scenes, target: int) -> NDArray[np.int64]:
    """Number of the other objects in every scene."""
    labels = test[1].numpy()
    return (labels.sum(axis=1) - labels[:, target]).astype(np.int64)


def within(scores: NDArray[np.float64], there: NDArray[np.bool_], groups: NDArray[np.int64]) -> float:
    """AUC of pairs that are in one group."""
    won = pairs = 0.0
    for group in np.unique(groups):
        mine = groups == group
        count = int(there[mine].sum()) * int((~there[mine]).sum())
        if count:
            won, pairs = won + count * auc(scores[mine], there[mine]), pairs + count
    return won / pairs if pairs else math.nan


def main(argv: Sequence[str] | None = None) -> list[Panel]:
    """Compare; print, write and draw the AUC of the target."""
    names = [task.name for task in TASKS]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=output_folder, default="runs/driving")
    parser.add_argument("--seeds", type=int, default=5, help="trainings for each figure (default 5)")
    parser.add_argument("--labels", type=int, nargs="+", default=[25, 100, 400], help="of the target (default 25 100 400)")
    parser.add_argument("--target", choices=names, default="traffic_light", help="the task with few labels (default traffic_light)")
    parser.add_argument("--worlds", choices=list(WORLDS), nargs="+", default=["context and parts", "little in common"])
    parser.add_argument("--controls", action="store_true", help="shuffled and few other labels, and a pretrained front, as well")
    parser.add_argument("--processes", type=int, default=2, help="at the same time (default 2)")
    parser.add_argument("--photographs", action="store_true", help="real street photographs as well")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    study = Study(arguments.out, names.index(arguments.target))
    ways = WAYS + CONTROLS if arguments.controls else WAYS
    panels = []
    for world in arguments.worlds:
        results = compare(study, world, ways, arguments.labels, arguments.seeds, arguments.processes)
        print_world(world, results, arguments.labels, study.target)
        panels.append(Panel(f"labels; {world}", [Point(r.way, r.labels, r.seed, r.test) for r in results]))
    write_panels(arguments.out / "driving.csv", panels, "auc")
    draw_panels(arguments.out / "driving.png", panels, f"{arguments.target} alone or together with three other tasks", "AUC")
    if arguments.photographs:
        photographs(drawn("little in common", LEARN, LEARNED))
    return panels


def compare(study: Study, world: str, ways: Sequence[Way], amounts: Sequence[int], seeds: int, processes: int) -> list[Trained]:
    """Tune every way for every number of labels, then train it with every seed."""
    for seed, count in ((LEARN, LEARNED), (VALIDATE, CHOSEN_ON), (TEST, TESTED)):
        drawn(world, seed, count)  # before there are several processes
    cells = [(world, way, labels) for labels in amounts for way in reversed(ways)]
    chosen = side_by_side(study.tune, cells, processes)
    jobs = [(*cell, seed, best.choice) for seed in range(seeds) for cell, best in zip(cells, chosen, strict=True)]
    results = side_by_side(study.train, jobs, processes)
    for one in (*chosen, *results):
        study.keep(one)
    return results


def side_by_side(function: Callable[..., Trained], jobs: Sequence[tuple[Any, ...]], processes: int) -> list[Trained]:
    """Results of a function in several processes."""
    if processes < 2:
        return [function(*job) for job in jobs]
    with ProcessPoolExecutor(processes, get_context("fork")) as pool:
        return list(pool.map(function, *zip(*jobs, strict=True)))


def print_world(world: str, results: Sequence[Trained], amounts: Sequence[int], target: int) -> None:
    """Print the mean of every way and what it gains over the target alone, with 95 % limits of the paired difference."""
    values = {(one.way, one.labels, one.seed): one for one in results}
    table = Table(
        "in common: " + world, "labels", "AUC", "of scenes with as many others", "steps, rate, width, tasks equal", "multiply-adds"
    )
    for labels in amounts:
        for way in (*WAYS, *CONTROLS):
            mine = [one for one in results if (one.way, one.labels) == (way.name, labels)]
            if mine:
                cells = [gain(mine, values, measure) for measure in ("test", "within")]
                table.add_row(way.name, str(labels), *cells, str(astuple(mine[0].choice)), f"{work(way, mine[0]):.1e}")
    Console(width=160).print(table)
    test = drawn(world, TEST, TESTED)
    context = auc(others_in(test, target).astype(np.float64), test[1][:, target].numpy() == 1)
    say(f"{world}: the number of the other objects, were it known, would give an AUC of {context:.3f}.")


def gain(mine: Sequence[Trained], values: dict[tuple[str, int, int], Trained], measure: str = "test") -> str:
    """Mean AUC, and how much more it is than alone."""
    mean = f"{np.mean([getattr(one, measure) for one in mine]):.3f}"
    if mine[0].way == ALONE.name:
        return mean
    more = [getattr(one, measure) - getattr(values[ALONE.name, one.labels, one.seed], measure) for one in mine]
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
