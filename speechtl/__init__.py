"""Wake-word detection by transfer learning, from a workstation to a Raspberry Pi.

`train`, `evaluate` and `export` are documented in `speechtl.api`, `Detector` and `Event` in `speechtl.runtime.detector`, `hand_over` in
`speechtl.runtime.listen.hand_over`, `Recipe` in `speechtl.audio.recipe`. Each is imported when it is first used, so that a device loads
nothing of training.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from speechtl.api import evaluate, export, train
    from speechtl.audio.recipe import Recipe
    from speechtl.runtime.detector import Detector, Event
    from speechtl.runtime.listen.hand_over import hand_over

__version__ = "0.1.0"

__all__ = ["Detector", "Event", "Recipe", "__version__", "evaluate", "export", "hand_over", "train"]

_MODULES = {
    "Detector": "speechtl.runtime.detector",
    "Event": "speechtl.runtime.detector",
    "Recipe": "speechtl.audio.recipe",
    "evaluate": "speechtl.api",
    "hand_over": "speechtl.runtime.listen.hand_over",
    "train": "speechtl.api",
}


def __getattr__(name: str) -> Any:
    if name == "export":  # the package of that name, which can be called
        return import_module("speechtl.export")
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
