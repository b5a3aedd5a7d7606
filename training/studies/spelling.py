"""Recall of real speakers after few real takes of a word, with and without synthesised ones.

    python training/studies/spelling.py wake_computer wake_alexa --takes 0 3 10 50 --out runs/spelling

For each manifest of a word, and each number of its training takes, trains with and without `synthesise`, against the default negatives, and
plays the test takes to the detector. Takes are drawn by seed, speaker by speaker and ten of each, as a household records them. Told are the
recall at the lowest threshold at which held-out negatives give half a false accept an hour, which compares positives and not estimates of
thresholds, and recall and false accepts at the threshold that the training chose. Words of manifests without split "test" are divided by
speaker, or by recording where no speaker is named. Each result is written to spelling.csv at once, and a second call continues after the
last one; choose another --out for other settings. Without synthesised takes a word needs five real ones.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from transfer_study import THRESHOLDS, Known, Negatives, SharingTraining, remember_embeddings

from speechtl.arguments import at_least, output_folder
from speechtl.audio.data.clips import says
from speechtl.audio.data.manifest import Clip, read_manifest, write_manifest
from speechtl.audio.data.recordings import Recording, load_recordings, sounds_of
from speechtl.audio.evaluation.conditions import SEED
from speechtl.audio.evaluation.evaluate import det
from speechtl.audio.evaluation.model import Model, open_model
from speechtl.audio.evaluation.scoring import count, score_stream
from speechtl.audio.evaluation.streams import Condition, without_words, words_in_background
from speechtl.audio.recipe import Recipe, make_recipe
from speechtl.audio.spelling.manifests import manifest_path
from speechtl.audio.training import examples
from speechtl.audio.training.selection import MIN_POSITIVES
from speechtl.errors import ManifestError, reported
from speechtl.files import append_row, read_rows
from speechtl.progress import say
from speechtl.runs import training_folder
from speechtl.runtime.samples import Doubles
from speechtl.text import echo

RATE = 0.5  # false accepts an hour
EACH = 10  # takes of a speaker, before the next one speaks
NEGATIVES = ("speechocean762", "mini_librispeech", "common_voice", "wuw_calls")  # manifests with held-out people
NOISES = ("noise_esc10", "noise_gsc")
SNR_DB = 5.0
TESTED = 3  # one speaker in so many is for testing, where a manifest names none
MOST_TESTS = 150  # takes
WORDS = {
    "wake_computer": "computer",
    "wake_alexa": "alexa",
    "wake_jarvis": "jarvis",
    "wake_smart_mirror": "smart mirror",
    "precise_heychatterbox": "hey chatterbox",
    "precise_athena": "athena",
    "precise_amelia": "amelia",
    "word_bed": "bed",
    "word_cat": "cat",
}
KEY = ("word", "takes", "synthesise", "seed")
Key = tuple[str, int, int, int]


class Heard(NamedTuple):
    """Recall clean and in noise, at half a false accept an hour and at the threshold of the training, and the false accepts there."""

    clean: float
    noise: float
    own_clean: float
    own_noise: float
    accepts: float
    hours: float


def main(argv: Sequence[str] | None = None) -> dict[Key, Heard]:
    """Train, evaluate and print; return what was heard by word, takes, synthesis and seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="+", choices=sorted(WORDS), metavar="MANIFEST", help=f"of {', '.join(WORDS)}")
    parser.add_argument("--takes", type=at_least(0), nargs="+", default=[0, 3, 10, 50], help="real takes (default 0 3 10 50)")
    parser.add_argument("--only", choices=("with", "without"), help="synthesised takes; default: both")
    parser.add_argument("--seeds", type=at_least(1), default=1, help="trainings, each with other takes (default 1)")
    parser.add_argument(
        "--equal-takes", type=at_least(1), help="real takes that weigh as much as all synthesised ones, instead of the default"
    )
    parser.add_argument("--encoder", help="instead of the default")
    parser.add_argument("--epochs", type=at_least(1), help="instead of the default")
    parser.add_argument("--minutes", type=float, help="of negatives, instead of all")
    parser.add_argument("--out", type=output_folder, default="runs/spelling")
    options = parser.parse_args(argv)
    examples.EQUAL_TAKES = options.equal_takes or examples.EQUAL_TAKES
    table = options.out / "spelling.csv"
    done = {_key(row): Heard(*(float(row[name]) for name in Heard._fields)) for row in read_rows(table)}
    shared: Negatives = defaultdict(dict)
    known: Known = {}
    for key in _plan(options):
        if key not in done:
            done[key] = recall(key, options, shared, known)
            append_row(table, dict(zip((*KEY, *Heard._fields), (*key, *(f"{value:.4f}" for value in done[key])), strict=True)))
            say(f"{key}: recall {done[key].clean:.3f} clean, {done[key].noise:.3f} in noise")
    show(done)
    return done


def _plan(options: argparse.Namespace) -> list[Key]:
    kinds = {"with": [1], "without": [0]}.get(options.only or "", [0, 1])
    return [
        (word, takes, synthesise, seed)
        for seed in range(options.seeds)
        for word in options.words
        for takes in options.takes
        for synthesise in kinds
        if synthesise or takes >= MIN_POSITIVES
    ]


def recall(key: Key, options: argparse.Namespace, negatives: Negatives, known: Known) -> Heard:
    """What a training of a word hears of its test takes; `negatives` and `known` are caches that several trainings share."""
    word, takes, synthesise, seed = key
    pool, tests = divided(read_manifest(manifest_path(word)))
    chosen = recorded(pool, np.random.default_rng(seed))[:takes]
    with tempfile.TemporaryDirectory() as folder:
        positives, out = Path(folder) / "positives.jsonl", Path(folder) / "run"
        write_manifest(positives, [dataclasses.replace(clip, audio_filepath=str(clip.path), split=None) for clip in chosen])
        with training_folder(out) as work:
            SharingTraining(_recipe(WORDS[word], positives if takes else None, bool(synthesise), options, seed), work, negatives).run(out)
        model = open_model(out)
    remember_embeddings(model, known)
    return heard(model, tests)


def recorded(pool: Sequence[Clip], random: np.random.Generator) -> list[Clip]:
    """The takes in the order in which a household records them: at most `EACH` of one speaker, then the next speaker."""
    of: dict[str, list[Clip]] = {}
    for index in random.permutation(len(pool)):
        of.setdefault(pool[index].person or pool[index].audio_filepath, []).append(pool[index])
    return [clip for start in range(0, len(pool), EACH) for own in of.values() for clip in own[start : start + EACH]]


def _recipe(word: str, positives: Path | None, synthesise: bool, options: argparse.Namespace, seed: int) -> Recipe:
    values: dict[str, Any] = {
        "name": word.replace(" ", "_"),
        "phrases": [word],
        "data": {"synthesise": synthesise, **({"positives": [str(positives)]} if positives else {})},
        "transfer": {"encoder": options.encoder} if options.encoder else {},
        "train": {"seed": seed, **({"epochs": options.epochs} if options.epochs else {})},
    }
    if options.minutes:
        values["data"]["negative_minutes"] = options.minutes
    return make_recipe(values, base=Path(), source="The study")


def divided(clips: Sequence[Clip]) -> tuple[list[Clip], list[Clip]]:
    """The takes to train with and those to test on, no speaker in both; takes that are not on this machine are left out."""
    marked = any(clip.split == "test" for clip in clips)
    here = [clip for clip in clips if clip.path is not None]
    tested = [clip.split == "test" if marked else _number(clip.person or clip.sha256 or clip.audio_filepath) % TESTED == 0 for clip in here]
    pool, tests = ([clip for clip, is_test in zip(here, tested, strict=True) if is_test is wanted] for wanted in (False, True))
    if not tests:
        raise ManifestError("None of the word's test recordings is on this machine; fetch them with speechtl data pull.")
    return pool, tests[:MOST_TESTS]


def _number(name: str) -> int:
    return int(hashlib.sha256(name.encode()).hexdigest()[:8], 16)


def heard(model: Model, tests: Sequence[Clip]) -> Heard:
    """What is heard of test takes, and of held-out negatives."""
    spoken = load_recordings(tests, find_words=True, on_skip=say)
    others = _held_out(NEGATIVES, model.phrases)
    background = score_stream(model.scorer, without_words(others, Condition(), SEED))
    aimed, own = [], []
    for condition in (Condition(), Condition("noise", SNR_DB, sounds_of(_held_out(NOISES, ())))):
        words = score_stream(model.scorer, words_in_background(spoken, condition, SEED))
        rows = det(words, background, model.trigger, THRESHOLDS)
        aimed.append(max((recalled for _, recalled, rate in rows if rate <= RATE), default=0.0))
        own.append(next(recalled for threshold, recalled, _ in rows if threshold == model.trigger.threshold))
    accepts = len(count(background, model.trigger).false_accepts)
    return Heard(aimed[0], aimed[1], own[0], own[1], accepts, background.hours)


def _held_out(names: Sequence[str], phrases: Sequence[str]) -> list[Recording]:
    clips = [clip for name in names for clip in read_manifest(manifest_path(name)) if clip.split == "test" and clip.path]
    return load_recordings([clip for clip in clips if not says(clip, phrases)], on_skip=say)


def show(done: Mapping[Key, Heard]) -> None:
    """Print the mean over seeds as Markdown: words down, takes across; recall clean, in noise; both, false accepts as trained."""
    columns = sorted({(synthesise, takes) for _, takes, synthesise, _ in done})
    titles = [f"{takes} real{' and synthesised' if synthesise else ''}" for synthesise, takes in columns]
    echo("| word | " + " | ".join(titles) + " |")
    echo("|---|" + "---|" * len(titles))
    for word in dict.fromkeys(key[0] for key in done):
        cells = []
        for synthesise, takes in columns:
            own = [value for key, value in done.items() if key[:3] == (word, takes, synthesise)]
            cells.append(_cell(np.mean(own, axis=0)) if own else "")
        echo(f"| {WORDS[word]} | " + " | ".join(cells) + " |")


def _cell(mean: Doubles) -> str:
    clean, noise, own_clean, own_noise, accepts, hours = mean
    return f"{clean:.2f}, {noise:.2f}; {own_clean:.2f}, {own_noise:.2f}, {accepts:g} in {hours:.1f} h"


def _key(row: Mapping[str, str]) -> Key:
    return row["word"], int(row["takes"]), int(row["synthesise"]), int(row["seed"])


if __name__ == "__main__":
    sys.exit(reported(main))
