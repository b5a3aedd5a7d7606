"""Evaluate the shipped detector on continuous audio: recall and false accepts with exact limits, and the delay."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np

from speechtl.audio.data.manifest import Clip
from speechtl.audio.data.recordings import Recording
from speechtl.audio.evaluation.conditions import SEED
from speechtl.audio.evaluation.hours.negatives import Machines, hear_negatives
from speechtl.audio.evaluation.material import Material, Plan, conditions_of, spoken_of
from speechtl.audio.evaluation.model import Model
from speechtl.audio.evaluation.scoring import Counts, ScoredStream, count, score_stream
from speechtl.audio.evaluation.streams import Condition, Passage, without_words, words_in_background
from speechtl.audio.evidence.players import Moment, Moments
from speechtl.audio.evidence.slices import (
    CONDITION,
    delays,
    expected,
    negative_slices,
    rates,
    recall_of,
    source_slices,
    word_slice,
    word_slices,
)
from speechtl.audio.evidence.statement import SCHEMA, make_statement
from speechtl.progress import Advance, Log, progress
from speechtl.runtime.trigger import TriggerSettings

DET_THRESHOLDS = [0.01, 0.02, 0.05, *(round(value, 2) for value in np.arange(0.1, 0.95, 0.05)), 0.95, 0.98, 0.99, 0.995, 0.998, 0.999]


@dataclass(frozen=True)
class Played:
    """The scores of a model for everything that was played to it."""

    material: Material
    words: dict[str, ScoredStream]  # by condition, clean first
    others: ScoredStream  # without the word


@dataclass(frozen=True)
class Evaluation:
    """A report, and the moments that it lists."""

    report: dict[str, Any]
    moments: Moments


@dataclass(frozen=True)
class Prepared:
    """What is known before anything is played: the statement of the report, and the names of its slices by kind."""

    statement: Mapping[str, Any]
    slices: Mapping[str, Sequence[str]]


Check = Callable[[Prepared], None]  # raises an error to stop an evaluation before anything is played


def evaluate(model: Model, plan: Plan, note: Log, machines: Machines | None = None) -> dict[str, Any]:
    """The report on recordings that the model was not trained on, with any number of negatives in little memory.

    Of manifests with splits, the lines of the plan's split are taken; recordings used in training or validation are left out. Each
    negative is a stream of its own, so the report is the same for every number of `machines`.
    """
    return listen_to(model, plan, note, machines=machines).report


@progress("evaluating")
def listen_to(model: Model, plan: Plan, note: Log, checks: Iterable[Check] = (), machines: Machines | None = None) -> Evaluation:
    """The evaluation of a plan, as `evaluate` makes it, after `checks` of what will be played."""
    spoken = spoken_of(plan, model, note)
    around: list[Clip] = []
    surroundings = conditions_of(plan, model, note, around)
    prepared: list[Prepared] = []

    def check(listed: Iterable[Clip]) -> None:
        words = [one.clip for one in spoken]
        statement = make_statement(model, plan, chain(words, listed, around))
        prepared.append(Prepared(statement, expected([one.name for one in surroundings], words, listed)))
        for one in checks:
            one(prepared[0])

    lowest = min(model.trigger.threshold, *DET_THRESHOLDS)
    with hear_negatives(plan, model, spoken, lowest, machines or Machines(), note, check) as (silent, others):
        material = Material(spoken, silent, surroundings)
        played = Played(material, _play_words(model, material), others)
        return Evaluation(report(model, played, plan.split) | {"statement": prepared[0].statement}, moments_of(model, played))


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
    clean = played.words[Condition().name]
    counts, accepts = count(clean, model.trigger), count(played.others, model.trigger)
    moments = moments_of(model, played)
    return {
        "schema": SCHEMA,
        "model": str(model.path),
        "graph": model.graph,
        "name": model.name,
        "split": split,
        "positives": recall_of(counts.detected),
        "negatives": _false_accepts(accepts, counts, played.others.hours),
        "threshold": model.trigger.threshold,
        "threshold_source": model.threshold_source,
        "detector": model.trigger.to_json(),
        "delay_ms": delays(counts.detected),
        "det": det(clean, played.others, model.trigger),
        "slices": [
            *(word_slice(CONDITION, name, count(stream, model.trigger).detected) for name, stream in played.words.items()),
            *negative_slices(_heard(played, model.trigger)),
            *word_slices([one.clip for one in played.material.spoken], counts.detected),
        ],
        "missed": [moment.to_json() for moment in moments.missed],
        "false_accepts": [moment.to_json() for moment in moments.false_accepts],
    }


def moments_of(model: Model, played: Played) -> Moments:
    """Every missed clean word, and every false accept, in the negatives first."""
    clean, spoken = played.words[Condition().name], played.material.spoken
    counts, accepts = count(clean, model.trigger), count(played.others, model.trigger)
    missed = [one for one, delay in zip(spoken, counts.detected, strict=True) if delay is None]
    return Moments(
        [Moment(one.clip, *(one.clip.offset + limit for limit in one.word)) for one in missed],
        [
            *(_moment(played.material.silent, played.others, time) for time in accepts.false_accepts),
            *(_moment(spoken, clean, time) for time in counts.false_accepts),
        ],
    )


def _score(model: Model, passages: Iterable[Passage], total: int, title: str) -> ScoredStream:
    with progress(title) as advance:
        return score_stream(model.scorer, _counted(passages, total, advance), model.column)


def _counted(passages: Iterable[Passage], total: int, advance: Advance) -> Iterator[Passage]:
    for index, passage in enumerate(passages, 1):
        yield passage
        advance(index, total)


def _false_accepts(background: Counts, words: Counts, hours: float) -> dict[str, Any]:
    """Every event that belongs to no word, in the negatives and between the words of the positives."""
    beside = len(words.false_accepts)
    return {**rates(len(background.false_accepts) + beside, hours), "events_beside_words": beside}


def _heard(played: Played, trigger: TriggerSettings) -> Iterator[tuple[Clip, float, int]]:
    """Each negative with its seconds and the number of its events."""
    events = Counter(_passage(played.others, time) for time in count(played.others, trigger).false_accepts)
    for index, recording in enumerate(played.material.silent):
        yield recording.clip, recording.seconds, events[index]


def false_accepts_by_kind(played: Played, trigger: TriggerSettings) -> list[dict[str, Any]]:
    """False accepts by manifest or folder of the negatives, as slices of a report."""
    return source_slices((clip.manifest, seconds, events) for clip, seconds, events in _heard(played, trigger))


def det(
    words: ScoredStream, background: ScoredStream, trigger: TriggerSettings, thresholds: Sequence[float] = DET_THRESHOLDS
) -> list[list[float]]:
    """Rows of the DET curve: threshold, recall, false accepts per hour."""
    rows = []
    for threshold in sorted({*thresholds, trigger.threshold}):
        settings = replace(trigger, threshold=threshold)
        spoken = count(words, settings)
        accepts = _false_accepts(count(background, settings), spoken, background.hours)
        rows.append([threshold, recall_of(spoken.detected)["recall"], accepts["per_hour"]])
    return rows


def _moment(recordings: Sequence[Recording], stream: ScoredStream, time: float) -> Moment:
    """Where in its recording an event of a stream is."""
    index = _passage(stream, time)
    inside = time - stream.passages[index][2]
    return Moment(recordings[index].clip, inside, inside)


def _passage(stream: ScoredStream, time: float) -> int:
    """The index of the passage that is played at a time."""
    return bisect_right(stream.passages, time, key=lambda passage: passage[0]) - 1
