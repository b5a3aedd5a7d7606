"""The latency harness: what a bundle costs on this machine, as a report that can be compared with another machine's.

Every machine is given the same, made by seed: audio in chunks of 80 ms to a bundle of wake words, pictures to one for pictures, as
fast as it takes them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from speechtl.bench import detection
from speechtl.bench.measures import Json
from speechtl.bench.report import KIND, SCHEMA
from speechtl.bench.stimulus import Spoken
from speechtl.errors import SpeechtlError
from speechtl.progress import Advance
from speechtl.runtime.bundle.archive import PICTURE_KIND, bundle_kind
from speechtl.runtime.bundle.wake_word import Bundle, open_bundle
from speechtl.runtime.machine import PACKAGES, read_condition, read_machine
from speechtl.versions import versions

if TYPE_CHECKING:
    from speechtl.runtime.bundle.pictures import PictureBundle

REPETITIONS = 5


def bench(
    path: Path,
    *,
    graph: str | None = None,
    engine: str | None = None,
    repetitions: int = REPETITIONS,
    words: Sequence[Spoken] | None = None,
    words_from: str = "the golden audio (synthesised voices)",
    python: Sequence[str] = (sys.executable,),
    progress: Advance = lambda _done, _total: None,
) -> Json:
    """Measure a bundle here and return the report as JSON stores it.

    `graph` and `engine` choose as `Detector.open` does. `words` are recordings of the word to measure the detection delay with, in place of
    those of the bundle's golden audio; `words_from` says where they come from. `python` is the command that starts a fresh Python.
    Raises `BundleError` for what cannot be opened, `SpeechtlError` where words are given for pictures, and `WorkerError` where no fresh
    process can be measured.
    """
    if repetitions < 1:
        raise SpeechtlError(f"There must be at least 1 repetition; got {repetitions}.")
    if words is not None:
        check_hears(path)
    bundle = open_any_bundle(path)
    machine, before = read_machine(), read_condition()
    if isinstance(bundle, Bundle):
        measured = detection.measure(bundle, graph, engine, repetitions, python, progress, words, words_from)
    else:
        from speechtl.bench import prediction

        measured = prediction.measure(bundle, graph, engine, repetitions, python, progress)
    return {
        "kind": KIND,
        "schema": SCHEMA,
        "made": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": machine.to_json(),
        "condition": {"before": before.to_json(), "after": read_condition().to_json()},
        "versions": versions(PACKAGES),
        "repetitions": repetitions,
        **measured,
    }


def open_any_bundle(path: Path) -> Bundle | PictureBundle:
    """Read and check a bundle of any kind that can be measured."""
    if bundle_kind(path) != PICTURE_KIND:
        return open_bundle(path)

    from speechtl.runtime.bundle.pictures import open_picture_bundle

    return open_picture_bundle(path)


def check_hears(path: Path) -> None:
    """Raise `SpeechtlError` for a bundle that recordings mean nothing to."""
    if bundle_kind(path) == PICTURE_KIND:
        raise SpeechtlError(f"{path} is a bundle for pictures; leave out --positives and --split, which choose recordings of a word.")
