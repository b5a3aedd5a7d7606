"""The model to evaluate: a run, or one word of a bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from speechtl.errors import BundleError, RunError, no_word
from speechtl.runtime.bundle.wake_word import Word, open_bundle
from speechtl.runtime.detector import Scorer
from speechtl.runtime.engine.select import open_engine
from speechtl.runtime.trigger import TriggerSettings


@dataclass(frozen=True)
class Model:
    """The model to evaluate: a run, or one word of a bundle."""

    path: Path
    name: str
    scorer: Scorer
    trigger: TriggerSettings
    threshold_source: str  # "calibrated" or "given"
    trained_on: frozenset[str]  # short hashes of recordings
    phrases: Sequence[str]
    column: int = 0  # of the scores: the index of the word in the bundle
    graph: str | None = None  # of the bundle, and its runtime; None for a run's network


def open_model(
    path: Path | str, threshold: float | None = None, *, word: str | None = None, graph: str | None = None, engine: str | None = None
) -> Model:
    """Open a run folder or a bundle; `threshold` replaces the calibrated one.

    `word` selects one of a bundle's words; `graph` and `engine` are those of `Detector.open`.
    """
    path = Path(path)
    runs = None
    if path.is_dir():
        if word or graph or engine:
            raise RunError(f"{path} is a run, which has one word and no graphs; leave out --word, --graph and --engine, or give a bundle.")
        words, about, scorer = _open_run(path)
    else:
        bundle = open_bundle(path)
        opened = open_engine(bundle, graph, engine)
        runs = f"{opened.graph} in {opened.runtime}"
        words, about, scorer = bundle.words, bundle.about, Scorer.on(opened, bundle)
    chosen = words[_index(path, [entry.name for entry in words], word)]
    trigger = chosen.trigger
    if threshold is not None:
        trigger = replace(trigger, threshold=threshold)
    source = "calibrated" if threshold is None else "given"
    trained_on = frozenset(about.get("data", {}).get("recordings", "").split())
    return Model(path, chosen.name, scorer, trigger, source, trained_on, chosen.phrases, chosen.column, runs)


def _open_run(path: Path) -> tuple[list[Word], Mapping[str, Any], Scorer]:
    from speechtl.audio.network.model import scorer_of  # a bundle needs no PyTorch, which takes 200 MB
    from speechtl.audio.run import load_run

    run = load_run(path)
    run.network.to_accelerator()
    return [Word(run.name, tuple(run.about["phrases"]), run.trigger)], run.about, scorer_of(run.network)


def _index(path: Path, names: Sequence[str], word: str | None) -> int:
    if word is None and len(names) > 1:
        raise BundleError(f"{path} has several words; say which to evaluate with --word: {', '.join(names)}.")
    if word is not None and word not in names:
        raise BundleError(no_word(path, word, names))
    return names.index(word) if word else 0
