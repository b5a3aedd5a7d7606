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
    stream = io.StringIO()
    table = csv.writer(stream, lineterminator="\n")
    table.writerow(["way", "examples", "seed", measure])
    table.writerows([point.way, point.examples, point.seed, f"{point.value:.6g}"] for point in points)
    write_text(path, stream.getvalue())


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


def draw_curves(path: Path, points: Sequence[Point], title: str, measure: str) -> None:
    """Draw a line for every way, with its limits, over a logarithmic number of examples."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=INCHES, dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    rows = summary(points)
    for way in dict.fromkeys(point.way for point in points):
        mine = [row for row in rows if row[0] == way]
        amounts, means, lows, highs = ([row[column] for row in mine] for column in (1, 2, 3, 4))
        (line,) = axes.plot(amounts, means, marker="o", label=way)
        axes.fill_between(amounts, lows, highs, color=line.get_color(), alpha=0.15, linewidth=0)
    axes.set(xscale="log", xlabel="examples to learn from", ylabel=measure, title=title)
    amounts = sorted({point.examples for point in points})
    axes.set_xticks(amounts, [str(amount) for amount in amounts])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend()
    with writing(path) as beside:
        figure.savefig(beside, format="png")


def _cell(mean: float, low: float, high: float) -> str:
    return f"{mean:.3f}" if math.isnan(low) else f"{mean:.3f} ({max(low, 0.0):.2f}-{min(high, 1.0):.2f})"
