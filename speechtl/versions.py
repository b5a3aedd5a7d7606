"""The versions of everything that shapes a result."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from speechtl import __version__


def versions() -> dict[str, str]:
    """Return the versions of everything that shapes a result."""
    found = {"speechtl": __version__, "python": platform.python_version()}
    for package in ("torch", "numpy", "lightning-fabric", "onnxruntime", "soxr", "soundfile"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
