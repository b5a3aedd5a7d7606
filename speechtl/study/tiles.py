"""Plots of filters and patches in rows and columns."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from speechtl.files import writing
from speechtl.runtime.samples import Array
from speechtl.text import picture_text

DPI = 120
LETTER_WIDTH = 0.085  # inches, in a title


def draw_filters(path: Path, filters: Array, title: str, *, across: str = "", down: str = "") -> None:
    """Draw filters `(filters, channels, height, width)`, in colour if they have three channels; grey or white is a weight of 0."""
    count = len(filters)
    columns = round(np.ceil(np.sqrt(count * 1.5)))
    rows = -(-count // columns)
    figure, axes = _figure(rows, columns, 0.62, title)
    for place, axis in enumerate(axes.flat):
        if place < count:
            _draw_filter(axis, filters[place])
    if across or down:
        figure.supxlabel(across, fontsize=9)
        figure.supylabel(down, fontsize=9)
    _save(figure, path)


def draw_all_filters(folder: Path, filters: Mapping[str, Array], name: str, *, across: str = "", down: str = "") -> list[Path]:
    """Draw the first filters of each state of an encoder to a file; the last state goes to filters.png. Returns the files."""
    last = list(filters)[-1]
    written = []
    for state, values in filters.items():
        written.append(folder / ("filters.png" if state == last else f"filters_{state}.png"))
        suffix = f", {state}" if len(filters) > 1 else ""
        draw_filters(written[-1], values, f"{name}: filters of the first layer{suffix}", across=across, down=down)
    return written


def draw_patches(path: Path, blocks: Mapping[str, Mapping[str, Sequence[Array]]], title: str, *, sound: bool = False) -> None:
    """Draw rows of patches, one per unit, with blocks such as before and after side by side; with `sound` patches are spectrograms."""
    names = list(dict.fromkeys(name for block in blocks.values() for name in block))
    longest = max(len(patches) for block in blocks.values() for patches in block.values())
    columns = len(blocks) * (longest + 1) - 1
    figure, axes = _figure(len(names), columns, 0.95, title)
    for number, (block_name, block) in enumerate(blocks.items()):
        first = number * (longest + 1)
        axes[0, first].set_title(picture_text(block_name), loc="left", fontsize=10)
        for row, name in enumerate(names):
            for column, patch in enumerate(block.get(name, ())):
                shown = {"cmap": "magma", "origin": "lower", "aspect": "auto"} if sound else {}
                axes[row, first + column].imshow(patch.T if sound else patch, **shown)
            if first == 0:
                axes[row, 0].text(-0.08, 0.5, picture_text(name), transform=axes[row, 0].transAxes, ha="right", va="center", fontsize=8)
    if sound:
        figure.supxlabel("horizontal: time, vertical: frequency; all patches of a row have the same duration", fontsize=9)
    _save(figure, path)


def _draw_filter(axis: Any, weights: Array) -> None:
    largest = max(float(np.abs(weights).max()), 1e-9)
    if len(weights) == 3:
        axis.imshow(0.5 + 0.5 * weights.transpose(1, 2, 0) / largest, interpolation="nearest")
    else:
        axis.imshow(weights.mean(axis=0).T, cmap="RdBu_r", vmin=-largest, vmax=largest, origin="lower", interpolation="nearest")


def _figure(rows: int, columns: int, inches: float, title: str) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(inches * columns + 0.9, inches * rows + 0.9), dpi=DPI, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, gridspec_kw={"wspace": 0.03, "hspace": 0.03})
    for axis in axes.flat:
        axis.set_axis_off()
    figure.suptitle("\n".join(textwrap.wrap(picture_text(title), max(int(figure.get_figwidth() / LETTER_WIDTH), 20))), fontsize=11)
    return figure, axes


def _save(figure: Any, path: Path) -> None:
    with writing(path) as beside:
        figure.savefig(beside, format="png")
