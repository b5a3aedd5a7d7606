"""Repeat the evaluation of a report, on the same model and recordings, and compare the results."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from speechtl.audio.evaluation.evaluate import Evaluation, Prepared, listen_to
from speechtl.audio.evaluation.hours.negatives import Machines
from speechtl.audio.evaluation.material import Plan
from speechtl.audio.evaluation.model import Model, open_model
from speechtl.audio.evidence.report_file import PATHS, read_report
from speechtl.audio.evidence.statement import model_hash
from speechtl.errors import CheckFailedError, SpeechtlError
from speechtl.progress import Log
from speechtl.runtime import ready
from speechtl.text import counted, first_few

RESULTS = ("name", "split", "threshold", "detector", "positives", "negatives", "delay_ms", "det", "slices", "missed", "false_accepts")
ROUNDING = 1e-6  # relative; absolute below 1
SHOWN = 20  # rows of the table

Difference = tuple[str, str, str]  # what differs, in the report, and now
File = tuple[str, str, str]  # the name of a manifest or folder, of a recording in it, and its hash


@dataclass(frozen=True)
class Repetition:
    """An evaluation that was run again, and what differs from its report."""

    path: Path
    evaluation: Evaluation
    differences: list[Difference]
    elsewhere: list[str]  # what differs in versions and machine, as sentences

    def to_json(self) -> dict[str, Any]:
        """The comparison and the new report."""
        rows = [dict(zip(("what", "before", "now"), row, strict=True)) for row in self.differences]
        return {"repeats": str(self.path), "same": not rows, "differences": rows, "notes": self.elsewhere, "report": self.evaluation.report}

    def check(self) -> None:
        """Raise `CheckFailedError` if a result changed."""
        if self.differences:
            raise CheckFailedError(f"{self.path} was not repeated: {counted(len(self.differences), 'result')} changed.")

    def __str__(self) -> str:
        """The outcome, with a table of what differs."""
        if not self.differences:
            return "\n".join(
                [f"{self.path} is repeated: every count and rate, every slice, miss and false accept is the same.", *self.elsewhere]
            )
        rows = [("", "in the report", "now"), *self.differences[:SHOWN]]
        widths = [max(len(row[column]) for row in rows) for column in range(2)]
        lines = [f"  {what:<{widths[0]}}  {before:<{widths[1]}}  {now}" for what, before, now in rows]
        more = len(self.differences) - SHOWN
        rest = [f"  and {more:,} more"] if more > 0 else []
        return "\n".join([f"{counted(len(self.differences), 'result')} of {self.path} changed:", *lines, *rest, *self.elsewhere])


def repeat(path: Path, model: Path | None, note: Log, machines: Machines | None = None) -> Repetition:
    """Run the evaluation of a report again; `model` is the place of its bundle or run, if it is elsewhere now.

    Raises `SpeechtlError` for a report of another schema, and where the model or a recording is gone or has changed.
    """
    before = read_report(path)
    stated = before["statement"]
    folders = [Path(), Path(stated["folder"]), path.parent]
    opened = _open(before, model or _found_model(before["model"], folders, path), path)
    plan = _plan(stated["plan"], folders, path)
    done = listen_to(opened, plan, note, [partial(_check_files, stated["sources"], path)], machines)
    return Repetition(path, done, differences(before, done.report), _elsewhere(stated, done.report["statement"]))


def _found_model(given: str, folders: Sequence[Path], report: Path) -> Path:
    """The bundle or run of a report, or its ready word."""
    return Path(given) if given in ready.names() else _found(given, folders, report)


def _found(given: str, folders: Sequence[Path], report: Path) -> Path:
    """A path of a report: from the working directory, from where the report was made, or beside the report."""
    places = [*(folder / given for folder in folders), report.parent / Path(given).name]
    found = next((place for place in places if place.exists()), None)
    if found is None:
        where = ", ".join(dict.fromkeys(str(place.absolute()) for place in places))
        raise SpeechtlError(f"{given}, which {report} was made with, is gone; looked for {where}. Run the command where it is.")
    return found


def _open(before: Mapping[str, Any], path: Path, report: Path) -> Model:
    """The model of a report, at its threshold and on its graph and runtime."""
    threshold = before["threshold"] if before["threshold_source"] == "given" else None
    if not path.is_dir():
        _check_model(before, path, report)
        graph, _, engine = (before["graph"] or "").rpartition(" in ")
        return open_model(path, threshold, word=before["name"], graph=graph or None, engine=engine or None)
    run = open_model(path, threshold)
    _check_model(before, path, report)
    return run


def _check_model(before: Mapping[str, Any], path: Path, report: Path) -> None:
    if model_hash(path) != before["statement"]["model_sha256"]:
        raise SpeechtlError(f"{path} is not the model of {report}: its SHA-256 is another one. Give the {before['model']} of that report.")


def _plan(stated: Mapping[str, Any], folders: Sequence[Path], report: Path) -> Plan:
    paths = {key: [_found(given, folders, report) for given in stated[key]] for key in PATHS}
    return Plan(**{**stated, **paths})


def _check_files(stated: Sequence[Mapping[str, Any]], report: Path, prepared: Prepared) -> None:
    """Raise `SpeechtlError` unless exactly the recordings of a report will be played."""
    before, now = _files(stated), _files(prepared.statement["sources"])
    gone, new = before - now, now - before
    changed = {one[:2] for one in gone} & {one[:2] for one in new}
    problems = {
        "gone": [one[:2] for one in gone if one[:2] not in changed],
        "changed": sorted(changed),
        "added": [one[:2] for one in new if one[:2] not in changed],
    }
    sentences = [
        f"{counted(len(files), 'recording')} {'is' if len(files) == 1 else 'are'} {what}: {', '.join(first_few(_names(files), 3))}"
        for what, files in problems.items()
        if files
    ]
    if sentences:
        raise SpeechtlError(f"{report} cannot be repeated, because its recordings are not the same any more: {'; '.join(sentences)}.")


def _files(sources: Sequence[Mapping[str, Any]]) -> Counter[File]:
    return Counter((Path(one["source"]).name, file, digest) for one in sources for file, digest in one["files"].items())


def _names(files: Sequence[tuple[str, str]]) -> list[str]:
    return sorted(f"{file} of {source}" for source, file in files)


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[Difference]:
    """The results of two reports that differ beyond rounding."""
    return [row for key in RESULTS for row in _compare(key, _keyed(key, before[key]), _keyed(key, now[key]))]


def _keyed(key: str, value: Any) -> Any:
    """Lists whose entries have names, as dictionaries: a missing entry does not make all others differ."""
    if key == "slices":
        return {f"{part['kind']} {part['name']}": part for part in value}
    if key in ("missed", "false_accepts"):
        return {f"{moment['file']} at {moment['time']} s": "listed" for moment in value}
    if key == "det":
        return {f"threshold {row[0]}": {"recall": row[1], "per_hour": row[2]} for row in value}
    return value


def _compare(what: str, before: Any, now: Any) -> Iterator[Difference]:
    if isinstance(before, dict) and isinstance(now, dict):
        for key in dict.fromkeys([*before, *now]):
            yield from _compare(f"{what}, {key}", before.get(key), now.get(key))
    elif not _same(before, now):
        yield what, _text(before), _text(now)


def _same(before: Any, now: Any) -> bool:
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (before, now))
    return math.isclose(before, now, rel_tol=ROUNDING, abs_tol=ROUNDING) if numbers else bool(before == now)


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, dict):
        return "there"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _elsewhere(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What the two evaluations ran on, where that differs."""
    changed = [
        f"{package} {before['versions'].get(package, 'absent')}, here {now['versions'].get(package, 'absent')}"
        for package in dict.fromkeys([*before["versions"], *now["versions"]])
        if before["versions"].get(package) != now["versions"].get(package)
    ]
    notes = [f"The report was made with {'; '.join(changed)}."] if changed else []
    processors = [stated["machine"].get("processor") for stated in (before, now)]
    if processors[0] != processors[1]:
        notes.append(f"The report was made on {processors[0]}; this is {processors[1]}.")
    if before["seeds"] != now["seeds"]:
        notes.append("This speechtl has other seeds, so words meet other noise.")
    hashes = [{Path(one["source"]).name: one["sha256"] for one in stated["sources"]} for stated in (before, now)]
    if edited := [name for name, digest in hashes[0].items() if digest and digest != hashes[1].get(name)]:
        notes.append(f"Edited since, with the same recordings: {', '.join(first_few(edited, 3))}.")
    return notes
