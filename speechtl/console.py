"""Tables for people, in which names are plain text: rich reads neither its markup nor emoji codes in them."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from speechtl.text import one_line


class PlainTable(Table):
    """A table whose headings and cells are text, each on its line."""

    def add_column(self, header: str = "", *args: object, **kwargs: object) -> None:  # type: ignore[override]
        """Add a column under a heading."""
        super().add_column(one_line(header), *args, **kwargs)  # type: ignore[arg-type]

    def add_row(self, *cells: str) -> None:  # type: ignore[override]
        """Add a row of cells."""
        super().add_row(*map(one_line, cells))


def plain_console(width: int | None = None, *, soft_wrap: bool = False) -> Console:
    """A console that prints text as it is."""
    return Console(width=width, markup=False, emoji=False, highlight=False, soft_wrap=soft_wrap)
