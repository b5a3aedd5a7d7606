"""From a run to a bundle: graphs, golden audio, parity.

The package can be called: `speechtl.export(runs, "NAME.wake", int8=True, tflite=None)` is `speechtl.api.export`.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from speechtl.api import PathLike, RunLike


class _CallablePackage(ModuleType):
    def __call__(self, runs: RunLike | Sequence[RunLike], out: PathLike, *, int8: bool = True, tflite: bool | None = None) -> Path:
        """Export runs as one bundle for the device; see `speechtl.api.export`."""
        from speechtl.api import export

        return export(runs, out, int8=int8, tflite=tflite)

    def __reduce__(self) -> tuple[Callable[[str], ModuleType], tuple[str]]:
        return import_module, (__name__,)


sys.modules[__name__].__class__ = _CallablePackage
