"""Arguments of the programs in training/, export/ and device/."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from speechtl.errors import SpeechtlError
from speechtl.files import at_home, check_folder, check_place


def at_least(lowest: int) -> Callable[[str], int]:
    """An argument's type: integers of at least `lowest`."""

    def number(text: str) -> int:
        if int(text) < lowest:
            raise argparse.ArgumentTypeError(f"{text} is too small; the minimum is {lowest}")
        return int(text)

    return number


def output_file(text: str) -> Path:
    """An argument's type: a file that can be written. Give a default as text, so that it is checked as well."""
    return _tried(text, check_place)


def output_folder(text: str) -> Path:
    """An argument's type: a folder that can be made or written to. Give a default as text, so that it is checked as well."""
    return _tried(text, check_folder)


def _tried(text: str, check: Callable[[Path], None]) -> Path:
    try:
        path = at_home(text)
        check(path)
    except SpeechtlError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return path
