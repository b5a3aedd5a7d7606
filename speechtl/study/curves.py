"""Learning curves: the value of each policy over the number of training examples, as CSV, table and plot."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from speechtl.files import write_text, writing
from speechtl.limits import mean_limits
from speechtl.text import picture_text

INCHES = (7.0, 4.6)
DPI = 150
OFFSET = 0.045  # inches
MARGIN = 0.07  # fraction of the axis


@dataclass(frozen=True)
class Point:
    """The result of one training."""

    policy: str  # or the name of another set-up that is compared
    examples: int
    seed: int
    value: float


def summary(points: Sequence[Point]) -> list[tuple[str, int, float, float, float]]:
    """Rows `(policy, examples, mean, low, high)` over the seeds, policies in order of appearance; limits are NaN for one seed."""
    policies = list(dict.fromkeys(point.policy for point in points))
    rows = []
    for policy in policies:
        for examples in sorted({point.examples for point in points if point.policy == policy}):
            values = [point.value for point in points if (point.policy, point.examples) == (policy, examples)]
            values = [value for value in values if not math.isnan(value)]
            rows.append((policy, examples, float(np.mean(values)) if values else math.nan, *mean_limits(values)))
    return rows


def write_points(path: Path, points: Sequence[Point], measure: str) -> None:
    """Write a row for every training."""
    rows = [[point.policy, point.examples, point.seed, f"{point.value:.6g}"] for point in points]
    _write_table(path, ["policy", "examples", "seed", measure], rows)


def print_points(points: Sequence[Point], measure: str) -> None:
    """Print a table of means and 95 % limits over the seeds."""
    from speechtl.console import PlainTable, plain_console

    amounts = sorted({point.examples for point in points})
    cells = {(policy, examples): _cell(mean, low, high) for policy, examples, mean, low, high in summary(points)}
    table = PlainTable(measure, *(str(amount) for amount in amounts))
    for policy in dict.fromkeys(point.policy for point in points):
        table.add_row(policy, *(cells.get((policy, amount), "") for amount in amounts))
    plain_console().print(table)


@dataclass(frozen=True)
class Panel:
    """One of several plots side by side; `name` labels the horizontal axis."""

    name: str
    points: Sequence[Point]
    logarithmic: bool = True


def draw_curves(path: Path, points: Sequence[Point], title: str, measure: str) -> None:
    """Draw a line for every policy, with its limits, over a logarithmic number of examples."""
    draw_panels(path, [Panel("examples to learn from", points)], title, measure)


def draw_panels(path: Path, panels: Sequence[Panel], title: str, measure: str) -> None:
    """Draw plots side by side: for every policy the means, single trainings, and 95 % limits of the mean."""
    from matplotlib.figure import Figure

    width, height = INCHES
    figure = Figure(figsize=(width if len(panels) == 1 else 0.65 * width * len(panels), height), dpi=DPI, layout="constrained")
    policies = list(dict.fromkeys(point.policy for panel in panels for point in panel.points))  # the same colour in all panels
    for axes, panel in zip(figure.subplots(1, len(panels), sharey=True, squeeze=False)[0], panels, strict=True):
        _draw_panel(axes, panel, policies)
    values = [point.value for panel in panels for point in panel.points if not math.isnan(point.value)] or [0.0]
    low, high = min(values), max(values)
    first = figure.axes[0]
    first.set_ylim(low - 0.05 * (high - low) - 0.01, high + 0.05 * (high - low) + 0.01)
    first.set_ylabel(picture_text(measure))
    shown = {label: line for axes in figure.axes for line, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend([shown[policy] for policy in policies], [picture_text(policy) for policy in policies], loc="outside right center")
    figure.suptitle(picture_text(title))
    if len({point.seed for panel in panels for point in panel.points}) > 1:
        figure.supxlabel("Small dots: single trainings. Bars: 95 % limits of their mean.", fontsize=8, color="dimgrey")
    with writing(path) as beside:
        figure.savefig(beside, format="png")


def _draw_panel(axes: Any, panel: Panel, policies: Sequence[str]) -> None:
    """Draw every policy slightly offset, so that the limits of one do not hide those of another."""
    from matplotlib.transforms import ScaledTranslation

    rows = summary(panel.points)
    ticks = sorted({point.examples for point in panel.points})
    if panel.logarithmic:
        axes.set_xscale("log")
    for number, policy in enumerate(policies):
        if all(point.policy != policy for point in panel.points):
            continue
        offset = ScaledTranslation((number - (len(policies) - 1) / 2) * OFFSET, 0.0, axes.figure.dpi_scale_trans)
        amounts, means, lows, highs = (np.array([row[column] for row in rows if row[0] == policy]) for column in (1, 2, 3, 4))
        place = {"transform": axes.transData + offset, "color": f"C{number}"}
        axes.plot(amounts, means, marker="o", label=policy, **place)
        mine = [point for point in panel.points if point.policy == policy]
        axes.plot([point.examples for point in mine], [point.value for point in mine], ".", markersize=4, alpha=0.6, **place)
        limits = [means - np.maximum(lows, 0.0), np.minimum(highs, 1.0) - means]
        axes.errorbar(amounts, means, limits, fmt="none", capsize=3, elinewidth=1.0, alpha=0.6, **place)
    if panel.logarithmic:
        room = (ticks[-1] / ticks[0]) ** MARGIN if len(ticks) > 1 else 2.0
        axes.set_xlim(ticks[0] / room, ticks[-1] * room)
    else:
        room = MARGIN * (ticks[-1] - ticks[0]) if len(ticks) > 1 else 1.0
        axes.set_xlim(ticks[0] - room, ticks[-1] + room)
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set(xlabel=picture_text(panel.name))
    axes.grid(alpha=0.3)


def write_panels(path: Path, panels: Sequence[Panel], measure: str) -> None:
    """Write a row for every training of all panels."""
    rows = [[panel.name, point.examples, point.policy, point.seed, f"{point.value:.6g}"] for panel in panels for point in panel.points]
    _write_table(path, ["over", "value", "policy", "seed", measure], rows)


def _cell(mean: float, low: float, high: float) -> str:
    return f"{mean:.3f}" if math.isnan(low) else f"{mean:.3f} ({max(low, 0.0):.2f}-{min(high, 1.0):.2f})"


def _write_table(path: Path, names: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    stream = io.StringIO()
    table = csv.writer(stream, lineterminator="\n")
    table.writerow(names)
    table.writerows(rows)
    write_text(path, stream.getvalue())
