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

from speechtl.adapt.graph import features_of_bundle, rewritten
from speechtl.adapt.layer import Layer, features_of_network, layer_of_network, put_into_network
from speechtl.adapt.memory import MEMORY, Memory, pack, unpack
from speechtl.adapt.remember import LARGE, remember
from speechtl.audio.run import Run, load_run
from speechtl.errors import BundleError
from speechtl.export.bundle import export_run
from speechtl.runtime.bundle.archive import write_bundle
from speechtl.runtime.bundle.document import Field
from speechtl.runtime.bundle.sensitivity import read_sensitivity
from speechtl.runtime.bundle.wake_word import Bundle, open_bundle
from speechtl.runtime.detector import Scorer
from speechtl.runtime.trigger import TriggerSettings, log_odds


@dataclass(frozen=True)
class Adaptable:
    """A detector with its output layer, and what that sees."""

    source: Run | Bundle
    layer: Layer
    scorer: Scorer  # whose scores are features
    trigger: TriggerSettings
    phrases: Sequence[str]

    @property
    def threshold(self) -> float:
        """The threshold in log-odds."""
        return float(log_odds(np.array([self.trigger.threshold]))[0])

    @cached_property
    def highest_threshold(self) -> float:
        """The highest threshold in log-odds at which recall in validation is within its limits at the present one, if known."""
        told = read_sensitivity(Field("sensitivity", self.source.about.get("sensitivity")))
        if told is None:
            return inf
        low = told.at_threshold(self.trigger.threshold).recall_low
        return next((point.logit for point in told.recalls if point.recall < low), inf)

    @cached_property
    def memory(self) -> Memory:
        """What it remembers; a run remembers anew, which takes minutes."""
        return remember(self.source, LARGE) if isinstance(self.source, Run) else unpack(self.source)


def open_adaptable(path: Path) -> Adaptable:
    """Open a run or a bundle; raises `SpeechtlError` for one that cannot be adapted."""
    if path.is_dir():
        run = load_run(path)
        return Adaptable(run, layer_of_network(run.network), features_of_network(run.network), run.trigger, run.about["phrases"])
    bundle = open_bundle(path)
    if len(bundle.words) != 1:
        raise BundleError(f"{path} has {len(bundle.words)} words; adapt the run or the bundle of one of them, and export them together.")
    memory = unpack(bundle)
    layer, scorer = features_of_bundle(bundle)
    if len(layer.weights) != memory.words[0].shape[1]:
        raise BundleError(f"{path} is damaged: its {MEMORY} is of another network.")
    return Adaptable(bundle, layer, scorer, bundle.words[0].trigger, bundle.words[0].phrases)


def write_adapted(old: Adaptable, out: Path, layer: Layer, memory: Memory, about: Mapping[str, Any]) -> None:
    """Write the adapted detector as a bundle; `about` are the changes of its description."""
    if isinstance(old.source, Run):
        export_run(_run(old.source, layer, about), out)
        return
    description, files = rewritten(old.source, old.layer, layer, about)
    files[MEMORY] = pack(memory)
    write_bundle(out, description, files)


def _run(run: Run, layer: Layer, about: Mapping[str, Any]) -> Run:
    network = copy.deepcopy(run.network)
    put_into_network(layer, network)
    return replace(run, network=network, about={**run.about, **about})
