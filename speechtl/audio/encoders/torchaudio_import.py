"""The one place that imports torchaudio."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

from speechtl.errors import MissingExtraError, SpeechtlError

EXTENSION = "torchaudio._extension"


def torchaudio() -> Any:
    """Return torchaudio, without its compiled extension where that does not fit the installed torch.

    Its wheel is linked against a build of torch for CUDA, and does not load beside one for the CPU. Networks and pipelines are
    pure Python and need nothing of it.
    """
    try:
        return importlib.import_module("torchaudio")
    except ModuleNotFoundError as error:
        if error.name != "torchaudio":
            raise
        raise MissingExtraError("An encoder of torchaudio", "torchaudio") from error
    except OSError as error:
        if "torchaudio" not in str(error):
            raise
        sys.modules[EXTENSION] = _without_extension()
        return importlib.import_module("torchaudio")


def _without_extension() -> ModuleType:
    """Return what stands in for the compiled extension: the answers that torchaudio itself gives where it was built without."""
    stub = ModuleType(EXTENSION)
    stub._IS_TORCHAUDIO_EXT_AVAILABLE = False  # type: ignore[attr-defined]
    stub._IS_ALIGN_AVAILABLE = False  # type: ignore[attr-defined]
    stub._check_cuda_version = lambda: None  # type: ignore[attr-defined]
    stub.fail_if_no_align = _no_alignment  # type: ignore[attr-defined]
    return stub


def _no_alignment(function: Any) -> Any:
    def refuse(*_: object, **__: object) -> None:
        raise SpeechtlError(f"{function.__name__} of torchaudio needs its compiled extension, which does not fit the installed torch.")

    return refuse
