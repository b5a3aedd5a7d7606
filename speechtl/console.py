"""Tables for people, in which names are plain text: rich reads neither its markup nor emoji codes in them."""

from __future__ import annotations

import sys

from rich import box
from rich.console import Console
from rich.table import Table

from speechtl.text import one_line

PLAIN_WIDTH = 200  # characters of a line where there is no terminal


class PlainTable(Table):
    """A table whose headings and cells are text, each on its line."""

    def add_column(self, header: str = "", *args: object, **kwargs: object) -> None:  # type: ignore[override]
        """Add a column under a heading."""
        super().add_column(one_line(header), *args, **kwargs)  # type: ignore[arg-type]

    def add_row(self, *cells: str) -> None:  # type: ignore[override]
        """Add a row of cells."""
        super().add_row(*map(one_line, cells))


def measurement_table(first: str, *headings: str) -> PlainTable:
    """A table of numbers whose first column names the rows: drawn on a terminal, Markdown elsewhere."""
    table = PlainTable(first, box=box.SIMPLE_HEAD if sys.stdout.isatty() else box.MARKDOWN)
    table.columns[0].no_wrap = True
    for heading in headings:
        table.add_column(heading, justify="right")
    return table


def plain_console(width: int | None = None) -> Console:
    """A console that prints text as it is, as wide as the terminal, or `PLAIN_WIDTH` where there is none; longer lines stay whole."""
    width = width or (None if sys.stdout.isatty() else PLAIN_WIDTH)
    return Console(width=width, markup=False, emoji=False, highlight=False, soft_wrap=True)
