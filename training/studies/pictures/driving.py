"""python training/studies/pictures/driving.py --out runs/driving [--controls] [--photographs]

Does a task with few labels gain from sharing a network with three tasks that have 2000 labels each?

The tasks are pedestrian, car, stop sign and traffic light in drawn scenes. A network with four outputs is compared with a network for the
target alone, of any width or of a quarter of the size (four of these are about as large as the shared one). Steps, learning rate, width
and weighting of every set-up are tuned on validation scenes, for each number of labels, with a separate seed. Limits are those of the
paired difference on test scenes. `--worlds` chooses what the tasks share (context: busy or quiet streets; parts: one material),
`--controls` adds control set-ups. Writes driving.csv, driving.png, and trainings.jsonl, from which an interrupted study resumes.
`--photographs` adds street photographs (traffic light, stop sign, crosswalk, speed limit) with SqueezeNet.
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
from scenes import TASKS, scenes
from torch import Tensor, nn

from speechtl.arguments import output_folder
from speechtl.console import PlainTable, plain_console
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
TRAIN_SCENES, VALIDATION_SCENES, TEST_SCENES = 2000, 500, 1000
WIDTH = 8  # channels of the first layer in the shared network
BLOCK = 20  # consecutive photographs that stay in one fold: neighbours show the same crossing
FOLDS = 3
HIDDEN = 32
BATCH = 32
STEPS, RATES, WIDTHS = (150, 450, 900), (1e-2, 3e-3), (WIDTH, WIDTH // 2)
TUNING_SEED = 1000
TRAIN_SEED, VALIDATION_SEED, PRETRAIN_SEED, TEST_SEED = 0, 2, 3, 20261  # of the scenes
WORLDS = {
    "little in common": {},
    "context": {"context": True},
    "parts": {"parts": True},
    "context and parts": {"context": True, "parts": True},
}

Scenes = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Setup:
    """How the target is learned: alone or with the other tasks, and from which data."""

    name: str
    shared: bool = False
    widths: tuple[int, ...] = WIDTHS  # to tune
    shuffled: bool = False  # labels of the other tasks, so that they carry no information
    few: bool = False  # as few labels of the other tasks as of the target
    pretrained: bool = False  # on the other tasks, with other scenes


ALONE, QUARTER, SHARED = Setup("alone"), Setup("alone, a quarter the size", widths=(WIDTH // 2,)), Setup("shared", shared=True)
SHUFFLED = replace(SHARED, name="shared, other labels shuffled", shuffled=True)
FEW = replace(SHARED, name="shared, few labels of the others", few=True)
ALONE_PRETRAINED = replace(ALONE, name="alone, pretrained layers", pretrained=True, widths=(WIDTH,))
SHARED_PRETRAINED = replace(SHARED, name="shared, pretrained layers", pretrained=True, widths=(WIDTH,))
SETUPS = (ALONE, QUARTER, SHARED)
CONTROLS = (SHUFFLED, FEW, ALONE_PRETRAINED, SHARED_PRETRAINED)


@dataclass(frozen=True)
class Hyperparameters:
    """Tuned on validation scenes for every set-up and number of labels."""

    steps: int
    rate: float
    width: int
    balanced: bool = False  # every task has the same weight, rather than every label


@dataclass(frozen=True)
class Result:
    """AUC of the target after one training; `within` compares only scenes with equally many other objects, without context."""

    world: str
    setup: str
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
        """Identifies the training."""
        return self.world, self.setup, self.labels, self.seed, *astuple(self.hyperparameters)

    @property
    def hyperparameters(self) -> Hyperparameters:
        """The hyperparameters of the training."""
        return Hyperparameters(self.steps, self.rate, self.width, self.balanced)


class Study:
    """Trainings of one target task; results are kept in a file, so that each is done once."""

    def __init__(self, out: Path, target: int) -> None:
        self.file = out / "trainings.jsonl"
        self.target = target
        self.done: dict[tuple[object, ...], Result] = {}
        if self.file.is_file():
            for line in self.file.read_text(encoding="utf-8").splitlines():
                self.keep(Result(**json.loads(line)))
        out.mkdir(parents=True, exist_ok=True)

    def tune(self, world: str, setup: Setup, labels: int) -> Result:
        """The best training on validation scenes; hyperparameters are tuned one after the other."""

        def train(hyperparameters: Hyperparameters) -> Result:
            return self.train(world, setup, labels, TUNING_SEED, hyperparameters)

        best = train(Hyperparameters(STEPS[1], RATES[0], setup.widths[0]))
        best = better(best, train(replace(best.hyperparameters, rate=RATES[1])))
        if setup.shared:
            best = better(best, train(replace(best.hyperparameters, balanced=True)))
        shorter = train(replace(best.hyperparameters, steps=STEPS[0]))
        best = shorter if shorter.validation > best.validation else better(best, train(replace(best.hyperparameters, steps=STEPS[2])))
        for width in setup.widths[1:]:
            best = better(best, train(replace(best.hyperparameters, width=width)))
        return best

    def train(self, world: str, setup: Setup, labels: int, seed: int, hyperparameters: Hyperparameters) -> Result:
        """Train once, or return the result of an earlier training."""
        key = (world, setup.name, labels, seed, *astuple(hyperparameters))
        if key not in self.done:
            network = fit_network(drawn(world, TRAIN_SEED, TRAIN_SCENES), setup, self.target, labels, seed, hyperparameters, world)
            validation, _ = areas(network, drawn(world, VALIDATION_SEED, VALIDATION_SCENES), self.target)
            test, within = areas(network, drawn(world, TEST_SEED, TEST_SCENES), self.target)
            settings = asdict(hyperparameters)
            result = Result(world, setup.name, labels, seed, **settings, validation=validation, test=test, within=within)
            with self.file.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(asdict(result)) + "\n")
            self.keep(result)
            say(f"{world}, {setup.name}, {labels} labels, seed {seed}, {hyperparameters}: AUC {validation:.3f} on validation")
        return self.done[key]

    def keep(self, result: Result) -> None:
        """Remember a result."""
        self.done[result.key] = result


def better(first: Result, second: Result) -> Result:
    """The better result on validation; the first of equals."""
    return second if second.validation > first.validation else first


@cache
def drawn(world: str, seed: int, count: int) -> Scenes:
    """Scenes of a world."""
    return scenes(count, SIZE, seed=seed, **WORLDS[world])


def fit_network(
    training: Scenes, setup: Setup, target: int, labels: int, seed: int, hyperparameters: Hyperparameters, world: str
) -> PictureNetwork:
    """Train one set-up."""
    pixels, known = labelled(training, setup, target, labels, seed)
    torch.manual_seed(seed)
    encoder = pretrained(world, target, seed) if setup.pretrained else build(hyperparameters.width)
    network = new_network(encoder, TASKS if setup.shared else [TASKS[target]])
    settings = TrainSection(steps=hyperparameters.steps, batch_size=BATCH, learning_rate=hyperparameters.rate, seed=seed)
    fit_pictures(network, pixels, known, AllLayers(rate_decay=1.0), settings, balanced=hyperparameters.balanced)
    return network


def labelled(training: Scenes, setup: Setup, target: int, labels: int, seed: int) -> Scenes:
    """Pictures and labels for a set-up; all set-ups have the same labels of the target."""
    order = torch.from_numpy(np.random.default_rng(seed).permutation(len(training[0])))
    pixels, known = training[0][order], training[1][order]
    known[labels:, target] = math.nan
    if not setup.shared or setup.few:
        pixels, known = pixels[:labels], known[:labels]
    if not setup.shared:
        return pixels, known[:, [target]]
    if setup.shuffled:
        random = torch.Generator().manual_seed(seed)
        for other in set(range(len(TASKS))) - {target}:
            known[:, other] = known[torch.randperm(len(known), generator=random), other]
    return pixels, known


def pretrained(world: str, target: int, seed: int) -> Encoder:
    """An encoder that was pretrained on the other tasks with other scenes."""
    pixels, known = drawn(world, PRETRAIN_SEED, TRAIN_SCENES)
    others = [index for index in range(len(TASKS)) if index != target]
    network = new_network(build(WIDTH), [TASKS[index] for index in others])
    settings = TrainSection(steps=STEPS[1], batch_size=BATCH, learning_rate=RATES[0], seed=seed)
    fit_pictures(network, pixels, known[:, others], AllLayers(rate_decay=1.0), settings)
    return network.encoder


def build(width: int) -> Encoder:
    """An encoder of four convolutions; weights and multiply-adds grow with the square of the width."""
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


def work(setup: Setup, result: Result) -> float:
    """Multiply-adds of the trainings for four tasks (forward and backward), without tuning and pretraining."""
    pictures = TRAIN_SCENES if setup.shared and not setup.few else result.labels
    batch = min(BATCH, pictures)
    in_epoch = pictures // batch
    steps = max(round(result.steps / in_epoch), 1) * in_epoch
    return steps * batch * 3 * multiply_adds(result.width) * (1 if setup.shared else len(TASKS))


def areas(network: PictureNetwork, test: Scenes, target: int) -> tuple[float, float]:
    """AUC of the target over all scenes, and over pairs of scenes with equally many other objects."""
    pixels, truth = test
    scores = dict(zip(network.head.tasks, network.scores(pixels), strict=True))[TASKS[target]][:, 0].double().numpy()
    there = truth[:, target].numpy() == 1
    return auc(scores, there), auc_within(scores, there, others_in(test, target))


def others_in(test: Scenes, target: int) -> NDArray[np.int64]:
    """Number of the other objects in every scene."""
    labels = test[1].numpy()
    others: NDArray[np.int64] = (labels.sum(axis=1) - labels[:, target]).astype(np.int64)
    return others


def auc_within(scores: NDArray[np.float64], there: NDArray[np.bool_], groups: NDArray[np.int64]) -> float:
    """AUC over pairs within a group."""
    won = pairs = 0.0
    for group in np.unique(groups):
        mine = groups == group
        count = int(there[mine].sum()) * int((~there[mine]).sum())
        if count:
            won, pairs = won + count * auc(scores[mine], there[mine]), pairs + count
    return won / pairs if pairs else math.nan


def main(argv: Sequence[str] | None = None) -> list[Panel]:
    """Compare the set-ups; print, write and plot the AUC of the target."""
    names = [task.name for task in TASKS]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=output_folder, default="runs/driving")
    parser.add_argument("--seeds", type=int, default=5, help="trainings for each set-up (default 5)")
    parser.add_argument(
        "--labels", type=int, nargs="+", default=[25, 100, 400], help="numbers of labels of the target (default 25 100 400)"
    )
    parser.add_argument("--target", choices=names, default="traffic_light", help="the task with few labels (default traffic_light)")
    parser.add_argument("--worlds", choices=list(WORLDS), nargs="+", default=["context and parts", "little in common"])
    parser.add_argument(
        "--controls", action="store_true", help="also train with shuffled or few labels of the other tasks, and with pretrained layers"
    )
    parser.add_argument("--processes", type=int, default=2, help="number of processes (default 2)")
    parser.add_argument("--photographs", action="store_true", help="also evaluate street photographs")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    study = Study(arguments.out, names.index(arguments.target))
    setups = SETUPS + CONTROLS if arguments.controls else SETUPS
    panels = []
    for world in arguments.worlds:
        results = compare(study, world, setups, arguments.labels, arguments.seeds, arguments.processes)
        print_world(world, results, arguments.labels, study.target)
        panels.append(Panel(f"labels; {world}", [Point(r.setup, r.labels, r.seed, r.test) for r in results]))
    write_panels(arguments.out / "driving.csv", panels, "auc")
    draw_panels(arguments.out / "driving.png", panels, f"{arguments.target}, alone and with three other tasks", "AUC")
    if arguments.photographs:
        photographs(drawn("little in common", TRAIN_SEED, TRAIN_SCENES))
    return panels


def compare(study: Study, world: str, setups: Sequence[Setup], amounts: Sequence[int], seeds: int, processes: int) -> list[Result]:
    """Tune every set-up for every number of labels, then train it with every seed."""
    for seed, count in ((TRAIN_SEED, TRAIN_SCENES), (VALIDATION_SEED, VALIDATION_SCENES), (TEST_SEED, TEST_SCENES)):
        drawn(world, seed, count)  # once, before processes are forked
    cells = [(world, setup, labels) for labels in amounts for setup in reversed(setups)]
    tuned = in_processes(study.tune, cells, processes)
    jobs = [(*cell, seed, best.hyperparameters) for seed in range(seeds) for cell, best in zip(cells, tuned, strict=True)]
    results = in_processes(study.train, jobs, processes)
    for result in (*tuned, *results):
        study.keep(result)
    return results


def in_processes(function: Callable[..., Result], jobs: Sequence[tuple[Any, ...]], processes: int) -> list[Result]:
    """The results of all jobs, computed in several processes."""
    if processes < 2:
        return [function(*job) for job in jobs]
    with ProcessPoolExecutor(processes, get_context("fork")) as pool:
        return list(pool.map(function, *zip(*jobs, strict=True)))


def print_world(world: str, results: Sequence[Result], amounts: Sequence[int], target: int) -> None:
    """Print the mean of every set-up and its gain over the target alone, with 95 % limits of the paired difference."""
    values = {(result.setup, result.labels, result.seed): result for result in results}
    table = PlainTable(
        "in common: " + world, "labels", "AUC", "AUC with equally many others", "steps, rate, width, balanced", "multiply-adds"
    )
    for labels in amounts:
        for setup in (*SETUPS, *CONTROLS):
            mine = [result for result in results if (result.setup, result.labels) == (setup.name, labels)]
            if mine:
                cells = [gain(mine, values, measure) for measure in ("test", "within")]
                table.add_row(setup.name, str(labels), *cells, str(astuple(mine[0].hyperparameters)), f"{work(setup, mine[0]):.1e}")
    plain_console().print(table)
    test = drawn(world, TEST_SEED, TEST_SCENES)
    context = auc(others_in(test, target).astype(np.float64), test[1][:, target].numpy() == 1)
    say(f"{world}: the number of other objects alone would give an AUC of {context:.3f}.")


def gain(mine: Sequence[Result], values: dict[tuple[str, int, int], Result], measure: str = "test") -> str:
    """Mean AUC, and the paired difference to the target alone with its limits."""
    mean = f"{np.mean([getattr(result, measure) for result in mine]):.3f}"
    if mine[0].setup == ALONE.name:
        return mean
    gains = [getattr(result, measure) - getattr(values[ALONE.name, result.labels, result.seed], measure) for result in mine]
    low, high = mean_limits(gains)
    return f"{mean} ({np.mean(gains):+.2f}; {low:+.2f} to {high:+.2f})"


def photographs(training: Scenes) -> None:
    """Print the AUC on street photographs."""
    folder = image_data()
    if folder is None or not (folder / "manifests" / "road.jsonl").is_file():
        say("The street photographs are not on this machine, so they are left out.")
        return
    pictures = read_pictures([folder / "manifests" / "road.jsonl"])
    tasks = tasks_of(pictures)
    truth = torch.tensor(targets_of(pictures, tasks))
    table = PlainTable("AUC on street photographs", *(task.name.replace("_", " ") for task in tasks))
    table.add_row("network of the drawn scenes", *_aucs_of_drawn(training, pictures, tasks))
    loaded = load_pictures(pictures, tasks, PictureSettings(128), say)
    blocks = [int("".join(filter(str.isdigit, picture.path.stem))) // BLOCK for picture in loaded.pictures]
    for name, shared in (("SqueezeNet, new layers shared", True), ("SqueezeNet, separate new layers", False)):
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
    plain_console().print(table)


class Repeat(nn.Module):
    """Repeat the channels, as input of several networks side by side."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    def forward(self, inputs: Tensor) -> Tensor:
        """The input `(batch, times * channels, ...)`."""
        return inputs.repeat(1, self.times, *[1] * (inputs.dim() - 2))


class SeparateTop(TaskHead):
    """Separate new layers after one shared embedding: each task takes all of it and has its own hidden layer."""

    def __init__(self, input_size: int, tasks: Sequence[Task], hidden: int) -> None:
        super().__init__(input_size, tasks, hidden=hidden)
        count = len(self.tasks)
        inner = [
            nn.Conv1d(input_size * count, hidden * count, 1, groups=count),
            nn.ReLU(),
            nn.Conv1d(hidden * count, count, 1, groups=count),
        ]
        self.layers = nn.Sequential(nn.Dropout(0.2), Repeat(count), nn.Unflatten(1, (-1, 1)), *inner, nn.Flatten())


def _aucs_of_drawn(training: Scenes, pictures: Sequence[Picture], tasks: Sequence[Task]) -> list[str]:
    """AUC on photographs of a network that was trained on drawn scenes, for the tasks that both have."""
    torch.manual_seed(0)
    network = new_network(build(2 * WIDTH), TASKS)
    pixels, labels = training
    fit_pictures(network, pixels, labels, AllLayers(rate_decay=1.0), TrainSection(steps=250, batch_size=BATCH, learning_rate=5e-3))
    loaded = load_pictures(pictures, tasks, PictureSettings(SIZE), say)
    scores = network.scores(loaded.pixels)
    own = {task.name: part[:, 0].double().numpy() for task, part in zip(TASKS, scores, strict=True)}
    truth = {task.name: loaded.labels[:, index].numpy() == 1 for index, task in enumerate(tasks)}
    return [f"{auc(own[name], positive):.3f}" if name in own else "" for name, positive in truth.items()]


if __name__ == "__main__":
    sys.exit(reported(main))
