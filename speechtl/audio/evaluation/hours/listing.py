"""Which recordings are heard: the negatives of a plan that are here and new to the model, read line by line."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from speechtl.audio.data.clips import check_sources, read_clips
from speechtl.audio.data.folder import read_recording
from speechtl.audio.data.manifest import Clip, distinct, parse_entry
from speechtl.audio.data.recordings import Recording, are_missing, none_left
from speechtl.audio.evaluation.hours.listed import Listed
from speechtl.audio.evaluation.material import Paths, Plan, Sieve, people_known
from speechtl.audio.evaluation.model import Model
from speechtl.errors import ManifestError
from speechtl.files import sha256_of
from speechtl.progress import Log, progress
from speechtl.runtime.sound.files import readable
from speechtl.text import counted, decode, json_lines

LOOK_BYTES = 1 << 16  # at the beginning of a file, to tell what it is
MOST_PROBLEMS = 1000  # that are kept of a manifest in which every line is wrong


def list_negatives(path: Path, plan: Plan, model: Model, apart: Sequence[Recording], note: Log) -> Listed:
    """Write the negatives of a plan that are on this machine, and that the model was not trained on, into a file.

    Raises `ManifestError` if nothing is left.
    """
    known = people_known(each_clip(plan.negatives, note), model) if plan.strangers else set()
    sieve = Sieve(model, plan.others or plan.split, without=model.phrases, apart=apart, known=known)
    missing = Missing()
    listed = Listed(path)
    with progress("listing negatives"):
        clips = filter(sieve.keeps, each_clip(plan.negatives, note))
        listed.write(clip for clip in clips if missing.passes(clip))
    if not missing.looked_at:
        raise sieve.nothing_left(plan.negatives)
    sieve.report(note)
    missing.report(note, anything=len(listed) > 0)
    return listed


@dataclass
class Missing:
    """Recordings that are not on this machine: the first of each manifest, and their number."""

    looked_at: int = 0
    absent: dict[Path, tuple[Clip, int]] = field(default_factory=dict)

    def passes(self, clip: Clip) -> bool:
        """Count a clip; false if it is missing."""
        self.looked_at += 1
        if clip.path is None:
            first, number = self.absent.get(clip.manifest, (clip, 0))
            self.absent[clip.manifest] = first, number + 1
        return clip.path is not None

    def report(self, note: Log, *, anything: bool) -> None:
        """Note what is missing; raises `ManifestError` unless there is `anything` else."""
        reports = [are_missing(first, number) for first, number in self.absent.values()]
        if not anything:
            raise none_left(self.looked_at, next(iter(self.absent)), reports)
        for report in reports:
            note(f"Skipped: {report}")


def each_clip(paths: Paths, note: Log) -> Iterator[Clip]:
    """The clips of manifests, folders and single recordings in the order of `read_clips`; of JSON lines, one at a time."""
    check_sources(paths)
    recordings = [path for path in paths if path.suffix.lower() in readable() and path.is_file()]
    manifests = distinct(path for path in paths if not path.is_dir() and path not in recordings)
    for path in (*manifests, *(path for path in paths if path.is_dir())):
        yield from _lines(path) if path in manifests and _is_json_lines(path) else read_clips([path], note)
    yield from map(read_recording, recordings)


def _is_json_lines(path: Path) -> bool:
    """Whether a file certainly has one JSON object on every line; whatever else it may be is read as a whole."""
    try:
        with path.open("rb") as file:
            first = file.read(LOOK_BYTES).removeprefix(codecs.BOM_UTF8).lstrip().split(b"\n", 1)[0]
        return first.startswith(b"{") and "audio_filepath" in json.loads(first)
    except (OSError, ValueError, TypeError, RecursionError):
        return False


def _lines(path: Path) -> Iterator[Clip]:
    """The clips of JSON lines; raises `ManifestError` after the last line if any was wrong."""
    problems: list[str] = []
    wrong = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            found: list[str] = []
            for entry in _values(line, path, number, found):
                clip = parse_entry(entry, path, number, found)
                if clip is not None:
                    yield clip if clip.sha256 or clip.path is None else replace(clip, sha256=sha256_of(clip.path))
            wrong += len(found)
            problems += found[: MOST_PROBLEMS - len(problems)]
    if problems:
        raise ManifestError(f"{counted(wrong, 'problem')} in manifests:", problems)


def _values(line: bytes, path: Path, number: int, problems: list[str]) -> Iterator[Any]:
    """The value of a line, if it has one."""
    try:
        for _, entry in json_lines(decode(line)):
            yield entry
    except UnicodeDecodeError:
        problems.append(f"{path}:{number}: not text in UTF-8.")
