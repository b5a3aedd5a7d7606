"""Two reports of the latency harness as one picture, with what counts for their kind of bundle in three panels."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speechtl.bench.compare import Comparison
from speechtl.bench.measures import DETECTION, PREDICTION
from speechtl.bench.pictures import SIZES
from speechtl.bench.pictures import STAGES as PICTURE_STAGES
from speechtl.bench.show import describe_drift, label
from speechtl.bench.stopwatch import STAGES
from speechtl.bench.summary import RANKS
from speechtl.errors import MissingExtraError, SpeechtlError
from speechtl.files import writing
from speechtl.text import picture_text

FORMATS = ("png", "svg", "pdf")
COLOURS = ("#3b6ea5", "#d08a2e")
WIDTH = 0.38  # of a bar; two stand side by side


@dataclass(frozen=True)
class Panel:
    """A part of the picture: measures, by what they are called in it."""

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
        Panel("to read and resize, p50, ms", {size: f"prepare_{size}_p50_ms" for size in SIZES}),
    ),
}


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
    parts = figure.subplots(1, 3)
    for axes, panel in zip(parts, PANELS[comparison.form.kind], strict=True):
        _bars(axes, comparison, panel)
    handles, _ = parts[0].get_legend_handles_labels()
    figure.legend(handles, [picture_text(label(report)) for report in comparison.reports], loc="outside upper center", frameon=False)
    figure.supxlabel(picture_text(describe_drift(comparison)), fontsize="small")
    with writing(target) as beside:
        figure.savefig(beside, format=target.suffix[1:].lower(), dpi=150)


def _bars(axes: Any, comparison: Comparison, panel: Panel) -> None:
    """Draw the measures of a panel as bars side by side."""
    for index, (report, colour) in enumerate(zip(comparison.reports, COLOURS, strict=True)):
        places = [place + (index - 0.5) * WIDTH for place in range(len(panel.measures))]
        axes.bar(places, [report.values[measure] or 0.0 for measure in panel.measures.values()], WIDTH, color=colour, label=str(index))
    axes.set_xticks(range(len(panel.measures)), panel.measures)
    axes.set_yscale(panel.scale)
    axes.set_title(panel.title, fontsize="medium")
    axes.spines[["top", "right"]].set_visible(False)
