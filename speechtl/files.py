"""Write files and folders so that a reader never meets half of one (beside the target first, then renamed); where downloads stand."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from speechtl.errors import SpeechtlError


@contextmanager
def writing(target: Path) -> Iterator[Path]:
    """Give a path beside `target` to write a file to; it takes the target's place when the block ends without an error."""
    if target.is_dir():
        raise SpeechtlError(f"{target} is a folder; give the name of a file.")
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        yield beside
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)


def check_place(target: Path) -> None:
    """Raise `SpeechtlError` before the work, not behind it, where no file can be written to."""
    if target.is_dir():
        raise SpeechtlError(f"{target} is a folder; give the name of a file.")
    above = next(folder for folder in target.absolute().parents if folder.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise SpeechtlError(f"{target} cannot be written: {above} is {'no folder' if not above.is_dir() else 'not yours to write to'}.")


def write_text(target: Path, text: str) -> None:
    """Write a whole text file, or nothing; what a file name holds beside characters is written as JSON escapes it."""
    with writing(target) as beside:
        beside.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_json(target: Path, value: Any) -> None:
    """Write a JSON document, or nothing."""
    write_text(target, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def append_row(path: Path, row: Mapping[str, Any]) -> None:
    """Add a line to a CSV table, or leave the table as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_rows(path, [*read_rows(path), row])


def read_rows(path: Path) -> list[dict[str, str]]:
    """Return the lines of a CSV table by the names of its columns; none where there is no table yet."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a whole CSV table, or nothing; the first line names its columns."""
    with writing(path) as beside, beside.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


def replace_folder(source: Path, target: Path) -> None:
    """Rename a finished folder to its final name; an older one of that name is removed after the new one is in place."""
    old = target.with_name(f".{target.name}.{os.getpid()}.old")
    if target.exists():
        target.rename(old)
    source.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def cache_folder() -> Path:
    """Return the folder for downloads: $SPEECHTL_CACHE, else $XDG_CACHE_HOME/speechtl, else ~/.cache/speechtl."""
    if own := os.environ.get("SPEECHTL_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "speechtl"
