"""Options that name what a command writes: their places are tried while the command line is read, before any other work."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from speechtl.errors import DiskFullError, SpeechtlError

STDOUT = "-"


def output_file(target: Path | None) -> Path | None:
    """Return the option's value; raise `SpeechtlError` where no file can be written to it."""
    from speechtl.files import check_place  # loads in milliseconds, but not with every command

    if target is not None:
        check_place(target)
    return target


def output_folder(target: Path | None) -> Path | None:
    """Return the option's value; raise `SpeechtlError` where no folder can be made or written to."""
    from speechtl.files import check_folder

    if target is not None:
        check_folder(target)
    return target


def clips_folder(target: Path | None) -> Path | None:
    """Return the option's value as `output_folder` does; a disk that is full now keeps nobody from listening."""
    with suppress(DiskFullError):
        output_folder(target)
    return target


def report_file(target: str | None) -> str | None:
    """Return the option's value, which may be `-` for standard output; refuse what has the name of a bundle."""
    if target is not None and target != STDOUT:
        path = Path(target)
        output_file(path)
        if path.suffix == ".wake":
            raise SpeechtlError(f"{path} has the name of a bundle; give the report another one, such as {path.with_suffix('.json')}")
    return target


def plot_file(target: Path | None) -> Path | None:
    """Return the option's value as `report_file` does, for a picture."""
    report_file(None if target is None else str(target))
    return target


CHECKS = (output_file, output_folder, clips_folder, report_file, plot_file)
