"""Two reports of the latency harness as one picture: processor time by stage, the time of a chunk, the detection delay."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from speechtl.bench_tables import describe_drift, label
from speechtl.errors import MissingExtraError, SpeechtlError
from speechtl.files import writing
from speechtl.runtime.bench_compare import Comparison
from speechtl.runtime.stopwatch import STAGES

FORMATS = ("png", "svg", "pdf")
COLOURS = ("#3b6ea5", "#d08a2e")
WIDTH = 0.38  # of a bar; two stand side by side


def check_plot(target: Path) -> None:
    """Raise an error when no picture could be drawn to `target`."""
    if target.suffix[1:].lower() not in FORMATS:
        raise SpeechtlError(f"A picture's name must end in .{', .'.join(FORMATS)}; got {target.name}.")
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingExtraError("--plot", "train")


def draw(comparison: Comparison, target: Path) -> None:
    """Draw a comparison to a file, whole or not at all."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4.2), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    _bars(left, "CPU, ms per second of audio", comparison, {stage: f"{stage}_cpu_ms_per_second" for stage in STAGES})
    _bars(middle, "time of an 80 ms chunk, ms", comparison, {rank: f"chunk_{rank}_ms" for rank in ("p50", "p95", "p99", "max")})
    _bars(right, "from the end of the word to the event, ms", comparison, {rank: f"delay_{rank}_ms" for rank in ("p50", "p95", "max")})
    middle.set_yscale("log")
    handles, _ = left.get_legend_handles_labels()
    figure.legend(handles, [label(report) for report in comparison.reports], loc="outside upper center", frameon=False)
    figure.supxlabel(describe_drift(comparison), fontsize="small")
    with writing(target) as beside:
        figure.savefig(beside, format=target.suffix[1:].lower(), dpi=150)


def _bars(axes: Any, title: str, comparison: Comparison, measures: dict[str, str]) -> None:
    """Draw measures, by what they are called in the picture, as bars side by side."""
    for index, (report, colour) in enumerate(zip(comparison.reports, COLOURS, strict=True)):
        places = [place + (index - 0.5) * WIDTH for place in range(len(measures))]
        axes.bar(places, [report.values[measure] or 0.0 for measure in measures.values()], WIDTH, color=colour, label=str(index))
    axes.set_xticks(range(len(measures)), measures)
    axes.set_title(title, fontsize="medium")
    axes.spines[["top", "right"]].set_visible(False)
