"""Evaluate the shipped detector on continuous audio: recall and false accepts with exact limits, and the delay."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from speechtl.audio.data.recordings import Recording
from speechtl.audio.evaluation.conditions import SEED
from speechtl.audio.evaluation.hours.negatives import Machines, hear_negatives
from speechtl.audio.evaluation.material import Material, Plan, conditions_of, spoken_of
from speechtl.audio.evaluation.model import Model
from speechtl.audio.evaluation.scoring import Counts, ScoredStream, count, score_stream
from speechtl.audio.evaluation.streams import Condition, Passage, without_words, words_in_background
from speechtl.limits import rate_high, recall_limits
from speechtl.progress import Advance, Log, progress
from speechtl.runtime.trigger import TriggerSettings

SCHEMA = 1
DET_THRESHOLDS = [0.01, 0.02, 0.05, *(round(value, 2) for value in np.arange(0.1, 0.95, 0.05)), 0.95, 0.98, 0.99, 0.995, 0.998, 0.999]


@dataclass(frozen=True)
class Played:
    """The scores of a model for everything that was played to it."""

    material: Material
    words: dict[str, ScoredStream]  # by condition, clean first
    others: ScoredStream  # without the word


@progress("evaluating")
def evaluate(model: Model, plan: Plan, note: Log, machines: Machines | None = None) -> dict[str, Any]:
    """The report on recordings that the model was not trained on, with any number of negatives in little memory.

    Of manifests with splits, the lines of the plan's split are taken; recordings used in training or validation are left out. Each
    negative is a stream of its own, so the report is the same for every number of `machines`.
    """
    spoken = spoken_of(plan, model, note)
    surroundings = conditions_of(plan, model, note)
    lowest = min(model.trigger.threshold, *DET_THRESHOLDS)
    with hear_negatives(plan, model, spoken, lowest, machines or Machines(), note) as (silent, others):
        material = Material(spoken, silent, surroundings)
        return report(model, Played(material, _play_words(model, material), others), plan.split)


def play(model: Model, material: Material) -> Played:
    """Play the word in every condition, and everything else as it is, all as one stream with all its scores."""
    words = _play_words(model, material)
    others = _score(model, without_words(material.silent, Condition(), SEED), len(material.silent), "playing negatives")
    return Played(material, words, others)


def _play_words(model: Model, material: Material) -> dict[str, ScoredStream]:
    words = {}
    for one in material.conditions:
        passages = words_in_background(material.spoken, one, SEED)
        words[one.name] = _score(model, passages, len(material.spoken), f"playing positives, {one.name}")
    return words


def report(model: Model, played: Played, split: str) -> dict[str, Any]:
    """The report of what was played, at the threshold of the model."""
    clean, spoken = played.words[Condition().name], played.material.spoken
    counts, accepts = count(clean, model.trigger), count(played.others, model.trigger)
    conditions = {name: count(stream, model.trigger).detected for name, stream in played.words.items()}
    return {
        "schema": SCHEMA,
        "model": str(model.path),
        "graph": model.graph,
        "name": model.name,
        "split": split,
        "positives": _recall(counts.detected),
        "negatives": _false_accepts(accepts, counts, played.others.hours),
        "threshold": model.trigger.threshold,
        "threshold_source": model.threshold_source,
        "detector": model.trigger.to_json(),
        "delay_ms": _delays(counts.detected),
        "det": det(clean, played.others, model.trigger),
        "slices": [
            *(_slice(name, "condition", detected) for name, detected in conditions.items()),
            *false_accepts_by_kind(played, model.trigger),
            *_speaker_slices(spoken, counts),
        ],
        "missed": [spoken[index].clip.audio_filepath for index, delay in enumerate(counts.detected) if delay is None],
        "false_accepts": [
            *(_locate(played.others, time) for time in accepts.false_accepts),
            *(_locate(clean, time) for time in counts.false_accepts),
        ],
    }


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
    """Every event that belongs to no word, in the negatives and between the words of the positives."""
    beside = len(words.false_accepts)
    events = len(background.false_accepts) + beside
    return {**_rates(events, hours), "events_beside_words": beside}


def _rates(events: int, hours: float) -> dict[str, Any]:
    return {"hours": hours, "events": events, "per_hour": events / hours, "per_hour_high": rate_high(events, hours)}


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


def false_accepts_by_kind(played: Played, trigger: TriggerSettings) -> list[dict[str, Any]]:
    """False accepts by manifest or folder of the negatives, as slices of a report."""
    recordings, times = played.material.silent, count(played.others, trigger).false_accepts
    seconds: dict[Path, float] = defaultdict(float)
    events = Counter(recordings[_passage(played.others, time)].clip.manifest for time in times)
    for recording in recordings:
        seconds[recording.clip.manifest] += recording.seconds
    names = Counter(path.stem for path in seconds)
    return [
        {"name": path.stem if names[path.stem] == 1 else str(path), "kind": "negatives", **_rates(events[path], length / 3600.0)}
        for path, length in seconds.items()
    ]


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
    _, file, zero = stream.passages[_passage(stream, time)]
    return {"file": file, "time": round(time - zero, 2)}  # negative in the quiet before it


def _passage(stream: ScoredStream, time: float) -> int:
    """The index of the passage that is played at a time."""
    return bisect_right(stream.passages, time, key=lambda passage: passage[0]) - 1
