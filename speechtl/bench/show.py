"""Reports of the latency harness for people: drawn tables on a terminal, Markdown elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Any

from speechtl.bench.compare import Comparison, conditions
from speechtl.bench.measures import DETECTION, PREDICTION
from speechtl.bench.pictures import SIZES
from speechtl.bench.report import Report
from speechtl.bench.summary import RANKS
from speechtl.console import measurement_table, plain_console
from speechtl.text import one_line

Json = dict[str, Any]


@dataclass(frozen=True)
class Layout:
    """How a report on one kind of bundle is told: rows of a table, by what they are called, and sentences below it."""

    stage: str
    cpu: str  # name of the processor time that rows have
    cpu_unit: str
    rows: dict[str, tuple[str, ...]]
    sentences: Callable[[Json], list[str]]


def print_report(report: Json) -> None:
    """Print one report."""
    console = plain_console()
    bundle = report["bundle"]
    layout = LAYOUTS[bundle.get("kind", DETECTION.kind)]
    console.print(one_line(f"{bundle['file']}, {bundle['graph']} in {bundle['engine']}, {describe_machine(report)}"))
    table = measurement_table(layout.stage, *(f"{rank}, ms" for rank in RANKS), f"CPU, {layout.cpu_unit}")
    for name, where in layout.rows.items():
        told = reduce(lambda part, key: part[key], where, report)
        table.add_row(name, *(f"{told['wall_ms'][rank]:.3f}" for rank in RANKS), f"{told[layout.cpu]:.2f}")
    console.print(table)
    for line in (*layout.sentences(report), *(f"Mind: {note}" for note in conditions(report))):
        console.print(one_line(line))


def print_comparison(comparison: Comparison) -> None:
    """Print two reports beside each other, the drift between them, and which budgets they keep."""
    console = plain_console()
    for letter, report in zip("AB", comparison.reports, strict=True):
        bundle = report.bundle
        console.print(
            one_line(
                f"{letter}: {report.path}, {bundle['name']} {bundle['graph']} in {bundle['engine']}, {describe_machine(report.document)}"
            )
        )
    table = measurement_table("measure", "A", "B", "B / A", "unit")
    measures = comparison.form.measures
    for name, measure in measures.items():
        ratio = comparison.ratio(name)
        values = (_value(report.values[name]) for report in comparison.reports)
        table.add_row(name, *values, "-" if ratio is None else f"{ratio:.2f}", measure.unit)
    console.print(table)
    console.print(one_line(describe_drift(comparison)))
    for verdict in comparison.verdicts:
        budget, letter = verdict.budget, "AB"[verdict.report]
        word = "ok" if verdict.ok else "BROKEN"
        console.print(
            one_line(
                f"{word}: {letter} {budget.measure} {_value(verdict.value)}, at most {budget.at_most:g} {measures[budget.measure].unit}"
            )
        )
    for note in comparison.notes:
        console.print(one_line(f"Mind: {note}"))


def describe_machine(report: Json) -> str:
    """Return a machine in a line: what it is, and how it was doing behind the measurement."""
    machine, after = report["machine"], report["condition"]["after"]
    clock, warmth = after.get("clock_mhz"), after.get("temperature_celsius")
    parts = [
        machine.get("model") or machine["processor"],
        f"{machine['cores']} cores",
        f"governor {machine['governor']}" if machine["governor"] else None,
        f"{clock:.0f} MHz" if clock else None,
        f"{warmth:.0f} °C" if warmth else None,
        f"load {after['load']}" if after["load"] is not None else None,
    ]
    return ", ".join(part for part in parts if part)


def describe_drift(comparison: Comparison) -> str:
    """Return in a sentence how far the scores of two machines are apart."""
    drift = comparison.drift
    if drift.largest is None:
        return f"Scores were not compared: {drift.reason}."
    if drift.identical:
        return "Scores are the same, bit for bit."
    allowed = f"{drift.tolerance:.0e} allowed: {'ok' if drift.ok else 'FAILED'}" if drift.tolerance is not None else drift.reason
    return f"Scores differ by at most {drift.largest:.1e}; {allowed}."


def label(report: Report) -> str:
    """Return what a picture calls a report."""
    machine = report.document["machine"]
    return f"{report.path.stem}: {report.bundle['name']}, {machine.get('model') or machine['processor']}"


def _detection(report: Json) -> list[str]:
    process, deadlines = report["process"], report["deadlines"]
    return [
        f"Whole process at 16 kHz: {process['cpu_ms_per_second']:.2f} ms CPU per second of audio, {process['peak_mb']:.1f} MB at most, "
        f"{process['start_seconds']:.3f} s from its creation until it can detect ({process['start_cpu_seconds']:.3f} s CPU). "
        f"Medians of {report['repetitions']}.",
        f"Real-time factor {report['real_time_factor']:.4f}; {deadlines['missed']} of {deadlines['chunks']} chunks took longer than 80 ms.",
        _delay(report["delay"]),
    ]


def _delay(delay: Json) -> str:
    if delay["reason"]:
        return f"Detection delay: not measured; {delay['reason']}."
    ms, decided = delay["ms"], delay["decision_ms"]
    return (
        f"From the end of the word to the event: {ms['p50']:.0f} ms (p95 {ms['p95']:.0f}, max {ms['max']:.0f}), "
        f"of which the decision needs {decided['p50']:.0f}; {delay['detected']} of {delay['words']} words of {delay['from']} detected."
    )


def _prediction(report: Json) -> list[str]:
    process = report["process"]
    return [
        f"Whole process: {process['cpu_ms_per_picture']:.2f} ms CPU per picture, {process['peak_mb']:.1f} MB at most, "
        f"{process['start_seconds']:.3f} s from its creation to its first answer ({process['start_cpu_seconds']:.3f} s CPU). "
        f"Medians of {report['repetitions']}.",
        f"{report['pictures_per_second']:.1f} pictures per second, as many of each size. Their files are not compressed: "
        "unpacking a JPEG comes on top.",
    ]


LAYOUTS = {
    DETECTION.kind: Layout(
        "stage, of each 80 ms",
        "cpu_ms_per_second",
        "ms per s",
        {
            "resample from 48 kHz": ("stages", "resample"),
            "log-mel features": ("stages", "features"),
            "encoder and head": ("stages", "network"),
            "detector": ("stages", "detector"),
            "all of a chunk": ("chunk",),
        },
        _detection,
    ),
    PREDICTION.kind: Layout(
        "stage, of each picture",
        "cpu_ms_per_picture",
        "ms",
        {
            "read and resize": ("stages", "prepare"),
            **{f"- {size.replace('x', ' × ')}": ("prepare_by_size", size) for size in SIZES},
            "network": ("stages", "network"),
            "all of a picture": ("picture",),
        },
        _prediction,
    ),
}


def _value(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}" if value >= 100 else f"{value:.3g}"
