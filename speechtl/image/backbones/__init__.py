"""Backbones by name, for a recipe's `backbone`; add your own with `register_backbone`."""

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
    """An architecture, and a function that loads its pretrained weights from a path or the default place."""

    build: Callable[[], SourceNetwork]
    load: Callable[[Path | None], SourceNetwork] | None = None


BACKBONES: dict[str, Backbone] = {
    "squeezenet": Backbone(squeezenet.build, squeezenet.load),
    "mobilenet": Backbone(mobilenet.build, mobilenet.load),
    "small": Backbone(small.build),
}


def register_backbone(name: str, build: Callable[[], SourceNetwork], load: Callable[[Path | None], SourceNetwork] | None = None) -> None:
    """Register a network under a name for recipes; `load` takes a path of weights, or None for the default place."""
    BACKBONES[name] = Backbone(build, load)


def kept_folder(name: str) -> Path:
    """The folder in which `image pretrain` keeps a backbone of that name."""
    return cache_folder() / "backbones" / name


def is_kept(name: str) -> bool:
    """Whether `image pretrain` has kept a backbone of that name."""
    return cache_if_any() is not None and kept_folder(name).is_dir()


def is_known(name: str) -> bool:
    """Whether a backbone of that name is built in, registered or kept."""
    return name in BACKBONES or is_kept(name)


def known_backbones() -> list[str]:
    """Names of all backbones, kept ones last."""
    folder = kept_folder("")
    kept = sorted(inside.name for inside in folder.iterdir() if inside.is_dir()) if folder.is_dir() else []
    return [*BACKBONES, *kept]


def build_backbone(name: str) -> SourceNetwork:
    """An architecture with random weights."""
    return _entry(name).build()


def load_backbone(name: str, weights: str = PRETRAINED) -> SourceNetwork:
    """A backbone with `weights`: "pretrained", "scratch" (random, for comparison) or the path of a file."""
    entry = _entry(name)
    if weights == SCRATCH:
        network = entry.build()
        network.encoder.info = replace(network.encoder.info, source="random numbers", source_examples=0)
        return network
    if entry.load is None and weights != PRETRAINED:
        raise WeightsError(
            f"The backbone {name!r} does not read weights from files; register it with a `load` function, or pretrain it: "
            "speechtl image pretrain."
        )
    if entry.load is None:
        raise WeightsError(
            f'There are no published weights of the backbone {name!r}; use weights = "scratch", or pretrain it: speechtl image pretrain.'
        )
    return entry.load(None if weights == PRETRAINED else Path(weights))


def _entry(name: str) -> Backbone:
    if name not in BACKBONES:
        names = known_backbones()
        raise RecipeError(
            f"The backbone {name!r} is not known{did_you_mean(name, names)}; take one of: {', '.join(names)}, or register yours first."
        )
    return BACKBONES[name]
