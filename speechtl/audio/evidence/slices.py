"""Slices of an evaluation: recall, false accepts and delay of parts of what was played, each with its limits, the worst first."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from speechtl.audio.data.manifest import Clip
from speechtl.audio.evidence.traits import TRAITS, sound, trait
from speechtl.audio.phrases import name_key
from speechtl.limits import rate_high, rate_low, recall_limits

CONDITION, SPEAKER = "condition", "speaker"
SOUND, NEGATIVES = "sound", "negatives"  # of negatives: by kind of sound, and by manifest or folder
OF_WORDS = (CONDITION, SPEAKER, *TRAITS)
OF_NEGATIVES = (SOUND, NEGATIVES)
KINDS = (*OF_WORDS, *OF_NEGATIVES)

Part = dict[str, Any]  # of a report
Detected = Sequence[float | None]  # for each word the delay of its event (seconds), or None: missed
Heard = tuple[Clip, float, int]  # a negative, its seconds, and the number of events in it


def recall_of(detected: Detected) -> Part:
    """Words, detections and recall with its limits."""
    hits = sum(delay is not None for delay in detected)
    low, high = recall_limits(hits, len(detected))
    recall = hits / len(detected) if detected else 0.0
    return {"clips": len(detected), "detected": hits, "recall": recall, "recall_low": low, "recall_high": high}


def rates(events: int, hours: float) -> Part:
    """False accepts, and their rate per hour with its upper limit."""
    return {"hours": hours, "events": events, "per_hour": events / hours, "per_hour_high": rate_high(events, hours)}


def delays(detected: Detected) -> Part:
    """Median and 95 % of the delays, in milliseconds; None where no word was detected."""
    found = [delay * 1000.0 for delay in detected if delay is not None]
    if not found:
        return {"p50": None, "p95": None}
    return {"p50": round(float(np.percentile(found, 50)), 1), "p95": round(float(np.percentile(found, 95)), 1)}


def word_slice(kind: str, name: str, detected: Detected) -> Part:
    """The slice of some of the words."""
    return {"name": name, "kind": kind, **recall_of(detected), "delay_ms": delays(detected)}


def word_slices(clips: Sequence[Clip], detected: Detected) -> list[Part]:
    """Slices by speaker, and by what manifests tell about the recordings of the word; the worst of each kind first."""
    told = {SPEAKER: [clip.speaker for clip in clips], **{kind: [trait(clip, kind) for clip in clips] for kind in TRAITS}}
    return [part for kind, names in told.items() for part in _grouped(kind, names, detected)]


def _grouped(kind: str, names: Sequence[str | None], detected: Detected) -> list[Part]:
    spelt: dict[str, str] = {}  # the first spelling of a name
    groups: dict[str, list[float | None]] = defaultdict(list)
    for name, delay in zip(names, detected, strict=True):
        if name and (key := name_key(name)):
            groups[spelt.setdefault(key, name)].append(delay)
    return worst_first([word_slice(kind, name, group) for name, group in sorted(groups.items())])


def negative_slices(heard: Iterable[Heard]) -> list[Part]:
    """Slices of negatives by kind of sound, the worst first, and by manifest or folder; recordings are not kept in memory."""
    totals: dict[tuple[str, Path], tuple[float, int]] = {}
    for clip, length, number in heard:
        key = sound(clip), clip.manifest
        seconds, events = totals.get(key, (0.0, 0))
        totals[key] = seconds + length, events + number
    kinds: dict[str, tuple[float, int]] = {}
    for (kind, _), (length, number) in totals.items():
        seconds, events = kinds.get(kind, (0.0, 0))
        kinds[kind] = seconds + length, events + number
    sounds = [{"name": kind, "kind": SOUND, **rates(events, seconds / 3600.0)} for kind, (seconds, events) in kinds.items()]
    return [*worst_first(sounds), *source_slices((path, *total) for (_, path), total in totals.items())]


def source_slices(heard: Iterable[tuple[Path, float, int]]) -> list[Part]:
    """Slices of negatives by manifest or folder, from (manifest, seconds, events)."""
    seconds: dict[Path, float] = defaultdict(float)
    events: Counter[Path] = Counter()
    for path, length, number in heard:
        seconds[path] += length
        events[path] += number
    names = Counter(path.stem for path in seconds)
    return [
        {"name": path.stem if names[path.stem] == 1 else str(path), "kind": NEGATIVES, **rates(events[path], length / 3600.0)}
        for path, length in seconds.items()
    ]


def worst_first(parts: Iterable[Mapping[str, Any]]) -> list[Any]:
    """Slices by what the recordings show for certain: by the upper limit of recall, or the lower limit of the rate of false accepts.

    So one word missed of one does not come before five missed of ten.
    """
    return sorted(parts, key=_badness)


def _badness(part: Mapping[str, Any]) -> tuple[float, float]:
    if "recall" in part:
        return part["recall_high"], part["recall"]
    return -rate_low(part["events"], part["hours"]), -part["per_hour_high"]


def by_kind(slices: Iterable[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """The slices of each kind, in their order."""
    kinds: dict[str, list[Mapping[str, Any]]] = {}
    for part in slices:
        kinds.setdefault(str(part["kind"]), []).append(part)
    return kinds


def worst_of_words(slices: Iterable[Mapping[str, Any]]) -> list[tuple[str, Mapping[str, Any]]]:
    """The worst speaker, age and so on, with its kind, of kinds with several slices in which something was missed."""
    kinds = by_kind(slices)
    worst = [(kind, worst_first(kinds[kind])[0]) for kind in (SPEAKER, *TRAITS) if len(kinds.get(kind, ())) > 1]
    return [(kind, part) for kind, part in worst if part["recall"] < 1.0]


def expected(conditions: Sequence[str], words: Sequence[Clip], negatives: Iterable[Clip]) -> dict[str, list[str]]:
    """The names by kind of the slices that a report on these recordings will have, before anything is played."""
    slices = [
        *(word_slice(CONDITION, name, ()) for name in conditions),
        *word_slices(words, [None] * len(words)),
        *negative_slices((clip, 1.0, 0) for clip in negatives),
    ]
    return {kind: [str(part["name"]) for part in parts] for kind, parts in by_kind(slices).items()}
