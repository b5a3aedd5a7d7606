"""Floors and ceilings that an evaluation has to keep, from a TOML file.

[[require]]                    # all words, all negatives
measure = "recall"
at_least = 0.95

[[require]]                    # every kind of sound; with `name`, only that one
kind = "sound"
measure = "per_hour_high"      # the upper limit, not only what was counted
at_most = 0.5
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speechtl.audio.evidence.slices import KINDS, OF_WORDS
from speechtl.errors import CheckFailedError, SpeechtlError, did_you_mean
from speechtl.progress import Log
from speechtl.text import are, counted, first_few
from speechtl.toml_files import read_tables

OVERALL = "overall"
FLOOR, CEILING = "at_least", "at_most"
WORDS = {  # measures of slices of the word, with what they are
    "recall": "recall",
    "recall_low": "lower limit of recall",
    "clips": "words",
    "delay_ms_p50": "median of the delay",
    "delay_ms_p95": "95 % of the delays",
}
RATES = {  # of negatives
    "per_hour": "false accepts per hour",
    "per_hour_high": "upper limit of false accepts per hour",
    "events": "false accepts",
    "hours": "hours",
}
MEASURES = WORDS | RATES
FLOORS = ("recall", "recall_low", "clips", "hours")  # the more, the better; the others have ceilings
PROPORTIONS = ("recall", "recall_low")
DELAYS = {"delay_ms_p50": "p50", "delay_ms_p95": "p95"}
MOST = 1e9


@dataclass(frozen=True)
class Requirement:
    """A floor or a ceiling of a measure: of all that was played, of every slice of a kind, or of one slice."""

    where: str  # for errors: the file and the number
    measure: str
    limit: float
    kind: str | None = None
    name: str | None = None

    @property
    def floor(self) -> bool:
        """Whether the limit is a floor."""
        return self.measure in FLOORS


def read_requirements(path: Path) -> list[Requirement]:
    """The requirements of a TOML file; raises `SpeechtlError` for mistakes."""
    entries = read_tables(path, "a file of requirements", "require")
    return [_requirement(entry, f"{path}, requirement {number}") for number, entry in enumerate(entries, 1)]


def _requirement(entry: Any, where: str) -> Requirement:
    if not isinstance(entry, dict):
        raise SpeechtlError(f"{where}: must be a table with 'measure' and '{FLOOR}' or '{CEILING}'; got {entry!r}.")
    known = ("measure", FLOOR, CEILING, "kind", "name")
    if unknown := [key for key in entry if key not in known]:
        raise SpeechtlError(
            f"{where}: the key {unknown[0]!r} is not known{did_you_mean(unknown[0], known)}; known here: {', '.join(known)}."
        )
    measure, kind, name = entry.get("measure"), entry.get("kind"), entry.get("name")
    if not isinstance(measure, str) or measure not in MEASURES:
        raise SpeechtlError(
            f"{where}: 'measure' must be one of {', '.join(MEASURES)}; got {measure!r}{did_you_mean(str(measure), MEASURES)}."
        )
    if kind is not None and kind not in KINDS:
        raise SpeechtlError(f"{where}: 'kind' must be one of {', '.join(KINDS)}; got {kind!r}{did_you_mean(str(kind), KINDS)}.")
    if name is not None and (kind is None or not isinstance(name, str)):
        raise SpeechtlError(f"{where}: 'name' must be the text that names a slice of a 'kind'; got {name!r}.")
    if kind is not None and measure not in (WORDS if kind in OF_WORDS else RATES):
        fitting = ", ".join(WORDS if kind in OF_WORDS else RATES)
        raise SpeechtlError(f"{where}: slices of kind {kind!r} have no {measure}; take one of: {fitting}.")
    return Requirement(where, measure, _limit(entry, measure, where), kind, name)


def _limit(entry: Mapping[str, Any], measure: str, where: str) -> float:
    right, wrong = (FLOOR, CEILING) if measure in FLOORS else (CEILING, FLOOR)
    value = entry.get(right)
    most = 1.0 if measure in PROPORTIONS else MOST
    if wrong in entry or right not in entry:
        raise SpeechtlError(f"{where}: {measure} needs '{right}'{f', not {wrong!r}' if wrong in entry else ''}.")
    least = -MOST if measure in DELAYS else 0.0
    if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= most:
        span = "a proportion from 0 to 1" if measure in PROPORTIONS else "a number of milliseconds" if measure in DELAYS else "0 or more"
        raise SpeechtlError(f"{where}: '{right}' of {measure} must be {span}; got {value!r}.")
    return float(value)


def check_names(requirements: Sequence[Requirement], slices: Mapping[str, Sequence[str]]) -> None:
    """Raise `SpeechtlError` for a requirement on a slice that an evaluation with these `slices` will not have."""
    for one in requirements:
        names = slices.get(one.kind or "", ())
        if one.kind is not None and not names:
            told = f"; it has slices of {', '.join(slices)}"
            raise SpeechtlError(f"{one.where}: this evaluation will have no slice of kind {one.kind!r}{told}.")
        if one.name is not None and one.name not in names:
            listed = ", ".join(first_few(sorted(names)))
            raise SpeechtlError(
                f"{one.where}: this evaluation will have no {one.kind} {one.name!r}{did_you_mean(one.name, names)}; it will have: {listed}."
            )


@dataclass(frozen=True)
class Verdict:
    """Whether a slice keeps a requirement; a `value` of None could not be measured and does not pass."""

    requirement: Requirement
    part: Mapping[str, Any]
    value: float | None
    ok: bool

    @property
    def slice(self) -> str:
        """The slice, as in "speaker Ann"."""
        kind = self.requirement.kind
        return f"{kind} {self.part['name']}" if kind else OVERALL

    def to_json(self) -> dict[str, Any]:
        """The verdict, as reports store it."""
        one = self.requirement
        limit = FLOOR if one.floor else CEILING
        name = self.part["name"] if one.kind else None
        return {"kind": one.kind, "name": name, "measure": one.measure, limit: one.limit, "value": self.value, "ok": self.ok}

    def __str__(self) -> str:
        """What was found, against what is required."""
        one = self.requirement
        required = f"{shown(one.measure, one.limit)} {'at least' if one.floor else 'at most'}"
        if self.value is None:
            why = "no word was detected" if "recall" in self.part else "nothing of it was played"
            return f"{self.slice}: {MEASURES[one.measure]} unknown, because {why}; required: {required}"
        apart = _difference(one.measure, abs(self.value - one.limit))
        by = "" if self.ok else f", {apart} too {'low' if one.floor else 'high'}"
        return f"{self.slice}: {MEASURES[one.measure]} {shown(one.measure, self.value)}{by}; required: {required} ({_counts(self.part)})"


def judge(requirements: Sequence[Requirement], report: Mapping[str, Any]) -> list[Verdict]:
    """Each requirement held against each slice that it is about; one about nothing that was played does not pass."""
    verdicts = []
    for one in requirements:
        parts = list(_parts(one, report))
        verdicts += [_verdict(one, part) for part in parts] or [Verdict(one, {"name": one.name or "of any name"}, None, ok=False)]
    return verdicts


def check_verdicts(verdicts: Sequence[Verdict], note: Log) -> None:
    """Note every requirement that is not met; raises `CheckFailedError` if there is one."""
    failed = [verdict for verdict in verdicts if not verdict.ok]
    for verdict in failed:
        note(f"Not met: {verdict}.")
    if failed:
        raise CheckFailedError(f"{len(failed)} of {counted(len(verdicts), 'requirement')} {are(len(failed))} not met.")


def _parts(one: Requirement, report: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if one.kind is None:
        yield {**report["positives"], "delay_ms": report["delay_ms"]} if one.measure in WORDS else report["negatives"]
    yield from (part for part in report["slices"] if part["kind"] == one.kind and one.name in (None, part["name"]))


def _verdict(one: Requirement, part: Mapping[str, Any]) -> Verdict:
    value = part["delay_ms"][DELAYS[one.measure]] if one.measure in DELAYS else part[one.measure]
    ok = value is not None and (value >= one.limit if one.floor else value <= one.limit)
    return Verdict(one, part, value, ok)


def shown(measure: str, value: float) -> str:
    """A value of a measure, for people."""
    if measure in PROPORTIONS:
        return f"{100 * value:.1f} %"
    return f"{value:.0f} ms" if measure in DELAYS else f"{value:.4g}"


def _difference(measure: str, value: float) -> str:
    return f"{100 * value:.1f} points" if measure in PROPORTIONS else shown(measure, value)


def _counts(part: Mapping[str, Any]) -> str:
    """The counts behind a slice, with their limits."""
    if "recall" in part:
        limits = f"{100 * part['recall_low']:.1f} to {100 * part['recall_high']:.1f} %"
        return f"{part['detected']} of {part['clips']}, 95 % limits {limits}"
    return f"{part['events']} in {part['hours']:.2f} h, at most {part['per_hour_high']:.2f} per hour with 95 % confidence"
