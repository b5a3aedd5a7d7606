"""python training/studies/thresholds.py training/recipes/words/computer.toml --encoder conv-ctc

Is an aimed rate of false accepts kept on a kind of negatives that calibration did not hear?

Trains a recipe and scores its negatives with out-of-fold heads. Each manifest of negatives is left out once, in all its conditions; the
threshold comes from all others, and the false accepts on the manifest that was left out are counted. Prints, for each aim, the false
accepts an hour, how many manifests stay within the aim (or have a single false accept), and the recall of validation words. "one kind"
fits a tail to all negatives as if they were of one kind. Give the recipe many manifests of negatives.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speechtl.audio.evaluation.scoring import ScoredStream, count
from speechtl.audio.recipe import read_recipe
from speechtl.audio.training.calibrate import fit_tail
from speechtl.audio.training.train import Training
from speechtl.audio.training.validation import Validation, validate
from speechtl.console import PlainTable, plain_console
from speechtl.errors import SpeechtlError, reported
from speechtl.runtime.trigger import TriggerSettings

ONE_KIND = "one kind"
Streams = dict[str, list[ScoredStream]]


@dataclass(frozen=True)
class Found:
    """The threshold from all kinds but one, with the false accepts and hours of this one, and the recall."""

    left_out: str
    events: int
    hours: float
    recall: float

    def within(self, aim: float) -> bool:
        """Whether the rate is at most the aim, or there is too little to tell more than one event."""
        return self.events <= max(aim * self.hours, 1.0)


def main(argv: Sequence[str] | None = None) -> dict[tuple[float, str], list[Found]]:
    """Train, score and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--encoder", help="instead of the recipe's")
    parser.add_argument("--epochs", type=int, help="instead of the recipe's")
    parser.add_argument("--aims", type=float, nargs="+", default=[0.3, 1.0, 3.0], help="false accepts an hour")
    parser.add_argument("--kept", type=float, nargs="+", default=[0.5, 0.8, 0.9], help="probabilities that a kind keeps the aim")
    options = parser.parse_args(argv)
    given = {"transfer": {"encoder": options.encoder}, "train": {"epochs": options.epochs}}
    recipe = read_recipe(options.recipe, {name: {key: value for key, value in keys.items() if value} for name, keys in given.items()})
    with tempfile.TemporaryDirectory() as folder:
        training = Training(recipe, Path(folder))
        training.fit()
        heard = validate(training.network, training.held_out, training.data, recipe.train.seed)
    results = {
        (aim, how): leave_one_out(heard, aim, None if how == ONE_KIND else float(how), recipe.calibrate.smoothing)
        for aim in options.aims
        for how in (ONE_KIND, *map(str, options.kept))
    }
    show(results)
    return results


def leave_one_out(heard: Validation, aim: float, kept: float | None, smoothing: int) -> list[Found]:
    """What is found on each kind, at the threshold from the others; without `kept` these count as one kind."""
    manifests = sorted({_manifest(name) for name in heard.others})
    if len(manifests) < 2:
        raise SpeechtlError(f"All negatives are of one manifest, {manifests[0]}; without it nothing is left to calibrate on.")
    found = []
    for left_out in manifests:
        inside, outside = _split(heard.others, left_out)
        pooled = {ONE_KIND: [stream for streams in inside.values() for stream in streams]}
        tail = fit_tail(pooled, smoothing, 0.5) if kept is None else fit_tail(inside, smoothing, kept)
        trigger = TriggerSettings(float(1.0 / (1.0 + np.exp(-tail.logit_for(aim)))), smoothing)
        delays = [delay for stream in heard.words for delay in count(stream, trigger).detected]
        events = sum(len(count(stream, trigger).false_accepts) for stream in outside)
        recall = float(np.mean([delay is not None for delay in delays]))
        found.append(Found(left_out, events, sum(stream.hours for stream in outside), recall))
    return found


def _manifest(name: str) -> str:
    return name.partition(", ")[0]


def _split(kinds: Mapping[str, list[ScoredStream]], left_out: str) -> tuple[Streams, list[ScoredStream]]:
    inside = {name: streams for name, streams in kinds.items() if _manifest(name) != left_out}
    return inside, [stream for name, streams in kinds.items() if _manifest(name) == left_out for stream in streams]


def show(results: Mapping[tuple[float, str], Sequence[Found]]) -> None:
    """Print the table."""
    manifests = [found.left_out for found in next(iter(results.values()))]
    table = PlainTable("aim", "kept", "found", "within", "recall", *manifests, caption="false accepts an hour; number / hours")
    for (aim, how), found in results.items():
        rate = sum(one.events for one in found) / sum(one.hours for one in found)
        within = f"{sum(one.within(aim) for one in found)} of {len(found)}"
        each = (f"{one.events} / {one.hours:.1f}" for one in found)
        table.add_row(f"{aim:g}", how, f"{rate:.2f}", within, f"{np.mean([one.recall for one in found]):.3f}", *each)
    plain_console().print(table)


if __name__ == "__main__":
    sys.exit(reported(main))
