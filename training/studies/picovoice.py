"""Miss rate at 0.1 false alarms an hour by the published procedure of Picovoice's wake-word benchmark, and by exact counting.

    python training/studies/picovoice.py computer alexa
    python training/studies/picovoice.py training/recipes/words/computer.toml --folds 5

The mixing (tracks.py) and counting are those of Picovoice/wake-word-benchmark; its background speech (LibriSpeech) and noise (DEMAND) are
replaced by test lines of data_manifests. A bundle, a run or a ready word is measured on all clips of its word by people whom it was not
trained on. A recipe is trained once for each fold of the people, and every run is measured on its own fold; trained runs are kept in --out.

Published counting: an event between the start of a clip and 0.5 s after its end is a detection, every other one an alarm; two detections in
one clip count twice, which 2 s of refractory time mostly prevents. The miss rate is interpolated between the last threshold within the rate
and the first beyond it. Exact counting: each word counts once, from its start to 1.5 s after its end, every other event is an alarm, at the
lowest threshold within the rate and at the one that the model is shipped with. Scores are kept in --out, so an interrupted call goes on;
give another --out for other weights of an encoder.

--peer plays the same tracks to another engine: COMMAND reads 16 kHz int16 samples and prints in its last line a JSON list with a score for
every 80 ms, as export/peer_workers/scores.py does, or an object with that list as "scores".
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tracks import REFRACTORY, Track, hear, make_track, own_engine, peer_engine, short_hash

from speechtl.arguments import at_least, output_folder
from speechtl.audio.data.clips import read_clips
from speechtl.audio.data.manifest import Clip, write_manifest
from speechtl.audio.data.recordings import heard_only, load_recordings
from speechtl.audio.evaluation.material import choose, people_known
from speechtl.audio.evaluation.model import Model, open_model
from speechtl.audio.evaluation.scoring import Counts, ScoredStream, count
from speechtl.audio.recipe import Recipe, read_recipe
from speechtl.audio.training.train import train
from speechtl.console import measurement_table, plain_console
from speechtl.errors import ManifestError, reported
from speechtl.limits import rate_high, recall_limits
from speechtl.progress import say
from speechtl.runs import begun, is_run
from speechtl.runtime.bundle.wake_word import open_bundle
from speechtl.runtime.samples import SAMPLE_RATE
from speechtl.runtime.trigger import TriggerSettings, find_events, refractory_steps
from speechtl.text import counted, echo

MANIFESTS = Path(__file__).parents[2] / "data_manifests"
UTTERANCES = ("mini_librispeech", "speechocean762")
NOISE = ("noise_kitchen", "noise_noisekun", "noise_blanket", "noise_machines", "noise_gsc")  # surroundings, as in DEMAND
RATE = 0.1  # alarms an hour
AFTER = 0.5  # seconds after a clip in which an event is its detection
THRESHOLDS = [float(1.0 / (1.0 + np.exp(-logit))) for logit in np.arange(16.0, -16.0, -0.05)]
PUBLISHED = {"Porcupine": 2.7, "Snowboy": 31.9, "PocketSphinx": 52.0}  # % missed, as published, of six words and 2,293 clips


@dataclass(frozen=True)
class Result:
    """What an engine missed on one or several tracks: as published, and counted exactly within the rate and as shipped."""

    word: str
    engine: str
    clips: int
    hours: float
    speech_hours: float
    published: float  # share
    within: tuple[int, int]  # missed, alarms
    shipped: tuple[int, int]


def main(argv: Sequence[str] | None = None) -> list[Result]:
    """Mix, listen, count and print."""
    options = _options(argv)
    results: list[Result] = []
    for path in options.models:
        for name, models, positives in _measured(path, options):
            each = [measure(model, name, positives, options) for model in models]
            results += [together(same) for same in zip(*each, strict=True)]
    show(results)
    return results


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="+", metavar="MODEL", help="bundles, ready words, runs, and recipes (.toml) to train")
    parser.add_argument("--hours", type=_hours, default=24.0, help="of each track (default 24)")
    parser.add_argument("--folds", type=at_least(2), default=5, help="of the people of a recipe's word (default 5)")
    parser.add_argument("--positives", type=Path, nargs="+", help="default: wake_NAME.jsonl of data_manifests; a recipe has its own")
    parser.add_argument("--utterances", type=Path, nargs="+", help="speech between the clips (default: mini_librispeech, speechocean762)")
    parser.add_argument("--noise", type=Path, nargs="+", help="behind everything (default: surroundings of data_manifests)")
    parser.add_argument("--graph", help="graph of bundles; default: the one that a device prefers")
    parser.add_argument("--peer", nargs=4, action="append", default=[], metavar=("WORD", "NAME", "THRESHOLD", "COMMAND"))
    parser.add_argument("--seed", type=int, default=0, help="of the tracks (default 0)")
    parser.add_argument("--out", type=output_folder, default="runs/picovoice", help="keeps trained runs and scores")
    return parser.parse_args(argv)


def _hours(text: str) -> float:
    if not 0.0 < float(text) < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is no duration; give hours, more than 0")
    return float(text)


def _measured(path: Path, options: argparse.Namespace) -> Iterator[tuple[str, Iterator[Model], Sequence[Path]]]:
    """What a path names: for each row a name, the models that are measured together, and the manifests of their word."""
    if path.suffix == ".toml":
        recipe = read_recipe(path)
        runs = fold_runs(recipe, options.folds, options.out)
        yield f"{path.name}, {options.folds} folds", map(open_model, runs), recipe.data.positives
        return
    words = [None] if path.is_dir() else [word.name for word in open_bundle(path).words]
    for word in words:
        model = open_model(path, word=word, graph=options.graph)
        own = MANIFESTS / f"wake_{model.name.replace(' ', '_')}.jsonl"
        if not (options.positives or own.exists()):
            raise ManifestError(f"{own} does not exist; name the recordings of {model.name!r} with --positives.")
        yield str(path), iter([model]), options.positives or [own]


def fold_runs(recipe: Recipe, folds: int, out: Path) -> Iterator[Path]:
    """A run for each fold of the people who say the word, trained on all others; finished runs are kept."""
    clips = _with_people(recipe.data.positives)
    people = sorted({str(clip.person) for clip in clips})
    if len(people) < 2 * folds:
        raise ManifestError(f"{counted(len(people), 'person', 'people')} say {recipe.name!r}; {folds} folds need {2 * folds}.")
    order = np.random.default_rng(0).permutation(people).tolist()
    for fold in range(folds):
        run = out / "runs" / f"{recipe.name}-{short_hash(recipe.model_dump_json().encode())}-{fold + 1}-of-{folds}"
        if not is_run(run):
            manifest = run.with_suffix(".jsonl")
            manifest.parent.mkdir(parents=True, exist_ok=True)
            others = [clip for clip in clips if clip.person not in order[fold::folds]]
            write_manifest(manifest, [replace(clip, audio_filepath=str(clip.path), split="train") for clip in others])
            data = recipe.data.model_copy(update={"positives": [manifest]})
            train(recipe.model_copy(update={"data": data}), run, resume=begun(run))
        yield run


def _with_people(paths: Sequence[Path]) -> list[Clip]:
    """The clips with a named speaker that are on this machine."""
    clips = [clip for clip in read_clips(paths) if clip.path is not None]
    named = [clip for clip in clips if clip.person]
    if len(named) < len(clips):
        say(f"Left out {counted(len(clips) - len(named), 'recording')} without a speaker.")
    if not named:
        raise ManifestError(f"{', '.join(map(str, paths))}: no recording with a speaker is on this machine; see: speechtl data pull")
    return named


def measure(model: Model, name: str, positives: Sequence[Path], options: argparse.Namespace) -> list[Result]:
    """The results of a model, and of the peers for its word, on one track with the clips of all people whom the model does not know."""
    clips = _with_people(positives)
    known = people_known(clips, model)
    strange = [clip for clip in clips if clip.person not in known]
    if not strange:
        raise ManifestError(f"{model.name} was trained on everybody in {', '.join(map(str, positives))}; give recordings of other people.")
    spoken = load_recordings(strange, find_words=True, phrases=model.phrases, on_skip=say)
    utterances = options.utterances or [MANIFESTS / f"{one}.jsonl" for one in UTTERANCES]
    noise = options.noise or [MANIFESTS / f"{one}.jsonl" for one in NOISE]
    background = choose(utterances, "test", model, say, without=model.phrases, strangers=True)
    noises = heard_only(choose(noise, "test", model, say), "any sound", say)
    track = make_track(spoken, background, noises, options.hours, options.seed)
    say(f"{model.name}: {counted(len(spoken), 'clip')} in {track.hours:.2f} h, of these {track.speech_hours:.2f} h of speech.")
    used = [[one.clip.sha256, one.clip.offset] for one in (*spoken, *background, *noises)]
    kept = options.out / "scores" / f"{model.name}-{short_hash(repr([used, options.hours, options.seed]).encode())}"
    engines = [own_engine(model, name), *(peer_engine(*rest) for word, *rest in options.peer if word == model.name)]
    return [result(model.name, engine.name, track, hear(engine, track, kept), engine.trigger) for engine in engines]


def result(word: str, engine: str, track: Track, stream: ScoredStream, trigger: TriggerSettings) -> Result:
    """What was missed on a track."""
    trigger = replace(trigger, smoothing=1)  # the stream is smoothed
    limits = [(part.start / SAMPLE_RATE, part.end / SAMPLE_RATE + AFTER) for part in track.clips]
    missed = published_miss_rate(stream, limits)
    within = within_rate(stream, trigger)
    shipped = _missed(count(stream, trigger))
    return Result(word, engine, len(limits), track.hours, track.speech_hours, missed, within, shipped)


def published_miss_rate(stream: ScoredStream, limits: Sequence[tuple[float, float]]) -> float:
    """The share of clips missed at 0.1 alarms an hour, interpolated; `limits` are the seconds in which an event is a detection."""
    starts, ends = np.array(limits).T
    scores = stream.scores.astype(np.float64)
    refractory = refractory_steps(TriggerSettings(refractory=REFRACTORY), stream.step_seconds)
    before = (0.0, 1.0)  # above all scores
    for threshold in THRESHOLDS:
        events = stream.times[find_events(scores, threshold, refractory)]
        clip = np.searchsorted(starts, events, "right") - 1
        detections = int(((clip >= 0) & (events <= ends[clip])).sum())
        alarms, missed = (len(events) - detections) / stream.hours, 1.0 - detections / len(starts)
        if alarms > RATE:
            return before[1] + (RATE - before[0]) / (alarms - before[0]) * min(missed - before[1], 0.0)
        if missed <= before[1]:  # far below all words a stream is a single event
            before = (alarms, missed)
    return before[1]


def within_rate(stream: ScoredStream, trigger: TriggerSettings) -> tuple[int, int]:
    """Words missed and alarms at the lowest threshold at which exact counting finds at most 0.1 alarms an hour."""
    found = (len(stream.words), 0)
    for threshold in THRESHOLDS:
        missed, alarms = _missed(count(stream, replace(trigger, threshold=threshold)))
        if alarms > RATE * stream.hours:
            break
        if missed <= found[0]:
            found = (missed, alarms)
    return found


def _missed(counts: Counts) -> tuple[int, int]:
    return counts.detected.count(None), len(counts.false_accepts)


def together(results: Sequence[Result]) -> Result:
    """The result of several tracks: of the folds of one recipe."""
    first, clips = results[0], sum(one.clips for one in results)
    missed = sum(one.published * one.clips for one in results) / clips
    hours, speech = sum(one.hours for one in results), sum(one.speech_hours for one in results)
    within, shipped = _sum([one.within for one in results]), _sum([one.shipped for one in results])
    return Result(first.word, first.engine, clips, hours, speech, missed, within, shipped)


def _sum(counts: Sequence[tuple[int, int]]) -> tuple[int, int]:
    return sum(missed for missed, _ in counts), sum(alarms for _, alarms in counts)


def show(results: Sequence[Result]) -> None:
    """Print the table, with the published rows below."""
    echo(
        "Mixing and counting of Picovoice/wake-word-benchmark; its background speech and noise are replaced. Miss rate at 0.1 alarms an "
        "hour as published, then words missed and alarms, counted exactly, within that rate and as shipped, with 95 % limits.\n"
    )
    table = measurement_table(
        "engine", "word", "clips", "hours", "speech", "published", "within: missed", "alarms", "shipped: missed", "alarms"
    )
    for one in results:
        cells = [text for counts in (one.within, one.shipped) for text in (_share(counts[0], one.clips), _alarms(counts[1], one.hours))]
        hours = f"{one.hours:.1f}", f"{one.speech_hours:.1f}"
        table.add_row(one.engine, one.word, str(one.clips), *hours, f"{100 * one.published:.1f} %", *cells)
    for name, percent in PUBLISHED.items():
        table.add_row(f"{name}, Picovoice's own figure", "six words", "2293", "24 each", "4.8 each", f"{percent} %")
    plain_console().print(table)


def _share(missed: int, clips: int) -> str:
    low, high = recall_limits(missed, clips)
    return f"{missed} ({100 * low:.1f} to {100 * high:.1f} %)"


def _alarms(number: int, hours: float) -> str:
    return f"{number} (at most {rate_high(number, hours):.2f}/h)"


if __name__ == "__main__":
    sys.exit(reported(main))
