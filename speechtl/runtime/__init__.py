"""The device side: features, bundle, engine and detector. Needs numpy and a runtime, never torch."""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from speechtl.runtime.bundle.wake_word import Bundle, open_bundle
    from speechtl.runtime.detector import Detector, Event
    from speechtl.runtime.features import LogMel, LogMelSettings
    from speechtl.runtime.trigger import TriggerSettings

# From 1.31 on ONNX Runtime sends usage data with an identifier of the device, unless this is set before its import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__all__ = ["Bundle", "Detector", "Event", "LogMel", "LogMelSettings", "TriggerSettings", "open_bundle"]

_HOMES = {
    "Bundle": "bundle.wake_word",
    "Detector": "detector",
    "Event": "detector",
    "LogMel": "features",
    "LogMelSettings": "features",
    "TriggerSettings": "trigger",
    "open_bundle": "bundle.wake_word",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: the command line's help needs no numpy."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
