"""SHA-256 from Python's own module: `hashlib` would load OpenSSL, 4 MB of every detector's memory."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any


def _find() -> Callable[[bytes], Any]:
    for module in ("_sha2", "_sha256", "hashlib"):  # of Python 3.12, of those before, and of builds without either
        try:
            return importlib.import_module(module).sha256
        except ImportError:
            continue
    raise ImportError("This Python has no SHA-256.")


sha256 = _find()
