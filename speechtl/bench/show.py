"""Reports and comparisons for people: tables on a terminal, Markdown elsewhere, and a plot of two reports."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

from speechtl.bench.compare import Comparison
from speechtl.bench.measures import DETECTION, PICTURE_STAGES, PREDICTION, RANKS
from speechtl.bench.report import BenchReport, conditions
from speechtl.bench.stimulus import PICTURE_SIZES
from speechtl.bench.stopwatch import STAGES
from speechtl.console import measurement_table, plain_console
from speechtl.errors import MissingExtraError, SpeechtlError
from speechtl.files import writing
from speechtl.runtime.samples import Json
from speechtl.text import one_line, picture_text

FORMATS = ("png", "svg", "pdf")
COLOURS = ("#3b6ea5", "#d08a2e")
BAR_WIDTH = 0.38  # two bars stand side by side


@dataclass(frozen=True)
class Layout:
    """Presentation of reports on one kind of bundle: labelled rows of a table, and sentences below it."""

    stage: str
    cpu: str  # key of the CPU time in each row
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
        times = reduce(lambda part, key: part[key], where, report)
        table.add_row(name, *(f"{times['wall_ms'][rank]:.3f}" for rank in RANKS), f"{times[layout.cpu]:.2f}")
    console.print(table)
    for line in (*layout.sentences(report), *(f"Note: {note}" for note in conditions(report))):
        console.print(one_line(line))


def print_comparison(comparison: Comparison) -> None:
    """Print two reports side by side, the drift between them, and the budgets."""
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
        console.print(one_line(f"Note: {note}"))


def describe_machine(report: Json) -> str:
    """A machine in one line: its model, and its condition after the measurement."""
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
    """A sentence about the difference between the scores of two machines."""
    drift = comparison.drift
    if drift.largest is None:
        return f"Scores were not compared: {drift.reason}."
    if drift.identical:
        return "Scores are the same, bit for bit."
    allowed = f"{drift.tolerance:.0e} allowed: {'ok' if drift.ok else 'FAILED'}" if drift.tolerance is not None else drift.reason
    return f"Scores differ by at most {drift.largest:.1e}; {allowed}."


def label(report: BenchReport) -> str:
    """Label of a report in a plot."""
    machine = report.document["machine"]
    return f"{report.path.stem}: {report.bundle['name']}, {machine.get('model') or machine['processor']}"


def _detection(report: Json) -> list[str]:
    process, deadlines = report["process"], report["deadlines"]
    return [
        f"Whole process at 16 kHz: {process['cpu_ms_per_second']:.2f} ms CPU per second of audio, {process['peak_mb']:.1f} MB at most, "
        f"{process['start_seconds']:.3f} s from start until it can detect ({process['start_cpu_seconds']:.3f} s CPU). "
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
        f"of which {decided['p50']:.0f} ms are needed to decide; {delay['detected']} of {delay['words']} words of {delay['from']} detected."
    )


def _prediction(report: Json) -> list[str]:
    process = report["process"]
    return [
        f"Whole process: {process['cpu_ms_per_picture']:.2f} ms CPU per picture, {process['peak_mb']:.1f} MB at most, "
        f"{process['start_seconds']:.3f} s from start to the first answer ({process['start_cpu_seconds']:.3f} s CPU). "
        f"Medians of {report['repetitions']}.",
        f"{report['pictures_per_second']:.1f} pictures per second, equally many of each size. The files are not compressed: "
        "decoding JPEG takes additional time.",
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
            **{f"- {size.replace('x', ' × ')}": ("prepare_by_size", size) for size in PICTURE_SIZES},
            "network": ("stages", "network"),
            "all of a picture": ("picture",),
        },
        _prediction,
    ),
}


def _value(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}" if value >= 100 else f"{value:.3g}"


@dataclass(frozen=True)
class Panel:
    """A panel of the plot: measures by their labels."""

    title: str
    measures: dict[str, str]
    scale: str = "linear"


PANELS = {
    DETECTION.kind: (
        Panel("CPU, ms per second of audio", {stage: f"{stage}_cpu_ms_per_second" for stage in STAGES}),
        Panel("time of an 80 ms chunk, ms", {rank: f"chunk_{rank}_ms" for rank in RANKS}, "log"),
        Panel("from the end of the word to the event, ms", {rank: f"delay_{rank}_ms" for rank in ("p50", "p95", "max")}),
    ),
    PREDICTION.kind: (
        Panel("CPU, ms per picture", {stage: f"{stage}_cpu_ms_per_picture" for stage in PICTURE_STAGES}),
        Panel("time of a picture, ms", {rank: f"picture_{rank}_ms" for rank in RANKS}, "log"),
        Panel("to read and resize, p50, ms", {size: f"prepare_{size}_p50_ms" for size in PICTURE_SIZES}),
    ),
}


def check_plot(target: Path) -> None:
    """Raise `SpeechtlError` if no plot can be drawn to `target`."""
    if target.suffix[1:].lower() not in FORMATS:
        raise SpeechtlError(f"The name of a plot must end in .{', .'.join(FORMATS)}; got {target.name}.")
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingExtraError("--plot", "train")


def draw(comparison: Comparison, target: Path) -> None:
    """Draw a comparison to a file."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4.2), layout="constrained")
    parts = figure.subplots(1, 3)
    for axes, panel in zip(parts, PANELS[comparison.form.kind], strict=True):
        _bars(axes, comparison, panel)
    handles, _ = parts[0].get_legend_handles_labels()
    figure.legend(handles, [picture_text(label(report)) for report in comparison.reports], loc="outside upper center", frameon=False)
    figure.supxlabel(picture_text(describe_drift(comparison)), fontsize="small")
    with writing(target) as beside:
        figure.savefig(beside, format=target.suffix[1:].lower(), dpi=150)


def _bars(axes: Any, comparison: Comparison, panel: Panel) -> None:
    """Draw the measures of both reports as bars side by side."""
    for index, (report, colour) in enumerate(zip(comparison.reports, COLOURS, strict=True)):
        places = [place + (index - 0.5) * BAR_WIDTH for place in range(len(panel.measures))]
        axes.bar(places, [report.values[measure] or 0.0 for measure in panel.measures.values()], BAR_WIDTH, color=colour, label=str(index))
    axes.set_xticks(range(len(panel.measures)), panel.measures)
    axes.set_yscale(panel.scale)
    axes.set_title(panel.title, fontsize="medium")
    axes.spines[["top", "right"]].set_visible(False)
