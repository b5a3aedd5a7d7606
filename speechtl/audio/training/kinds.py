"""Kinds of negatives: the manifests and folders that they come from, and the share of each."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from speechtl.audio.data.recordings import Recording


def kind_names(places: Iterable[Path]) -> dict[Path, str]:
    """The names of manifests or folders: their last part, or all of it where two end alike."""
    distinct = sorted(set(places))
    alike = Counter(place.stem for place in distinct)
    return {place: place.stem if alike[place.stem] == 1 else str(place) for place in distinct}


def by_kind(recordings: Iterable[Recording]) -> dict[Path, list[Recording]]:
    """Recordings by the manifest or folder that they come from."""
    kinds: dict[Path, list[Recording]] = {}
    for recording in recordings:
        kinds.setdefault(recording.clip.manifest, []).append(recording)
    return kinds


def shares(seconds: Mapping[Path, float], most: float) -> dict[Path, float]:
    """The seconds to take of every kind, at most `most` in all, in proportion to the square root of what there is of it.

    So a large kind has more to say than a small one, but does not drown it; what a small one cannot fill goes to the others.
    """
    left, rest = most, sorted(seconds, key=lambda kind: seconds[kind])
    taken: dict[Path, float] = {}
    for index, kind in enumerate(rest):  # the smallest first: it is the first to be exhausted
        roots = sum(math.sqrt(seconds[other]) for other in rest[index:])
        share = left * math.sqrt(seconds[kind]) / roots if roots else 0.0
        taken[kind] = min(seconds[kind], share)
        left -= taken[kind]
    return taken


def drawn(recordings: Sequence[Recording], order: Iterable[int], most: float) -> list[Recording]:
    """The recordings in that order until every kind has its share of `most` seconds; the last of a kind may exceed it."""
    seconds = {kind: sum(recording.seconds for recording in own) for kind, own in by_kind(recordings).items()}
    left = shares(seconds, most)
    chosen = []
    for index in order:
        recording = recordings[index]
        if left[recording.clip.manifest] > 0.0:
            left[recording.clip.manifest] -= recording.seconds
            chosen.append(recording)
    return chosen
