"""The packages of other platforms: what is said where one is not installed, or is too old."""

from __future__ import annotations

import re

from speechtl.errors import MissingExtraError, SpeechtlError
from speechtl.versions import version_of


def require(what: str, extra: str, package: str, least: str) -> None:
    """Raise `MissingExtraError` where a package is not installed, and `SpeechtlError` where it is older than `least`."""
    installed = version_of(package)
    if installed is None:
        raise MissingExtraError(what, extra)
    if _release(installed) < _release(least):
        raise SpeechtlError(
            f"{what} needs {package} {least} or newer, and {installed} is installed. Update it with: pip install -U 'speechtl[{extra}]'"
        )


def _release(version: str) -> tuple[int, ...]:
    """The numbers at the beginning of a version, as in `1.10.2rc1`."""
    found = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(map(int, found[0].split("."))) if found else ()
