"""Learning curves: how good each way to train is after how many examples; as CSV, table and picture."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speechtl.files import write_text, writing
from speechtl.statistics import mean_limits

INCHES = (7.0, 4.6)
DPI = 150


@dataclass(frozen=True)
class Point:
    """The result of one training."""

    way: str
    examples: int
    seed: int
    value: float


def summary(points: Sequence[Point]) -> list[tuple[str, int, float, float, float]]:
    """Return `(way, examples, mean, low, high)` over the seeds, in the order in which the ways came; limits are NaN for one seed."""
    ways = list(dict.fromkeys(point.way for point in points))
    rows = []
    for way in ways:
        for examples in sorted({point.examples for point in points if point.way == way}):
            values = [point.value for point in points if (point.way, point.examples) == (way, examples) and not math.isnan(point.value)]
            rows.append((way, examples, float(np.mean(values)) if values else math.nan, *mean_limits(values)))
    return rows


def write_points(path: Path, points: Sequence[Point], measure: str) -> None:
    """Write a line for every training."""
    rows = [[point.way, point.examples, point.seed, f"{point.value:.6g}"] for point in points]
    _write_table(path, ["way", "examples", "seed", measure], rows)


def print_points(points: Sequence[Point], measure: str) -> None:
    """Print a table of means and 95 % limits over the seeds."""
    from rich.console import Console
    from rich.table import Table

    amounts = sorted({point.examples for point in points})
    cells = {(way, examples): _cell(mean, low, high) for way, examples, mean, low, high in summary(points)}
    table = Table(measure, *(str(amount) for amount in amounts))
    for way in dict.fromkeys(point.way for point in points):
        table.add_row(way, *(cells.get((way, amount), "") for amount in amounts))
    Console(width=160).print(table)


@dataclass(frozen=True)
class Panel:
    """One of several pictures side by side; `name` says what the points' number of examples stands for."""

    name: str
    points: Sequence[Point]
    logarithmic: bool = True


def draw_curves(path: Path, points: Sequence[Point], title: str, measure: str) -> None:
    """Draw a line for every way, with its limits, over a logarithmic number of examples."""
    draw_panels(path, [Panel("examples to learn from", points)], title, measure)


def draw_panels(path: Path, panels: Sequence[Panel], title: str, measure: str) -> None:
    """Draw pictures side by side, each with a line for every way; shaded are 95 % limits of the mean over the seeds."""
    from matplotlib.figure import Figure

    width, height = INCHES
    figure = Figure(figsize=(width if len(panels) == 1 else 0.65 * width * len(panels), height), dpi=DPI, layout="constrained")
    for axes, panel in zip(figure.subplots(1, len(panels), sharey=True, squeeze=False)[0], panels, strict=True):
        rows = summary(panel.points)
        for way in dict.fromkeys(point.way for point in panel.points):
            values, means, lows, highs = ([row[column] for row in rows if row[0] == way] for column in (1, 2, 3, 4))
            (line,) = axes.plot(values, means, marker="o", label=way)
            axes.fill_between(values, lows, highs, color=line.get_color(), alpha=0.12, linewidth=0)
        ticks = sorted({point.examples for point in panel.points})
        if panel.logarithmic:
            axes.set_xscale("log")
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
        axes.minorticks_off()
        axes.set(xlabel=panel.name)
        axes.grid(alpha=0.3)
    middles = [row[2] for panel in panels for row in summary(panel.points)]
    low, high = min(middles), max(middles)
    first = figure.axes[0]
    first.set_ylim(low - 0.08 * (high - low) - 0.01, min(high + 0.08 * (high - low) + 0.01, 1.0 if high <= 1.0 else math.inf))
    first.set_ylabel(measure)
    first.legend()
    figure.suptitle(title)
    with writing(path) as beside:
        figure.savefig(beside, format="png")


def write_panels(path: Path, panels: Sequence[Panel], measure: str) -> None:
    """Write a line for every training of several pictures."""
    rows = [[panel.name, point.examples, point.way, point.seed, f"{point.value:.6g}"] for panel in panels for point in panel.points]
    _write_table(path, ["over", "value", "way", "seed", measure], rows)


def _cell(mean: float, low: float, high: float) -> str:
    return f"{mean:.3f}" if math.isnan(low) else f"{mean:.3f} ({max(low, 0.0):.2f}-{min(high, 1.0):.2f})"


def _write_table(path: Path, names: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    stream = io.StringIO()
    table = csv.writer(stream, lineterminator="\n")
    table.writerow(names)
    table.writerows(rows)
    write_text(path, stream.getvalue())
