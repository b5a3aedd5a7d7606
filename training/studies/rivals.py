"""How well do other engines do on the same recordings?

    python training/studies/rivals.py alexa --heads training/recipes/words/alexa.toml --hours 2 --at 1 --out runs/rivals

Plays test recordings of a word in the conditions of world.py, and hours without it, to bundles of the word, to the peers of peers.py that
have it, to the heads of rival_heads.py trained by the recipe of --heads, and to time warping with takes of people for training. All hear
the same samples, streaming in chunks of 80 ms: every word after two seconds of its background, in one stream a condition; the negatives
in streams of half an hour. What was heard is kept in --out: an interrupted study goes on, and further engines, conditions or hours are
added to it. Prints Markdown: recall by condition and delay, and false accepts by kind with limits, at the threshold that each engine
comes with and at equal false accepts per hour on these negatives. Draws OUT/WORD.png: miss rate over false accepts per hour.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from peers import PEERS
from rival_curves import curve_of, draw
from rival_engines import Engine, Piece, in_process, joined, peer, shipped, trained
from rival_heads import TAKES, time_warping, train_heads
from world import (
    ALL,
    Kinds,
    Report,
    columns_of,
    counts_by_kind,
    markdown_heading,
    markdown_row,
    negatives_here,
    plan_of,
    recalls_of,
    threshold_for,
)

from speechtl.arguments import at_least, output_folder
from speechtl.audio.data.clips import read_clips
from speechtl.audio.data.manifest import Clip
from speechtl.audio.data.recordings import OnDisk, Recording, load_recordings
from speechtl.audio.evaluation.conditions import SEED, kind_and_snr
from speechtl.audio.evaluation.evaluate import Played, report
from speechtl.audio.evaluation.hours.listing import list_negatives
from speechtl.audio.evaluation.material import Material, Plan, conditions_of, spoken_of
from speechtl.audio.evaluation.model import Model, open_model
from speechtl.audio.evaluation.scoring import count
from speechtl.audio.evaluation.streams import Condition, without_words, words_in_background
from speechtl.audio.network.model import WakeWordNetwork
from speechtl.errors import SpeechtlError, reported
from speechtl.files import sha256_of
from speechtl.limits import rate_high, rate_low
from speechtl.progress import progress, say
from speechtl.runtime.samples import SAMPLE_RATE
from speechtl.runtime.trigger import TriggerSettings
from speechtl.text import dumps, echo

PIECE_SECONDS = 1800.0  # of negatives in one stream
DELIVERED = "Delivered thresholds"


@dataclass(frozen=True)
class Result:
    """What an engine heard; as a model, for reports."""

    model: Model
    played: Played
    delivered: bool  # whether the model's threshold came with the engine

    def at(self, threshold: float) -> Report:
        """The report at a threshold."""
        return report(replace(self.model, trigger=replace(self.model.trigger, threshold=threshold)), self.played, "test")

    def false_accepts_per_hour(self, trigger: TriggerSettings) -> float:
        """Events in the negatives per hour."""
        return len(count(self.played.others, trigger).false_accepts) / self.played.others.hours


def main(argv: Sequence[str] | None = None) -> list[Result]:
    """Play, print and draw."""
    options = _options(argv)
    ours = open_model(options.bundles[0], word=options.word)
    negatives, kinds = negatives_here(None)
    plan = plan_of(ours, negatives, options)
    runs = train_heads(options.heads, options.out, options.epochs) if options.heads else []
    learned = [*(open_model(path, word=ours.name) for path in options.bundles), *map(open_model, runs)]
    known = frozenset().union(*(model.trained_on for model in learned))
    material, around = _material(plan, replace(ours, trained_on=known), options)
    engines = list(_engines(ours.name, options, runs))
    if options.heads:
        engines.append(_time_warping(plan.positives, ours, options.takes))
    pieces = _pieces(material, around, options.out / "heard")
    heard = _listen(pieces, engines)
    results = [_result(engine, pieces, material, ours) for engine in heard]
    for title, reports in _reports(results, options.at).items():
        echo(f"{title}:\n")
        echo("\n".join([*_table(reports, options.snr), "", *_rates(reports, kinds), ""]))
    draw(
        options.out / f"{ours.name.replace(' ', '_')}.png",
        ours.name,
        [curve_of(one.model.name, one.played, one.model.trigger, delivered=one.delivered) for one in results],
    )
    return results


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", type=Path, nargs="+", metavar="NAME.wake", help="bundles or ready words; the word is that of the first")
    parser.add_argument("--word", help="of bundles with several")
    parser.add_argument("--against", nargs="*", choices=list(PEERS), help="peers (default: those that have the word)")
    parser.add_argument("--heads", type=Path, metavar="RECIPE.toml", help="also train other projects' heads by this recipe, and warp time")
    parser.add_argument("--epochs", type=at_least(1), help="of their training, in place of the recipe's, with as many batches in all")
    parser.add_argument("--takes", type=at_least(1), default=TAKES, help=f"for time warping (default {TAKES})")
    parser.add_argument("--snr", type=float, nargs="+", default=[10.0, 5.0, 0.0], help="signal-to-noise ratios in dB (default 10 5 0)")
    parser.add_argument("--conditions", nargs="+", help='kinds of conditions beside clean, such as noise, "measured rooms" (default all)')
    parser.add_argument("--hours", type=above_zero, default=2.0, help="of negatives, in random order (default 2)")
    parser.add_argument(
        "--at", type=above_zero, nargs="+", default=[1.0], help="false accepts per hour at which engines are compared (default 1)"
    )
    parser.add_argument("--positives", type=Path, nargs="+", help="default: wake_NAME.jsonl of data_manifests")
    parser.add_argument("--out", type=output_folder, default="runs/rivals")
    parser.set_defaults(split="test", others="test")
    return parser.parse_args(argv)


def above_zero(text: str) -> float:
    """A number above 0 on the command line."""
    if not 0.0 < float(text) < math.inf:
        raise argparse.ArgumentTypeError(f"{text} must be above 0")
    return float(text)


def _material(plan: Plan, ours: Model, options: argparse.Namespace) -> tuple[Material, list[Clip]]:
    """The word, the conditions that were asked for, and as many hours of negatives, read when they are played; clips of backgrounds."""
    spoken = spoken_of(plan, ours, say)
    options.out.mkdir(parents=True, exist_ok=True)
    listed = list(list_negatives(options.out / "negatives.jsonl", plan, ours, spoken, say))
    order = np.random.default_rng(SEED).permutation(len(listed))
    ends = np.cumsum([listed[index].duration for index in order])
    silent = [_unread(listed[index]) for index in order[: np.searchsorted(ends, options.hours * 3600.0) + 1]]
    around: list[Clip] = []
    clean, *others = conditions_of(plan, ours, say, around)
    asked = [one for one in others if options.conditions is None or kind_and_snr(one.name)[0] in options.conditions]
    return Material(spoken, silent, [clean, *asked]), around


def _unread(clip: Clip) -> Recording:
    assert clip.path is not None
    pcm = OnDisk(clip.path, clip.offset, clip.duration, round(clip.duration * SAMPLE_RATE), clip.channel)
    return Recording(clip, pcm, (0.0, clip.duration))


def _engines(word: str, options: argparse.Namespace, runs: Sequence[Path]) -> Iterator[Engine]:
    """All engines but time warping; those that cannot be had are said."""
    kinds = options.against if options.against is not None else [kind for kind, about in PEERS.items() if word in about.words]
    makers: list[Callable[[], Engine]] = [partial(shipped, path, word) for path in options.bundles]
    makers += [partial(peer, kind, word) for kind in kinds]
    makers += [partial(trained, run) for run in runs]
    for make in makers:
        try:
            yield make()
        except SpeechtlError as error:
            say(f"Left out: {error}")


def _time_warping(manifests: Sequence[Path], ours: Model, takes: int) -> Engine:
    clips = [clip for clip in read_clips(manifests) if clip.split == "train"]
    network: WakeWordNetwork = time_warping(load_recordings(clips, find_words=True, phrases=ours.phrases, on_skip=say), takes)
    return in_process(f"time warping, {takes} takes", network, sha256_of(dumps([clip.sha256 for clip in clips]).encode()))


def _pieces(material: Material, around: Sequence[Clip], out: Path) -> dict[str, Piece]:
    """The streams by name: the negatives in parts, and conditions; the folder of each is that of its recordings."""
    pieces = {}
    for index, part in enumerate(_parts(material.silent)):
        folder = out / f"negatives-{index}-{_digest(one.clip for one in part)}"
        pieces[f"negatives {index}"] = Piece(folder, partial(without_words, part, Condition(), SEED))
    digest = _digest((*(one.clip for one in material.spoken), *around))
    for condition in material.conditions:
        folder = out / f"{condition.name.replace(' ', '-')}-{digest}"
        pieces[condition.name] = Piece(folder, partial(words_in_background, material.spoken, condition, SEED))
    return pieces


def _digest(clips: Iterable[Clip]) -> str:
    return sha256_of(dumps([[clip.audio_filepath, clip.offset, clip.sha256] for clip in clips]).encode())[:12]


def _parts(recordings: Sequence[Recording]) -> Iterator[list[Recording]]:
    part: list[Recording] = []
    for one in recordings:
        part.append(one)
        if sum(recording.seconds for recording in part) >= PIECE_SECONDS:
            yield part
            part = []
    if part:
        yield part


def _listen(pieces: Mapping[str, Piece], engines: Sequence[Engine]) -> list[Engine]:
    """Let all engines hear all streams; those that do to the end. One that fails is said, and the others go on."""
    left = list(engines)
    with progress("playing, stream") as advance:
        for index, piece in enumerate(pieces.values(), 1):
            for engine, reason in piece.hear(left):
                say(f"Left out: {engine.name}: {reason}")
                left.remove(engine)
            advance(index, len(pieces))
    return left


def _result(engine: Engine, pieces: Mapping[str, Piece], material: Material, ours: Model) -> Result:
    streams = {name: piece.heard(engine) for name, piece in pieces.items()}
    words = {one.name: streams.pop(one.name)[0] for one in material.conditions}
    others = joined([stream for stream, _ in streams.values()])
    threshold = next(threshold for _, threshold in streams.values())
    trigger = TriggerSettings(0.5 if threshold is None else threshold, refractory=ours.trigger.refractory)
    return Result(replace(ours, name=engine.name, trigger=trigger), Played(material, words, others), threshold is not None)


def _reports(results: Sequence[Result], rates: Sequence[float]) -> dict[str, list[Report]]:
    """Reports of all engines by the threshold that is taken."""
    found = {DELIVERED: [one.at(one.model.trigger.threshold) for one in results if one.delivered]}
    for rate in rates:
        thresholds = [threshold_for(one.model, one.played, one.false_accepts_per_hour, rate) for one in results]
        title = f"At most {rate:g} false accepts per hour"
        found[title] = [one.at(threshold) for one, threshold in zip(results, thresholds, strict=True)]
    return found


def _table(reports: Sequence[Report], snr_db: Sequence[float]) -> Iterator[str]:
    recalls = [{part["name"]: part["recall"] for part in one["slices"] if part["kind"] == "condition"} for one in reports]
    columns = {heading: names for heading, names in columns_of(snr_db).items() if any(name in one for one in recalls for name in names)}
    yield from markdown_heading("recall", "threshold", *columns, "delay, median / 95 %, ms")
    for one, recall in zip(reports, recalls, strict=True):
        delay = one["delay_ms"]
        times = "-" if delay["p50"] is None else f"{delay['p50']:.0f} / {delay['p95']:.0f}"
        yield markdown_row(one["name"], f"{one['threshold']:.4g}", *(recalls_of(names, recall) for names in columns.values()), times)


def _rates(reports: Sequence[Report], kinds: Kinds) -> Iterator[str]:
    counts = [counts_by_kind(one["slices"], kinds) for one in reports]
    names = list(dict.fromkeys(name for one in counts for name in one if name != ALL))
    hours = [f"{name}, {counts[0][name][1]:.2f} h" for name in names]
    yield from markdown_heading("false accepts", *hours, f"all, {counts[0][ALL][1]:.2f} h", "per hour", "90 % limits")
    for one, by_kind in zip(reports, counts, strict=True):
        events, duration = by_kind[ALL]
        limits = f"{rate_low(events, duration):.2f} to {rate_high(events, duration):.2f}"
        yield markdown_row(one["name"], *(str(by_kind[name][0]) for name in names), str(events), f"{events / duration:.2f}", limits)


if __name__ == "__main__":
    sys.exit(reported(main))
