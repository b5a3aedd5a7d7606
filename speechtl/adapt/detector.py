"""The detector that is adapted: a run, or a bundle alone."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import inf
from pathlib import Path
from typing import Any

import numpy as np

from speechtl.adapt.graph import Output, features_of_bundle, rewritten
from speechtl.adapt.layer import Layer, features_of_network, layer_of_network, put_into_network
from speechtl.adapt.memory import Memory, memory_file, pack, room, unpack
from speechtl.adapt.remember import LARGE, remember
from speechtl.audio.run import Run, load_run
from speechtl.errors import BundleError, SpeechtlError, no_word
from speechtl.export.bundle import export_run
from speechtl.runtime.bundle.archive import write_bundle
from speechtl.runtime.bundle.document import Field
from speechtl.runtime.bundle.sensitivity import read_sensitivity
from speechtl.runtime.bundle.wake_word import Bundle, only, open_bundle
from speechtl.runtime.detector import Scorer
from speechtl.runtime.trigger import TriggerSettings, log_odds

MOST_ADAPTATIONS = 10_000


@dataclass(frozen=True)
class Adaptable:
    """A detector with its output layer, and what that sees."""

    source: Run | Bundle  # of a bundle only the word that is adapted is in use
    layer: Layer
    scorer: Scorer  # whose scores are features
    trigger: TriggerSettings
    phrases: Sequence[str]
    output: Output | None = None  # of a bundle
    kept: Sequence[str] = ()  # the words of the bundle that the adapted one has

    @property
    def about(self) -> Mapping[str, Any]:
        """What the run, or the bundle, says of the word."""
        about = self.source.about
        if isinstance(self.source, Run):
            return about
        return next((word for word in about.get("words", ()) if word["name"] == self.source.words[0].name), about)

    @property
    def other_words(self) -> list[str]:
        """The names of the bundle's other words, in use or not; none of a run."""
        if isinstance(self.source, Run):
            return []
        return [word["name"] for word in self.source.about.get("words", ()) if word["name"] != self.source.words[0].name]

    @property
    def threshold(self) -> float:
        """The threshold in log-odds."""
        return float(log_odds(np.array([self.trigger.threshold]))[0])

    @cached_property
    def highest_threshold(self) -> float:
        """The highest threshold in log-odds at which recall in validation is within its limits at the present one, if known."""
        told = read_sensitivity(Field("sensitivity", self.about.get("sensitivity")))
        if told is None:
            return inf
        low = told.at_threshold(self.trigger.threshold).recall_low
        return next((point.logit for point in told.recalls if point.recall < low), inf)

    @property
    def spent(self) -> float:
        """The share of the remembered words that earlier adaptations have cost."""
        earlier = Field("adapted", self.about.get("adapted") or []).list(0, MOST_ADAPTATIONS)
        return max(sum(one.get("lost", 0.0).real(-1.0, 1.0) for one in earlier), 0.0)

    @cached_property
    def memory(self) -> Memory:
        """What it remembers; a run remembers anew, which takes minutes."""
        return remember(self.source, LARGE) if isinstance(self.source, Run) else unpack(self.source)


def open_adaptable(path: Path, word: str | None = None) -> Adaptable:
    """Open a run, or a word of a bundle; raises `SpeechtlError` for one that cannot be adapted."""
    if path.is_dir():
        run = load_run(path)
        if word not in (None, run.name):
            raise SpeechtlError(f"{path} is a run of {run.name!r}; leave out --word.")
        return Adaptable(run, layer_of_network(run.network), features_of_network(run.network), run.trigger, run.about["phrases"])
    bundle = open_bundle(path)
    names = [one.name for one in bundle.words]
    if word is None and len(names) > 1:
        raise BundleError(f"{path} has {len(names)} words; say which to adapt: --word {names[0]}. There are: {', '.join(names)}.")
    if word is not None and word not in names:
        raise BundleError(no_word(path, word, names))
    used = only(bundle, [word or names[0]])
    memory = unpack(used)
    output, scorer = features_of_bundle(used)
    if len(output.own) != memory.words[0].shape[1]:
        raise BundleError(f"{path} is damaged: its memory is of another network.")
    return Adaptable(used, output.layer, scorer, used.words[0].trigger, used.words[0].phrases, output, names)


def write_adapted(old: Adaptable, out: Path, layer: Layer, memory: Memory, about: Mapping[str, Any]) -> None:
    """Write the adapted detector as a bundle; `about` are the changes of its description."""
    if isinstance(old.source, Run):
        export_run(_run(old.source, layer, about), out)
        return
    assert old.output is not None
    description, files = rewritten(old.source, old.output, layer, _description(old, about))
    left_out = {memory_file(word["name"], alone=False) for word in old.source.about.get("words", ()) if word["name"] not in old.kept}
    alone = not description.get("words")
    files[memory_file(old.source.words[0].name, alone=alone)] = pack(memory, room(len(old.kept)))
    write_bundle(out, description, {name: content for name, content in files.items() if name not in left_out})
    open_bundle(out)  # raises where it cannot be opened again, so that it replaces nothing


def _description(old: Adaptable, about: Mapping[str, Any]) -> Mapping[str, Any]:
    """The changes of a bundle's description: those of the word stand where the word stands; words that are not in use are left out."""
    before = old.source.about
    if not before.get("words"):
        return about
    assert isinstance(old.source, Bundle)
    own = {key: value for key, value in about.items() if key != "data"}
    words = [
        {**word, "column": word.get("column", place), **(own if word["name"] == old.source.words[0].name else {})}
        for place, word in enumerate(before["words"])
        if word["name"] in old.kept
    ]
    first = {key: words[0].get(key) for key in ("detector", "operating_points", "sensitivity", "timing", "policy", "licence")}
    phrases = [phrase for word in words for phrase in word["phrases"]]
    name = words[0]["name"] if len(words) == 1 else before["name"]
    licence = first["licence"] if len(words) == 1 else before.get("licence")
    return {
        **first,
        "name": name,
        "phrases": phrases,
        "licence": licence,
        "columns": old.source.columns,
        "words": words,
        "data": about["data"],
    }


def _run(run: Run, layer: Layer, about: Mapping[str, Any]) -> Run:
    network = copy.deepcopy(run.network)
    put_into_network(layer, network)
    return replace(run, network=network, about={**run.about, **about})
