"""Versions of Python, speechtl and installed packages."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

from speechtl import __version__

TRAINING = ("torch", "numpy", "lightning-fabric", "onnxruntime", "soxr", "soundfile")


def versions(packages: Iterable[str] = TRAINING) -> dict[str, str]:
    """Versions of speechtl, Python and those of the packages that are installed; by default the packages that shape a training."""
    found = {package: version_of(package) for package in packages}
    installed = {package: known for package, known in found.items() if known is not None}
    return {"speechtl": __version__, "python": platform.python_version(), **installed}


def version_of(package: str) -> str | None:
    """The version of a package; None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
