"""Evaluate the shipped detector on continuous audio: recall and false accepts with exact limits, and the delay."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from speechtl.audio.data.clips import read_clips, says
from speechtl.audio.data.recordings import RecordedSound, Recording, heard_only, load_recordings, note_cuts, note_silent
from speechtl.audio.evaluation.scoring import Counts, ScoredStream, count, score_stream
from speechtl.audio.evaluation.streams import Condition, Passage, without_words, words_in_background
from speechtl.audio.network.model import scorer_of
from speechtl.audio.run import load_run
from speechtl.errors import BundleError, ManifestError, RunError, did_you_mean
from speechtl.limits import rate_high, recall_limits
from speechtl.progress import Advance, Log, progress
from speechtl.runtime.bundle.wake_word import Word, open_bundle
from speechtl.runtime.detector import Scorer
from speechtl.runtime.engine.select import open_engine
from speechtl.runtime.trigger import TriggerSettings
from speechtl.text import counted

SCHEMA = 1
SEED = 1
DET_THRESHOLDS = [0.01, 0.02, 0.05, *(round(value, 2) for value in np.arange(0.1, 0.95, 0.05)), 0.95, 0.98, 0.99, 0.995, 0.998, 0.999]


@dataclass(frozen=True)
class Model:
    """What is evaluated: a run, or one word of a bundle."""

    path: Path
    name: str
    scorer: Scorer
    trigger: TriggerSettings
    threshold_source: str  # "calibrated" or "given"
    trained_on: frozenset[str]  # short hashes of recordings
    phrases: Sequence[str]
    column: int = 0  # of the scores: which of the bundle's words
    graph: str | None = None  # of the bundle, and what runs it; None is a run's network


def open_model(
    path: Path | str, threshold: float | None = None, *, word: str | None = None, graph: str | None = None, engine: str | None = None
) -> Model:
    """Open a run folder or a bundle; `threshold` replaces the calibrated one.

    `word` says which of a bundle's words is meant, `graph` and `engine` what runs it, as in `Detector.open`.
    """
    path = Path(path)
    runs = None
    if path.is_dir():
        if word or graph or engine:
            raise RunError(f"{path} is a run, which has one word and no graphs; leave out --word, --graph and --engine, or give a bundle.")
        run = load_run(path)
        run.network.to_accelerator()
        words, about, scorer = [Word(run.name, tuple(run.about["phrases"]), run.trigger)], run.about, scorer_of(run.network)
    else:
        bundle = open_bundle(path)
        opened = open_engine(bundle, graph, engine)
        runs = f"{opened.graph} in {opened.runtime}"
        words, about, scorer = bundle.words, bundle.about, Scorer.on(opened, bundle)
    column = _column(path, [entry.name for entry in words], word)
    name, trigger, phrases = words[column].name, words[column].trigger, words[column].phrases
    if threshold is not None:
        trigger = replace(trigger, threshold=threshold)
    source = "calibrated" if threshold is None else "given"
    trained_on = frozenset(about.get("data", {}).get("recordings", "").split())
    return Model(path, name, scorer, trigger, source, trained_on, phrases, column, runs)


def _column(path: Path, names: Sequence[str], word: str | None) -> int:
    if word is None and len(names) > 1:
        raise BundleError(f"{path} has several words; say which to evaluate with --word: {', '.join(names)}.")
    if word is not None and word not in names:
        raise BundleError(f"{path} has no word {word!r}{did_you_mean(word, names)}; it has: {', '.join(names)}.")
    return names.index(word) if word else 0


@progress("evaluating")
def evaluate(
    model: Model,
    positives: Sequence[Path],
    negatives: Sequence[Path],
    *,
    noise: Sequence[Path] = (),
    snr_db: Sequence[float] = (10.0,),
    split: str = "test",
    note: Log,
) -> dict[str, Any]:
    """Return the report on recordings that the model was not trained on.

    Of manifests with splits, the lines of `split` are taken; every recording that training or validation has heard is left out.
    """
    spoken = choose(positives, split, model, note, find_words=True)
    note_silent(spoken, note)
    note_cuts(spoken, note)
    silent = choose(negatives, split, model, note, without=model.phrases)
    clean = _score(model, words_in_background(spoken, Condition(), SEED), len(spoken), "playing positives")
    background = _score(model, without_words(silent, Condition(), SEED), len(silent), "playing negatives")
    sounds = heard_only(choose(noise, split, model, note), "any sound", note) if noise else []
    noisy = list(_noise_slices(model, spoken, [RecordedSound(recording) for recording in sounds], snr_db))
    return _report(model, split, spoken, clean, background, noisy)


def _noise_slices(
    model: Model, spoken: Sequence[Recording], noises: Sequence[RecordedSound], snr_db: Sequence[float]
) -> Iterator[dict[str, Any]]:
    for snr in snr_db if noises else ():
        passages = words_in_background(spoken, Condition("noise", snr, noises), SEED)
        noisy = count(_score(model, passages, len(spoken), f"playing positives in noise, {snr:g} dB"), model.trigger)
        yield _slice(f"noise at {snr:g} dB", "condition", noisy.detected)


def _report(
    model: Model, split: str, spoken: Sequence[Recording], clean: ScoredStream, background: ScoredStream, noisy: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    counts, accepts = count(clean, model.trigger), count(background, model.trigger)
    return {
        "schema": SCHEMA,
        "model": str(model.path),
        "graph": model.graph,
        "name": model.name,
        "split": split,
        "positives": _recall(counts.detected),
        "negatives": _false_accepts(accepts, counts, background.hours),
        "threshold": model.trigger.threshold,
        "threshold_source": model.threshold_source,
        "detector": model.trigger.to_json(),
        "delay_ms": _delays(counts.detected),
        "det": det(clean, background, model.trigger),
        "slices": [_slice("clean", "condition", counts.detected), *noisy, *_speaker_slices(spoken, counts)],
        "missed": [spoken[index].clip.audio_filepath for index, delay in enumerate(counts.detected) if delay is None],
        "false_accepts": [
            *(_locate(background, time) for time in accepts.false_accepts),
            *(_locate(clean, time) for time in counts.false_accepts),
        ],
    }


def choose(
    paths: Sequence[Path], split: str, model: Model, note: Log, *, find_words: bool = False, without: Sequence[str] = ()
) -> list[Recording]:
    """The recordings of a split that the model was not trained on, apart from those in which a phrase of `without` is said."""
    clips = read_clips(paths, note)
    if any(clip.split for clip in clips):
        clips = [clip for clip in clips if clip.split in (split, None)]
    fresh = [clip for clip in clips if clip.short_hash not in model.trained_on]
    if len(fresh) < len(clips):
        note(f"Left out {counted(len(clips) - len(fresh), 'recording')} that {model.name} was trained or validated on.")
    usable = [clip for clip in fresh if not says(clip, without)]
    if len(usable) < len(fresh):
        note(f"Left out {counted(len(fresh) - len(usable), 'negative')} whose text has the wake word.")
    if not usable:
        names = ", ".join(str(path) for path in paths)
        why = f"all were used in training, have another split than {split!r}{', or have the wake word in their text' if without else ''}"
        raise ManifestError(f"No recording of {names} is left to evaluate on: {why}.")
    return load_recordings(usable, find_words=find_words, phrases=model.phrases, on_skip=lambda problem: note(f"Skipped: {problem}"))


def _score(model: Model, passages: Iterable[Passage], total: int, title: str) -> ScoredStream:
    with progress(title) as advance:
        return score_stream(model.scorer, _counted(passages, total, advance), model.column)


def _counted(passages: Iterable[Passage], total: int, advance: Advance) -> Iterator[Passage]:
    for index, passage in enumerate(passages, 1):
        yield passage
        advance(index, total)


def _recall(detected: Sequence[float | None]) -> dict[str, Any]:
    hits = sum(delay is not None for delay in detected)
    low, high = recall_limits(hits, len(detected))
    recall = hits / len(detected) if detected else 0.0
    return {"clips": len(detected), "detected": hits, "recall": recall, "recall_low": low, "recall_high": high}


def _false_accepts(background: Counts, words: Counts, hours: float) -> dict[str, Any]:
    """Count every event that is no word's: in the negatives, and beside the words in the stream of positives."""
    beside = len(words.false_accepts)
    events = len(background.false_accepts) + beside
    rates = {"per_hour": events / hours, "per_hour_high": rate_high(events, hours)}
    return {"hours": hours, "events": events, **rates, "events_beside_words": beside}


def _delays(detected: Sequence[float | None]) -> dict[str, float | None]:
    delays = [delay * 1000.0 for delay in detected if delay is not None]
    if not delays:
        return {"p50": None, "p95": None}
    return {"p50": round(float(np.percentile(delays, 50)), 1), "p95": round(float(np.percentile(delays, 95)), 1)}


def _slice(name: str, kind: str, detected: Sequence[float | None]) -> dict[str, Any]:
    return {"name": name, "kind": kind, **_recall(detected), "delay_ms": _delays(detected)}


def _speaker_slices(recordings: Sequence[Recording], counts: Counts) -> list[dict[str, Any]]:
    by_speaker: dict[str, list[float | None]] = defaultdict(list)
    names: dict[str, str] = {}
    for recording, delay in zip(recordings, counts.detected, strict=True):
        if (person := recording.clip.person) and recording.clip.speaker:
            by_speaker[names.setdefault(person, recording.clip.speaker)].append(delay)
    return [_slice(speaker, "speaker", detected) for speaker, detected in sorted(by_speaker.items())]


def det(
    words: ScoredStream, background: ScoredStream, trigger: TriggerSettings, thresholds: Sequence[float] = DET_THRESHOLDS
) -> list[list[float]]:
    """Rows of the DET curve: threshold, recall, false accepts per hour."""
    rows = []
    for threshold in sorted({*thresholds, trigger.threshold}):
        settings = replace(trigger, threshold=threshold)
        spoken = count(words, settings)
        accepts = _false_accepts(count(background, settings), spoken, background.hours)
        rows.append([threshold, _recall(spoken.detected)["recall"], accepts["per_hour"]])
    return rows


def _locate(stream: ScoredStream, time: float) -> dict[str, Any]:
    _, file, zero = max(passage for passage in stream.passages if passage[0] <= time)
    return {"file": file, "time": round(time - zero, 2)}  # below zero: in the quiet before it
