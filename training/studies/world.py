"""What is left of recall outside a quiet room, and of the promised rate of false accepts on other kinds of speech?

    python training/studies/world.py runs/computer alexa.wake --at 0.3 --json world.json

The word is played in noise, babble, talk of one person and music, in simulated and measured rooms, far away, over a telephone and a
codec, and at several levels; the negatives, each kind by itself, in quiet. Backgrounds and negatives are test lines, and nobody whom the
model was trained on speaks in them. --at also takes the threshold at which all negatives together have at most that rate, --at-worst
the one at which each kind has; both make models comparable. The tables are Markdown. To compare models during development, train
them on a part of the people and use --split train.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from speechtl.arguments import output_file
from speechtl.audio.data.clips import read_clips
from speechtl.audio.evaluation.conditions import (
    BABBLE_NAME,
    LEVELS_DBFS,
    MEASURED,
    MUSIC,
    NOISE,
    ROOM_SNR_DB,
    SIMULATED,
    SNR_DB,
    TALKER,
    at,
)
from speechtl.audio.evaluation.evaluate import Played, false_accepts_by_kind, play, report
from speechtl.audio.evaluation.material import WORLD, Plan, gather
from speechtl.audio.evaluation.model import Model, open_model
from speechtl.errors import ManifestError, reported
from speechtl.files import write_json
from speechtl.limits import rate_high
from speechtl.progress import say
from speechtl.runtime.bundle.wake_word import open_bundle
from speechtl.runtime.trigger import TriggerSettings, smooth
from speechtl.text import echo, first_few

MANIFESTS = Path(__file__).parents[2] / "data_manifests"
TALK = "speechocean762"
SPEECH = ("speechocean762", "librispeech", "mini_librispeech", "alphanumeric", "common_voice", "wuw_calls", "precise_not_wake")
WORDS = ("speech_commands", "word_*", "precise_*", "wake_*")  # isolated words: one kind
ISOLATED = "isolated words"
ALL = "all"
SHIPPED = "Shipped thresholds"

Report = dict[str, Any]
Kinds = Mapping[str, str]  # from the name of a manifest to the kind of negatives it belongs to


def main(argv: Sequence[str] | None = None) -> dict[str, list[Report]]:
    """Play, print, and write."""
    options = _options(argv)
    negatives, kinds = negatives_here(options.negatives)
    found: dict[str, list[Report]] = {}
    for path in options.models:
        for model in _models(path, options.graph):
            played = play(model, gather(plan_of(model, negatives, options), model, say))
            for title, threshold in _thresholds(model, played, kinds, options).items():
                trigger = replace(model.trigger, threshold=threshold)
                found.setdefault(title, []).append(report(replace(model, trigger=trigger), played, options.split))
    for title, reports in found.items():
        echo(f"{title}:\n")
        echo("\n".join([*_recall_table(reports, options.snr), "", *_rate_table(reports, kinds), ""]))
    if options.json:
        write_json(options.json, found)
    return found


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="+", metavar="MODEL", help="runs and bundles")
    parser.add_argument("--split", default="test", help="of the people who say the word (default test)")
    parser.add_argument("--others", default="test", help="split of negatives and backgrounds (default test)")
    parser.add_argument("--snr", type=float, nargs="+", default=list(SNR_DB), help="signal-to-noise ratios in dB (default 20 to -5)")
    parser.add_argument("--positives", type=Path, nargs="+", help="default: wake_NAME.jsonl of data_manifests")
    parser.add_argument("--negatives", type=Path, nargs="+", help="each a kind of its own (default: what data_manifests has)")
    parser.add_argument("--at", type=_per_hour, metavar="RATE", help="also at this rate of false accepts per hour on all negatives")
    parser.add_argument("--at-worst", type=_per_hour, metavar="RATE", help="also at this rate on each kind of negatives")
    parser.add_argument("--graph", help="graph of bundles; default: the one that a device prefers")
    parser.add_argument("--json", type=output_file, metavar="FILE", help="write the reports of `speechtl evaluate`")
    return parser.parse_args(argv)


def _per_hour(text: str) -> float:
    if not 0.0 <= float(text) < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is no rate; give false accepts per hour, 0 or more")
    return float(text)


def _models(path: Path, graph: str | None) -> Iterator[Model]:
    """The words of a run or of a bundle."""
    if path.is_dir():
        yield open_model(path)
        return
    for word in open_bundle(path).words:
        yield open_model(path, word=word.name, graph=graph)


def plan_of(model: Model, negatives: Sequence[Path], options: argparse.Namespace) -> Plan:
    """What to play to a model: its word, and test lines of everything else."""
    own = MANIFESTS / f"wake_{model.name.replace(' ', '_')}.jsonl"
    if not (options.positives or own.exists()):
        raise ManifestError(f"{own} does not exist; name the recordings of {model.name!r} with --positives.")
    noise, talk, music, rooms = (_with_split(pattern, options.others) for pattern in ("noise_*", TALK, "music_*", "rir*"))
    return Plan(
        options.positives or [own],
        [path for path in negatives if path != own],
        noise,
        talk,
        music,
        rooms,
        options.snr if noise or talk or music else (),
        preset=WORLD,
        split=options.split,
        others=options.others,
        strangers=True,
    )


def _with_split(pattern: str, split: str) -> list[Path]:
    """Manifests with lines of a split whose recordings are here; lines without a split may be in a training."""
    found = [path for path in sorted(MANIFESTS.glob(f"{pattern}.jsonl")) if _is_here(path, split)]
    if not found:
        say(f"No recording of {pattern} with split {split!r} is here, so this background is left out.")
    return found


def negatives_here(given: Sequence[Path] | None) -> tuple[list[Path], Kinds]:
    """The manifests of negatives whose recordings are here, and the kind that each belongs to."""
    words = [path for pattern in WORDS for path in sorted(MANIFESTS.glob(f"{pattern}.jsonl")) if path.stem not in SPEECH]
    listed = list(given or [*(MANIFESTS / f"{name}.jsonl" for name in SPEECH), *words])
    here = [path for path in listed if path.is_dir() or _is_here(path)]
    if len(here) < len(listed):
        say(f"Left out without recordings on this machine: {', '.join(first_few(path.stem for path in listed if path not in here))}.")
    if not here:
        raise ManifestError("No recording of the negatives is on this machine; fetch them with speechtl data pull, or set SPEECHTL_DATA.")
    return here, {path.stem: ISOLATED if not given and path in words else path.stem for path in here}


def _is_here(path: Path, split: str | None = None) -> bool:
    return path.exists() and any(clip.path and split in (clip.split, None) for clip in read_clips([path]))


def _thresholds(model: Model, played: Played, kinds: Kinds, options: argparse.Namespace) -> dict[str, float]:
    made = {SHIPPED: model.trigger.threshold}
    if options.at is not None:
        made[f"At most {options.at:g} false accepts per hour"] = threshold_for(
            model, played, lambda trigger: _total(played, trigger), options.at
        )
    if options.at_worst is not None:
        title = f"At most {options.at_worst:g} false accepts per hour on each kind of negatives"
        made[title] = threshold_for(model, played, lambda trigger: _worst(played, trigger, kinds), options.at_worst)
    return made


def threshold_for(model: Model, played: Played, rate_of: Callable[[TriggerSettings], float], most: float) -> float:
    """The lowest threshold with at most a rate of false accepts, from the highest scores of the negatives down."""
    scores = np.unique(smooth(played.others.scores, model.trigger.smoothing))[::-1]

    def allowed(index: int) -> bool:
        return rate_of(replace(model.trigger, threshold=_above(scores[index]))) <= most

    low, high, step = -1, 0, 1  # `low` is allowed; below a threshold that is not, events may merge and become fewer again
    while high < len(scores) and allowed(high):
        low, high, step = high, high + step, 2 * step
    high = min(high, len(scores))
    if low < 0:
        say(f"{model.name}: even at the highest score there are more than {most:g} false accepts per hour.")
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if allowed(middle) else (low, middle)
    return _above(scores[max(low, 0)])


def _above(score: float) -> float:
    return min(float(np.nextafter(score, 2.0)), 1.0)


def counts_by_kind(slices: Sequence[Mapping[str, Any]], kinds: Kinds) -> dict[str, tuple[int, float]]:
    """Events and hours of each kind of negatives, and of all."""
    counts: dict[str, tuple[int, float]] = {}
    for part in slices:
        if part["kind"] == "negatives":
            for kind in (kinds.get(part["name"], part["name"]), ALL):
                events, hours = counts.get(kind, (0, 0.0))
                counts[kind] = events + part["events"], hours + part["hours"]
    return counts


def _total(played: Played, trigger: TriggerSettings) -> float:
    events, hours = counts_by_kind(false_accepts_by_kind(played, trigger), {})[ALL]
    return events / hours


def _worst(played: Played, trigger: TriggerSettings, kinds: Kinds) -> float:
    return max(events / hours for events, hours in counts_by_kind(false_accepts_by_kind(played, trigger), kinds).values())


def columns_of(snr_db: Sequence[float]) -> dict[str, list[str]]:
    """Headings, and the conditions below them."""
    ratios = " / ".join(f"{snr:g}" for snr in snr_db)
    backgrounds = {"non-speech": NOISE, "babble": BABBLE_NAME, "one talker": TALKER, "music": MUSIC}
    return {
        "clean": ["clean"],
        **{f"{heading} {ratios} dB": [at(kind, snr) for snr in snr_db] for heading, kind in backgrounds.items()},
        "rooms simulated / measured": [SIMULATED, MEASURED],
        f"room and non-speech / babble {ROOM_SNR_DB:g} dB": [at(f"room and {kind}", ROOM_SNR_DB) for kind in (NOISE, BABBLE_NAME)],
        "far field": ["far field"],
        "telephone / codec": ["telephone", "codec"],
        f"level {' / '.join(f'{level:g}' for level in LEVELS_DBFS)} dBFS": [f"level {level:g} dBFS" for level in LEVELS_DBFS],
    }


def _recall_table(reports: Sequence[Report], snr_db: Sequence[float]) -> Iterator[str]:
    columns = columns_of(snr_db)
    recalls = [{part["name"]: part["recall"] for part in one["slices"] if part["kind"] == "condition"} for one in reports]
    yield from markdown_heading("", "threshold", *columns, "delay 95 %, ms")
    for one, recall in zip(reports, recalls, strict=True):
        cells = (recalls_of(names, recall) for names in columns.values())
        yield markdown_row(one["name"], f"{one['threshold']:.4g}", *cells, _whole(one["delay_ms"]["p95"]))
    means = {name: float(np.mean([recall[name] for recall in recalls if name in recall])) for recall in recalls for name in recall}
    delays = [one["delay_ms"]["p95"] for one in reports if one["delay_ms"]["p95"] is not None]
    yield markdown_row("mean", "", *(recalls_of(names, means) for names in columns.values()), _whole(np.mean(delays) if delays else None))


def _rate_table(reports: Sequence[Report], kinds: Kinds) -> Iterator[str]:
    counts = [counts_by_kind(one["slices"], kinds) for one in reports]
    names = [kind for kind in [*dict.fromkeys(kinds.values()), ALL] if any(kind in one for one in counts)]
    yield from markdown_heading("false accepts", *names, "per hour, at most")
    for one, by_kind in zip(reports, counts, strict=True):
        yield markdown_row(one["name"], *(_rate(by_kind.get(name)) for name in names), f"{rate_high(*by_kind[ALL]):.2f}")
    sums = {name: tuple(map(sum, zip(*(one[name] for one in counts if name in one), strict=True))) for name in names}
    yield markdown_row("together", *(_rate(sums[name]) for name in names), f"{rate_high(*sums[ALL]):.2f}")


def recalls_of(names: Sequence[str], recall: Mapping[str, float]) -> str:
    """The recall in each of some conditions, as far as they were played."""
    return " / ".join(f"{recall[name]:.2f}" for name in names if name in recall) or "-"


def _rate(counts: tuple[float, ...] | None) -> str:
    return f"{counts[0]} in {counts[1]:.2f} h" if counts else "-"


def _whole(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


def markdown_heading(*cells: str) -> Iterator[str]:
    """The first two lines of a Markdown table."""
    yield markdown_row(*cells)
    yield markdown_row(*("---" for _ in cells))


def markdown_row(*cells: str) -> str:
    """A line of a Markdown table."""
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(reported(main))
