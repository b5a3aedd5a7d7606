"""Backbones by name: what a recipe's `backbone` may be, and how to add your own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from speechtl.errors import RecipeError, WeightsError, did_you_mean
from speechtl.files import cache_folder, cache_if_any
from speechtl.image.backbones import mobilenet, small, squeezenet
from speechtl.transfer import SourceNetwork

SCRATCH = "scratch"
PRETRAINED = "pretrained"


@dataclass(frozen=True)
class Backbone:
    """An architecture, and how to fill it with pretrained weights, from the usual place or from a path."""

    build: Callable[[], SourceNetwork]
    load: Callable[[Path | None], SourceNetwork] | None = None


BACKBONES: dict[str, Backbone] = {
    "squeezenet": Backbone(squeezenet.build, squeezenet.load),
    "mobilenet": Backbone(mobilenet.build, mobilenet.load),
    "small": Backbone(small.build),
}


def register_backbone(name: str, build: Callable[[], SourceNetwork], load: Callable[[Path | None], SourceNetwork] | None = None) -> None:
    """Make a network known by a name that recipes may use; `load` takes a path to weights, or None for the usual place."""
    BACKBONES[name] = Backbone(build, load)


def kept_folder(name: str) -> Path:
    """Return the folder in which `image pretrain` keeps a backbone of that name."""
    return cache_folder() / "backbones" / name


def is_kept(name: str) -> bool:
    """Say whether `image pretrain` has kept a backbone of that name."""
    return cache_if_any() is not None and kept_folder(name).is_dir()


def is_known(name: str) -> bool:
    """Say whether a name is that of a backbone, built in, registered or kept."""
    return name in BACKBONES or is_kept(name)


def known_backbones() -> list[str]:
    """Return the names of all backbones, those that were pretrained here last."""
    folder = kept_folder("")
    kept = sorted(inside.name for inside in folder.iterdir() if inside.is_dir()) if folder.is_dir() else []
    return [*BACKBONES, *kept]


def build_backbone(name: str) -> SourceNetwork:
    """Return an architecture with random weights."""
    return _entry(name).build()


def load_backbone(name: str, weights: str = PRETRAINED) -> SourceNetwork:
    """Return a backbone with `weights`: "pretrained", "scratch" (random, for comparison) or the path of a file."""
    entry = _entry(name)
    if weights == SCRATCH:
        network = entry.build()
        network.encoder.info = replace(network.encoder.info, source="random numbers", source_examples=0)
        return network
    if entry.load is None and weights != PRETRAINED:
        raise WeightsError(
            f"The backbone {name!r} does not read weights from files; register it with a function that does, or pretrain it: "
            "speechtl image pretrain."
        )
    if entry.load is None:
        raise WeightsError(
            f'Nobody has published weights of the backbone {name!r}; take weights = "scratch", or pretrain it: speechtl image pretrain.'
        )
    return entry.load(None if weights == PRETRAINED else Path(weights))


def _entry(name: str) -> Backbone:
    if name not in BACKBONES:
        names = known_backbones()
        raise RecipeError(
            f"The backbone {name!r} is not known{did_you_mean(name, names)}; take one of: {', '.join(names)}, or register yours first."
        )
    return BACKBONES[name]
