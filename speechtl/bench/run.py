"""The benchmark: measure a bundle on this machine, as a report that can be compared with other machines.

All machines get the same generated input, as fast as they process it: audio in chunks of 80 ms, or pictures.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from speechtl.bench import detection
from speechtl.bench.report import KIND, SCHEMA
from speechtl.bench.stimulus import Spoken
from speechtl.errors import SpeechtlError
from speechtl.progress import Advance
from speechtl.runtime.bundle.archive import PICTURE_KIND, bundle_kind
from speechtl.runtime.bundle.wake_word import Bundle, open_bundle
from speechtl.runtime.machine import PACKAGES, read_condition, read_machine
from speechtl.runtime.samples import Json
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
    """Measure a bundle on this machine; return the report.

    `graph` and `engine` choose as in `Detector.open`. The detection delay is measured with `words`, recordings from `words_from`, or with
    the golden audio of the bundle. `python` is the command that starts a new Python process. Raises `BundleError` for bundles that cannot
    be opened, `SpeechtlError` for words with a picture bundle, and `WorkerError` if a new process fails.
    """
    if repetitions < 1:
        raise SpeechtlError(f"There must be at least 1 repetition; got {repetitions}.")
    if words is not None:
        check_takes_audio(path)
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
    """Read and check a bundle of any kind."""
    if not _is_of_pictures(path):
        return open_bundle(path)

    from speechtl.runtime.bundle.pictures import open_picture_bundle

    return open_picture_bundle(path)


def check_takes_audio(path: Path) -> None:
    """Raise `SpeechtlError` for a picture bundle, for which recordings make no sense."""
    if _is_of_pictures(path):
        raise SpeechtlError(f"{path} is a bundle for pictures; leave out --positives and --split, which select recordings of a word.")


def _is_of_pictures(path: Path) -> bool:
    """Whether a bundle is for pictures; what is no file may be a ready word."""
    return os.path.lexists(path) and bundle_kind(path) == PICTURE_KIND
