"""What do hours of mined speech bring in false accepts at the same recall, on speech that was neither mined nor trained on?

    python training/studies/mining.py training/recipes/words/computer.toml --encoder conv-ctc --hours 0 5 15 \\
        --mine data_manifests/mini_librispeech.jsonl data_manifests/common_voice.jsonl \\
        --positives data_manifests/wake_computer.jsonl --others data_manifests/wuw_calls.jsonl

Trains the recipe once for each number of hours, drawn from the recordings to mine so that more hours contain the fewer. Test lines of the
word are played clean and in test noise at 10 dB; at each recall of both together, the false accepts on test lines of --others are counted.
Prints a table in Markdown. Started again with the same --out, it continues: mining.csv has a row for each training.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from speechtl.arguments import output_folder
from speechtl.audio.data.clips import read_clips
from speechtl.audio.data.manifest import write_manifest
from speechtl.audio.evaluation.evaluate import Played, play
from speechtl.audio.evaluation.material import Plan, gather
from speechtl.audio.evaluation.model import open_model
from speechtl.audio.evaluation.scoring import count
from speechtl.audio.recipe import read_recipe
from speechtl.audio.run import load_run
from speechtl.audio.training.train import train
from speechtl.errors import ManifestError, reported
from speechtl.files import append_row, read_rows
from speechtl.limits import rate_high, rate_low
from speechtl.progress import say
from speechtl.runs import begun, is_run
from speechtl.runtime.trigger import TriggerSettings
from speechtl.text import echo

NOISE = Path(__file__).parents[2] / "data_manifests" / "noise_esc10.jsonl"
LOGITS = np.arange(-14.0, 14.0, 0.05)
RECALLS = (0.8, 0.9, 0.95)
SEED = 5  # of the order of recordings to mine
Row = Mapping[str, Any]


def main(argv: Sequence[str] | None = None) -> Sequence[Row]:
    """Train, play and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--mine", type=Path, nargs="+", required=True, help="manifests to mine")
    parser.add_argument("--positives", type=Path, nargs="+", required=True, help="of whose test lines the recall is")
    parser.add_argument("--others", type=Path, nargs="+", required=True, help="manifests on whose test lines false accepts are counted")
    parser.add_argument("--noise", type=Path, nargs="+", default=[NOISE], help="behind the test words (default %(default)s)")
    parser.add_argument("--hours", type=float, nargs="+", default=[0.0, 5.0, 15.0], help="to mine (default 0 5 15)")
    parser.add_argument("--minutes", type=float, help="of negatives, instead of the recipe's")
    parser.add_argument("--encoder", help="instead of the recipe's")
    parser.add_argument("--epochs", type=int, help="instead of the recipe's")
    parser.add_argument("--out", type=output_folder, default="runs/mining")
    options = parser.parse_args(argv)
    table = options.out / "mining.csv"
    for hours in options.hours:
        if f"{hours:g}" not in {row["hours"] for row in read_rows(table)}:
            say(f"Mining {hours:g} hours.")
            append_row(table, {"hours": f"{hours:g}", **measure(trained(hours, options), options)})
    rows = read_rows(table)
    show(rows)
    return rows


def trained(hours: float, options: argparse.Namespace) -> Path:
    """The run of a training that mines these hours; made, or continued, unless it is there."""
    out: Path = options.out / f"{hours:g}h"
    if not is_run(out):
        data = {"negative_minutes": options.minutes, "mine": [str(draw(hours, options).absolute())] if hours else None}
        given = {"data": data, "transfer": {"encoder": options.encoder}, "train": {"epochs": options.epochs}}
        chosen: dict[str, dict[str, Any]] = {name: {key: value for key, value in keys.items() if value} for name, keys in given.items()}
        chosen["calibrate"] = {"enabled": False}  # the recall decides the threshold
        train(read_recipe(options.recipe, chosen), out, resume=begun(out))
    return out


def draw(hours: float, options: argparse.Namespace) -> Path:
    """A manifest of so many hours of the recordings to mine, in random order."""
    path: Path = options.out / f"mine-{hours:g}h.jsonl"
    if not path.exists():
        read = read_clips(options.mine, say)
        held_out = {clip.person for clip in read if clip.split not in ("train", None) and clip.person}
        clips = [clip for clip in read if clip.split in ("train", None) and clip.path and clip.person not in held_out]
        order = np.random.default_rng(SEED).permutation(len(clips))
        ends = np.cumsum([clips[index].duration for index in order]) / 3600.0
        if not len(ends) or ends[-1] < hours:
            raise ManifestError(f"There are {ends[-1] if len(ends) else 0.0:.2f} hours to mine; {hours:g} were asked for.")
        chosen = [clips[index] for index in order[: int(np.searchsorted(ends, hours)) + 1]]
        write_manifest(path, [replace(clip, audio_filepath=str(clip.path)) for clip in chosen])
    return path


def measure(run: Path, options: argparse.Namespace) -> Row:
    """What was mined, and the false accepts on test speech at each recall."""
    model = open_model(run)
    plan = Plan(options.positives, options.others, options.noise, snr_db=(10.0,), strangers=True)
    played = play(model, gather(plan, model, say))
    mined = load_run(run).about["data"].get("mined", {"hours": 0.0, "mined_minutes": 0.0})
    numbers = {"heard": mined["hours"], "minutes": mined["mined_minutes"], "speech": round(played.others.hours, 3)}
    triggers = {f"recall {recall:g}": trigger_for(recall, played, model.trigger) for recall in RECALLS}
    return numbers | {name: len(count(played.others, trigger).false_accepts) for name, trigger in triggers.items()}


def trigger_for(recall: float, played: Played, trigger: TriggerSettings) -> TriggerSettings:
    """The highest threshold with a recall of the words in all conditions; the lowest where there is none."""
    low, high = 0, len(LOGITS)  # in the first it is reached, in the last it is not
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _recall(played, _at(middle, trigger)) >= recall else (low, middle)
    return _at(low, trigger)


def _at(index: int, trigger: TriggerSettings) -> TriggerSettings:
    return replace(trigger, threshold=float(1.0 / (1.0 + np.exp(-LOGITS[index]))))


def _recall(played: Played, trigger: TriggerSettings) -> float:
    return float(np.mean([delay is not None for stream in played.words.values() for delay in count(stream, trigger).detected]))


def show(rows: Sequence[Row]) -> None:
    """Print the table; rates have 95 % limits, each one-sided."""
    echo("| hours mined | heard | minutes kept | " + " | ".join(f"false accepts at recall {recall:g}" for recall in RECALLS) + " |")
    echo("|---|---|---|" + "---|" * len(RECALLS))
    for row in rows:
        cells = [_rate(int(row[f"recall {recall:g}"]), float(row["speech"])) for recall in RECALLS]
        echo(f"| {row['hours']} | {float(row['heard']):.2f} h | {float(row['minutes']):.1f} | " + " | ".join(cells) + " |")


def _rate(events: int, hours: float) -> str:
    return f"{events} in {hours:.2f} h ({rate_low(events, hours):.1f} to {rate_high(events, hours):.1f} an hour)"


if __name__ == "__main__":
    sys.exit(reported(main))
