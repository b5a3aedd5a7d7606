"""Recall of each encoder on test speakers at half a false accept per hour, after few and many recordings of a word.

    python training/studies/transfer_study.py training/recipes/words/computer.toml training/recipes/words/jarvis.toml --out runs/transfer

Trains every policy (encoder/policy) with every number of the recipe's training clips, drawn by seed, and plays the recordings of
split "test" to the detector; negatives of manifests without that split are for training only. The threshold is the one at which
the test negatives give that rate: the study compares encoders, not the estimates of their thresholds. Each result is written to
transfer.csv at once, and a second call continues after the last one, so choose another --out for other settings or weights.
Writes transfer.csv and transfer.png, and prints a table for each word with everything in transfer.csv.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor, nn

from speechtl.arguments import at_least, output_folder
from speechtl.audio.data.clips import read_clips
from speechtl.audio.data.manifest import Clip, write_manifest
from speechtl.audio.encoders import RANDOM_INIT
from speechtl.audio.evaluation.conditions import SEED
from speechtl.audio.evaluation.evaluate import det
from speechtl.audio.evaluation.material import choose
from speechtl.audio.evaluation.model import Model, open_model
from speechtl.audio.evaluation.scoring import score_stream
from speechtl.audio.evaluation.streams import Condition, without_words, words_in_background
from speechtl.audio.network.model import OfflineEngine
from speechtl.audio.recipe import Recipe, read_recipe
from speechtl.audio.training.batches import RoundBatches
from speechtl.audio.training.train import Training
from speechtl.errors import ManifestError, reported
from speechtl.files import append_row, read_rows
from speechtl.progress import say
from speechtl.runs import training_folder
from speechtl.settings import PRECISIONS
from speechtl.study.curves import Panel, Point, draw_panels, print_points
from speechtl.study.trials_audio import changed
from speechtl.text import counted
from speechtl.transfer import Batch

POLICIES = (
    "scratch:conv-ctc/all",
    "conv-ctc/head",
    "conv-ctc/all",
    "speech-embedding/head",
    "speech-embedding/last:2",
    "speech-embedding/all",
    "speech-embedding+conv-ctc/head",
)
RATE = 0.5  # false accepts an hour
SEEDED = 50  # with more clips than these, one seed is enough
HEAD = "/head"  # ending of policies that do not change the encoder
COLUMNS = ("word", "policy", "clips", "seed", "recall")
THRESHOLDS = [float(1.0 / (1.0 + np.exp(-logit))) for logit in np.linspace(-14.0, 14.0, 281)]


def main(argv: Sequence[str] | None = None) -> list[Point]:
    """Train, evaluate, print and draw; return the points of the last word."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", type=Path, nargs="+")
    parser.add_argument("--amounts", type=at_least(0), nargs="+", default=[5, 10, 20, 50, 0], help="training clips; 0 stands for all")
    parser.add_argument("--policies", nargs="+", default=list(POLICIES), help="encoder/policy")
    parser.add_argument("--seeds", type=at_least(1), default=3, help=f"trainings with up to {SEEDED} clips (default 3); with more, one")
    parser.add_argument("--epochs", type=at_least(1), help="of each training, in place of the recipe's")
    parser.add_argument("--batch-size", type=at_least(2), help="of each training, in place of the recipe's")
    parser.add_argument("--precision", choices=PRECISIONS, help="of each training, in place of the recipe's")
    parser.add_argument("--out", type=output_folder, default="runs/transfer")
    options = parser.parse_args(argv)
    table = options.out / "transfer.csv"
    done = _read(table)
    changes = {key: value for key in ("epochs", "batch_size", "precision") if (value := getattr(options, key)) is not None}
    recipes = [read_recipe(path, {"train": changes, "calibrate": {"enabled": False}}) for path in options.recipes]
    plans = [(recipe, _plan(recipe, options)) for recipe in recipes]
    embeddings = defaultdict[tuple[str, int], Known](dict)
    for seed in range(options.seeds):
        negatives: Negatives = defaultdict(dict)  # no other seed needs them, and they are large
        for recipe, plan in plans:
            for policy, clips in plan:
                key = (recipe.name, policy, clips, seed)
                if key not in done and (clips <= SEEDED or seed == 0):
                    known = embeddings[
                        policy, seed if policy.split("/")[0] in RANDOM_INIT else 0
                    ]  # random weights differ from seed to seed
                    done[key] = recall(recipe, policy, clips, seed, negatives, known)
                    append_row(table, dict(zip(COLUMNS, (*key, f"{done[key]:.4f}"), strict=True)))
                    say(f"{recipe.name}, {policy}, {counted(clips, 'clip')}, seed {seed}: recall {done[key]:.3f}")
    panels = [Panel(f"recordings of {recipe.name!r}", _points(done, recipe.name)) for recipe in recipes]
    for panel, recipe in zip(panels, recipes, strict=True):
        print_points(panel.points, f"recall of {recipe.name!r}")
    draw_panels(options.out / "transfer.png", panels, "Unseen speakers, 0.5 false accepts an hour", "recall")
    return list(panels[-1].points)


Known = dict[bytes, Tensor]  # embeddings of frames, by their digest
Negatives = defaultdict[str, dict[int, Batch]]  # of each round after the frozen layers, by everything they depend on


class SharedNegatives(RoundBatches):
    """Batches that do not render negatives which another training has rendered."""

    rendered: dict[int, Batch]

    def negatives(self, number: int) -> Batch:
        """The negatives of round `number`."""
        if number not in self.rendered:
            self.rendered[number] = super().negatives(number)
        return self.rendered[number]


class SharingTraining(Training):
    """A training that shares negatives with others of the same seed, encoder, negatives and noise."""

    def __init__(self, recipe: Recipe, work: Path, negatives: Negatives) -> None:
        super().__init__(recipe, work)
        self._negatives = negatives

    def batches(self) -> RoundBatches:
        """The batches of all epochs."""
        made = super().batches()
        shared = SharedNegatives(made.maker, made.network, made.frozen_groups, made.settings, folder=made.folder, mine=made.mine)
        kinds = (self.data.negatives, self.data.noise, self.data.music)
        sounds = [[(recording.clip.where, recording.clip.sha256, recording.fold) for recording in kind] for kind in kinds]
        frozen = made.frozen_groups
        encoder = self.recipe.transfer.encoder if frozen else self.network.encoder.features
        key = (encoder, frozen, self.network.context_seconds, self.recipe.train.seed, self.recipe.data.rooms, sounds)
        shared.rendered = self._negatives[repr(key)]
        return shared


class CachedEncoder(nn.Module):
    """A frozen encoder with a cache of embeddings."""

    def __init__(self, encoder: nn.Module, known: Known) -> None:
        super().__init__()
        self.encoder = encoder
        self.known = known

    def forward(self, frames: Tensor) -> Tensor:
        """Embeddings of frames `(1, 1, frames, bands)`."""
        key = hashlib.blake2b(frames.cpu().numpy().tobytes(), digest_size=16).digest()
        if key not in self.known:
            self.known[key] = self.encoder(frames).cpu()
        return self.known[key].to(frames.device)


def remember_embeddings(model: Model, known: Known) -> None:
    """Let a model whose encoder is frozen look its embeddings up in a cache."""
    assert isinstance(model.scorer.engine, OfflineEngine)
    encoder = model.scorer.engine.network.encoder
    groups = nn.Sequential(*encoder.groups.values())
    encoder.groups = nn.ModuleDict({"all": CachedEncoder(groups, known)})


def recall(recipe: Recipe, policy: str, clips: int, seed: int, negatives: Negatives, known: Known) -> float:
    """Recall of test speakers at half a false accept per hour of test negatives, after a training with `clips` clips.

    `negatives` and, of a frozen encoder, `known` are caches that several trainings share.
    """
    pool = _pool(recipe)
    chosen = [pool[index] for index in np.random.default_rng(seed).permutation(len(pool))[:clips]]
    with tempfile.TemporaryDirectory() as folder:
        positives, out = Path(folder) / "positives.jsonl", Path(folder) / "run"
        write_manifest(positives, [dataclasses.replace(clip, audio_filepath=str(clip.path)) for clip in chosen])
        with training_folder(out) as work:
            SharingTraining(changed(recipe, policy, positives, seed), work, negatives).run(out)
        model = open_model(out)
    if policy.endswith(HEAD):
        remember_embeddings(model, known)
    spoken = choose(recipe.data.positives, "test", model, say, find_words=True)
    others = choose(_test_negatives(recipe), "test", model, say, without=model.phrases)
    words = score_stream(model.scorer, words_in_background(spoken, Condition(), SEED))
    background = score_stream(model.scorer, without_words(others, Condition(), SEED))
    return max((recalled for _, recalled, rate in det(words, background, model.trigger, THRESHOLDS) if rate <= RATE), default=0.0)


def _pool(recipe: Recipe) -> list[Clip]:
    """The training recordings of the word that are on this machine."""
    clips = [clip for clip in read_clips(recipe.data.positives) if clip.split != "test"]
    here = [clip for clip in clips if clip.path is not None]
    if not here:
        raise ManifestError(
            f"None of the {len(clips)} training recordings of {recipe.name!r} is on this machine; fetch them with "
            "speechtl data pull, or set SPEECHTL_DATA to where they are."
        )
    return here


def _test_negatives(recipe: Recipe) -> list[Path]:
    """The manifests of negatives with test speakers; the speakers of other manifests are in training."""
    tested = [path for path in recipe.data.negatives if any(clip.split == "test" for clip in read_clips([path]))]
    if not tested:
        raise ManifestError(f"None of the negatives of {recipe.name!r} has split 'test'; without them there is no rate of false accepts.")
    return tested


def _plan(recipe: Recipe, options: argparse.Namespace) -> list[tuple[str, int]]:
    """The policies and amounts to train; raises `SpeechtlError` if one of them cannot be trained."""
    _test_negatives(recipe)
    for policy in options.policies:
        changed(recipe, policy, options.out, seed=0)
    available = len(_pool(recipe))
    amounts = sorted({min(amount or available, available) for amount in options.amounts})
    return [(policy, amount) for amount in amounts for policy in options.policies]


def _points(done: dict[tuple[str, str, int, int], float], name: str) -> list[Point]:
    """All results of a word, including those of earlier calls, in the order of `POLICIES`."""
    known = [Point(policy, clips, seed, value) for (word, policy, clips, seed), value in done.items() if word == name]
    return sorted(
        known, key=lambda point: (POLICIES.index(point.policy) if point.policy in POLICIES else len(POLICIES), point.examples, point.seed)
    )


def _read(path: Path) -> dict[tuple[str, str, int, int], float]:
    return {
        (row["word"], row["policy"], int(row["clips"]), int(row["seed"])): float(row["recall"]) for row in read_rows(path) if row["recall"]
    }


if __name__ == "__main__":
    sys.exit(reported(main))
