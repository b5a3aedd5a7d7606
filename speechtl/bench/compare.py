"""Compare two benchmark reports: ratios, score drift between machines, and budgets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from speechtl.bench.measures import COSTS, DETECTION, FORMS, ReportForm
from speechtl.bench.report import MAX_VALUE, SCHEMA, BenchReport, conditions
from speechtl.errors import SpeechtlError, did_you_mean
from speechtl.runtime.samples import Json
from speechtl.toml_files import read_tables

MIN_DIVISOR = 1e-12  # smaller measures give no ratio


@dataclass(frozen=True)
class Budget:
    """Upper limit of a measure, for bundles that match `kind`, `encoder`, `engine`, `precision` and `graph` where given."""

    measure: str
    at_most: float
    kind: str | None = None
    encoder: str | None = None
    engine: str | None = None
    precision: str | None = None
    graph: str | None = None

    def applies(self, report: BenchReport) -> bool:
        """Whether the budget applies to a report."""
        wanted = {key: value for key, value in asdict(self).items() if key not in ("measure", "at_most") and value is not None}
        about = {**report.bundle, "kind": report.form.kind}
        return self.measure in report.values and all(about.get(key) == value for key, value in wanted.items())


@dataclass(frozen=True)
class Verdict:
    """Whether report 0 or 1 keeps a budget; a `value` of None was not measured and does not pass."""

    report: int
    budget: Budget
    value: float | None
    ok: bool


@dataclass(frozen=True)
class Drift:
    """The largest difference of scores between two machines; `tolerance` is None if the graphs differ."""

    largest: float | None
    identical: bool
    tolerance: float | None
    reason: str | None = None

    @property
    def ok(self) -> bool:
        """Whether the machines agree within the tolerance."""
        return self.tolerance is None or (self.largest is not None and self.largest <= self.tolerance)


@dataclass(frozen=True)
class Comparison:
    """Comparison of two reports."""

    reports: tuple[BenchReport, BenchReport]
    drift: Drift
    verdicts: list[Verdict]
    notes: list[str]

    @property
    def form(self) -> ReportForm:
        """Content of both reports."""
        return self.reports[0].form

    @property
    def ok(self) -> bool:
        """Whether scores agree and all budgets are kept."""
        return self.drift.ok and all(verdict.ok for verdict in self.verdicts)

    def ratio(self, measure: str) -> float | None:
        """Value of the second report divided by that of the first."""
        first, second = (report.values[measure] for report in self.reports)
        return second / first if first and second is not None and abs(first) >= MIN_DIVISOR else None

    def to_json(self) -> Json:
        """The comparison as JSON."""
        return {
            "schema": SCHEMA,
            "reports": [
                {"file": str(report.path), "bundle": report.bundle, "machine": report.document["machine"]} for report in self.reports
            ],
            "measures": {
                name: {"values": [report.values[name] for report in self.reports], "ratio": self.ratio(name)} for name in self.form.measures
            },
            "drift": {**asdict(self.drift), "ok": self.drift.ok},
            "budgets": [asdict(verdict) for verdict in self.verdicts],
            "notes": self.notes,
            "ok": self.ok,
        }


def compare(first: BenchReport, second: BenchReport, budgets: Sequence[Budget] = ()) -> Comparison:
    """Compare two reports; raise `SpeechtlError` if they are of different kinds, or no budget applies to either."""
    reports = (first, second)
    if first.form != second.form:
        raise SpeechtlError(
            f"{first.path} measures a bundle of kind {first.form.kind!r} and {second.path} one of kind {second.form.kind!r}; "
            "compare two reports of the same kind."
        )
    verdicts = [
        Verdict(index, budget, value := report.values[budget.measure], value is not None and value <= budget.at_most)
        for budget in budgets
        for index, report in enumerate(reports)
        if budget.applies(report)
    ]
    if budgets and not verdicts:
        raise SpeechtlError(
            "None of the budgets applies to these reports; they name another measure, kind, encoder, engine, precision or graph."
        )
    return Comparison(reports, _drift(first, second), verdicts, _notes(reports))


def read_budgets(path: Path) -> list[Budget]:
    """Read budgets (TOML: `[[budget]]` with `measure`, `at_most` and conditions); raise `SpeechtlError` for mistakes."""
    entries = read_tables(path, "a file of budgets", "budget")
    return [_budget(entry, f"{path}, budget {number}") for number, entry in enumerate(entries, 1)]


def _budget(entry: Any, where: str) -> Budget:
    if not isinstance(entry, dict):
        raise SpeechtlError(f"{where}: must be a table with 'measure' and 'at_most'; got {entry!r}.")
    known = list(Budget.__dataclass_fields__)
    unknown = [key for key in entry if key not in known]
    if unknown:
        raise SpeechtlError(f"{where}: the key {unknown[0]!r} is not known{did_you_mean(unknown[0], known)}.")
    measure, at_most = entry.get("measure"), entry.get("at_most")
    if measure not in COSTS:
        raise SpeechtlError(
            f"{where}: 'measure' must be one of those that speechtl bench compare A.json B.json prints; "
            f"got {measure!r}{did_you_mean(str(measure), COSTS)}."
        )
    if not isinstance(at_most, int | float) or isinstance(at_most, bool) or not 0 <= at_most <= MAX_VALUE:
        raise SpeechtlError(f"{where}: 'at_most' must be a number, 0 or more; got {at_most!r}.")
    conditions = {key: value for key, value in entry.items() if key not in ("measure", "at_most")}
    wrong = [key for key, value in conditions.items() if not isinstance(value, str)]
    if wrong:
        raise SpeechtlError(f"{where}: {wrong[0]!r} must be text; got {conditions[wrong[0]]!r}.")
    kind = conditions.get("kind")
    if kind not in (None, *FORMS):
        raise SpeechtlError(f"{where}: 'kind' must be one of {', '.join(FORMS)}; got {kind!r}{did_you_mean(str(kind), FORMS)}.")
    return Budget(measure, float(at_most), **conditions)


def _drift(first: BenchReport, second: BenchReport) -> Drift:
    a, b = first.document, second.document
    if a["bundle"]["sha256"] != b["bundle"]["sha256"]:
        return Drift(None, False, None, "the reports are of different bundles")
    same_graph = a["bundle"]["graph"] == b["bundle"]["graph"]
    tolerance = float(a["bundle"]["tolerance"]) if same_graph else None
    given = first.form.given
    if a[given]["sha256"] != b[given]["sha256"]:
        return Drift(
            None, False, tolerance, f"the machines made different {given}; run bench again with the same version of speechtl on both"
        )
    if np.shape(first.scores) != np.shape(second.scores):
        return Drift(None, False, tolerance, "the machines gave different numbers of scores")
    largest = float(np.abs(np.subtract(first.scores, second.scores)).max())
    return Drift(largest, a["scores"]["sha256"] == b["scores"]["sha256"], tolerance, None if same_graph else "different graphs")


def _notes(reports: Sequence[BenchReport]) -> list[str]:
    notes = []
    for report in reports:
        notes += [f"{report.path}: {note}" for note in conditions(report.document)]
        if report.document["scores"].get("repeatable") is False:
            notes.append(f"{report.path}: the same {report.form.given} gave different scores in different passes.")
        if report.form == DETECTION and report.values["delay_p95_ms"] is None:
            notes.append(f"{report.path}: no detection delay: {report.document['delay'].get('reason')}.")
    first, second = (report.document["versions"] for report in reports)
    other = sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name))
    if other:
        notes.append(
            "Versions differ: " + ", ".join(f"{name} {first.get(name, 'absent')} and {second.get(name, 'absent')}" for name in other) + "."
        )
    return notes
