"""python training/studies/development.py training/recipes/words/computer.toml --encoder conv-ctc speech-embedding+conv-ctc

What does a change of training or encoder bring, on people that no test has seen?

Trains each recipe with each encoder and scores the training people with heads that have not heard them, at the threshold with a rate of
false accepts on their negatives in all conditions. Backgrounds are the held-out noise and music of the training and talk of the same
fold. Prints a row of recall for each training. Choose with it; then look at test people with world.py.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from speechtl.audio.augment import Sound
from speechtl.audio.data.recordings import sounds_of
from speechtl.audio.evaluation.conditions import MUSIC, NOISE, Surroundings, conditions, talk_backgrounds
from speechtl.audio.evaluation.scoring import ScoredStream, count, score_stream
from speechtl.audio.evaluation.streams import Condition, words_in_background
from speechtl.audio.network.model import WakeWordNetwork, scorer_of
from speechtl.audio.recipe import read_recipe
from speechtl.audio.synthetic_music import with_synthetic_music
from speechtl.audio.synthetic_noise import synthetic_noises
from speechtl.audio.training.surroundings import enough_talkers
from speechtl.audio.training.train import Training
from speechtl.audio.training.validation import NO_FOLD, validate
from speechtl.errors import reported
from speechtl.progress import say
from speechtl.runtime.trigger import TriggerSettings, log_odds
from speechtl.text import echo

SEED = 3
SNR_DB = (10.0, 5.0, 0.0)
LOGITS = (-14.0, 14.0)
Words = dict[str, list[ScoredStream]]


def main(argv: Sequence[str] | None = None) -> dict[str, dict[str, float]]:
    """Train, score and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", type=Path, nargs="+", metavar="RECIPE")
    parser.add_argument("--encoder", nargs="+", default=[None], help="instead of the recipe's")
    parser.add_argument("--policy", help="instead of the recipe's")
    parser.add_argument("--epochs", type=int, help="instead of the recipe's")
    parser.add_argument("--snr", type=float, nargs="+", default=list(SNR_DB), help="signal-to-noise ratios in dB (default 10 to 0)")
    parser.add_argument("--at", type=float, default=0.3, help="false accepts per hour (%(default)s)")
    options = parser.parse_args(argv)
    rows: dict[str, dict[str, float]] = {}
    for path in options.recipes:
        for encoder in options.encoder:
            title = f"{path.stem}, {encoder or 'its encoder'}"
            say(title)
            rows[title] = develop(path, encoder, options)
    show(rows)
    return rows


def develop(path: Path, encoder: str | None, options: argparse.Namespace) -> dict[str, float]:
    """The recall by condition of one training."""
    given = {"transfer": {"encoder": encoder, "policy": options.policy}, "train": {"epochs": options.epochs}}
    recipe = read_recipe(path, {name: {key: value for key, value in keys.items() if value} for name, keys in given.items()})
    with tempfile.TemporaryDirectory() as folder:
        training = Training(recipe, Path(folder))
        training.fit()
    negatives = validate(training.network, training.held_out, training.data, SEED).negatives
    trigger = trigger_at(negatives, options.at, TriggerSettings(0.5, recipe.calibrate.smoothing, recipe.calibrate.refractory))
    heard = hear(training, options.snr)
    return {"threshold": trigger.threshold} | {name: recall(streams, trigger) for name, streams in heard.items()}


def hear(training: Training, snr_db: Sequence[float]) -> Words:
    """The scores of all words in each condition, each by the heads that are held out from its fold."""
    heard: Words = {}
    network, data = training.network, training.data
    for fold in sorted(set(training.held_out) - {NO_FOLD}):
        members = [member for member, out in enumerate(training.held_out) if out == fold]
        listening = WakeWordNetwork(network.encoder, network.head.only(members))
        words = [recording for recording in data.positives if recording.fold == fold]
        for condition in _conditions(training, fold, snr_db):
            heard.setdefault(condition.name, []).append(score_stream(scorer_of(listening), words_in_background(words, condition, SEED)))
    return heard


def _conditions(training: Training, fold: int, snr_db: Sequence[float]) -> Iterator[Condition]:
    data = training.data
    people = enough_talkers([recording for recording in data.negatives if recording.fold == fold])
    backgrounds: dict[str, Sequence[Sound]] = {
        NOISE: [*sounds_of(data.validation_noise), *synthetic_noises(SEED)],
        **(talk_backgrounds(people) if people else {}),
        MUSIC: with_synthetic_music(sounds_of(data.validation_music), SEED),
    }
    yield Condition()
    yield from conditions(Surroundings(backgrounds), snr_db, world=True)


def trigger_at(negatives: Sequence[ScoredStream], per_hour: float, trigger: TriggerSettings) -> TriggerSettings:
    """The trigger with the lowest threshold that has at most a rate of false accepts."""
    hours = sum(stream.hours for stream in negatives)
    low, high = LOGITS
    while high - low > 0.01:
        middle = (low + high) / 2
        tried = _at_logit(middle, trigger)
        events = sum(len(count(stream, tried).false_accepts) for stream in negatives)
        low, high = (low, middle) if events <= per_hour * hours else (middle, high)
    return _at_logit(high, trigger)


def _at_logit(logit: float, trigger: TriggerSettings) -> TriggerSettings:
    return TriggerSettings(float(1.0 / (1.0 + np.exp(-logit))), trigger.smoothing, trigger.refractory)


def recall(streams: Sequence[ScoredStream], trigger: TriggerSettings) -> float:
    """The fraction of the words that are detected."""
    delays = [delay for stream in streams for delay in count(stream, trigger).detected]
    return float(np.mean([delay is not None for delay in delays]))


def show(rows: Mapping[str, Mapping[str, float]]) -> None:
    """Print the table in Markdown: conditions down, trainings across."""
    echo("| | " + " | ".join(rows) + " |")
    echo("|---|" + "---|" * len(rows))
    names = dict.fromkeys(name for row in rows.values() for name in row if name != "threshold")
    echo("| threshold, log-odds | " + " | ".join(f"{float(log_odds(np.array(row['threshold']))):.2f}" for row in rows.values()) + " |")
    for name in names:
        echo(f"| {name} | " + " | ".join(f"{row[name]:.2f}" if name in row else "" for row in rows.values()) + " |")


if __name__ == "__main__":
    sys.exit(reported(main))
