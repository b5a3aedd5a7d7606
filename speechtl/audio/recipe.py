"""A recipe: what to train, from which recordings, and how. TOML; everything but the name and the recordings has a default."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pydantic
from pydantic import BaseModel, ConfigDict, Field, field_validator

from speechtl.audio.encoders import ENCODERS
from speechtl.audio.heads import HEADS
from speechtl.errors import RecipeError, did_you_mean
from speechtl.transfer import FitSettings, parse_policy

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"


class Section(BaseModel):
    """A part of a recipe; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DataSection(Section):
    """Manifests, or folders of recordings; paths are relative to the recipe."""

    positives: list[Path] = Field(min_length=1)
    negatives: list[Path] = Field(min_length=1)
    noise: list[Path] = []
    rooms: str | list[Path] = "simulated"  # or "none", or manifests of impulse responses
    negative_minutes: float = Field(default=50.0, gt=0)  # drawn from the negatives at most


class TransferSection(Section):
    """Which encoder, which new layers, and how much of it all to train."""

    encoder: str = "speech-embedding"
    head: str = "conv"
    policy: str = "head"

    @field_validator("encoder")
    @classmethod
    def _known_encoder(cls, value: str) -> str:
        return _known(value, "encoder", ENCODERS)

    @field_validator("head")
    @classmethod
    def _known_head(cls, value: str) -> str:
        return _known(value, "head", HEADS)

    @field_validator("policy")
    @classmethod
    def _known_policy(cls, value: str) -> str:
        try:
            parse_policy(value)
        except RecipeError as error:
            raise ValueError(str(error)) from error
        return value


class TrainSection(Section):
    """How long and how fast to train."""

    epochs: int = Field(default=24, ge=1)
    steps: int = Field(default=30, ge=1)  # batches an epoch
    batch_size: int = Field(default=128, ge=2)
    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=1e-2, ge=0)
    repeats: int = Field(default=4, ge=1)  # of every positive clip in an epoch, each time in another guise
    seed: int = Field(default=0, ge=0)

    def fit_settings(self) -> FitSettings:
        """Return the settings of the training loop."""
        return FitSettings(epochs=self.epochs, learning_rate=self.learning_rate, weight_decay=self.weight_decay, seed=self.seed)


class CalibrateSection(Section):
    """What the detector's threshold has to achieve on the validation recordings."""

    false_accepts_per_hour: float = Field(default=0.5, gt=0)
    smoothing: int = Field(default=2, ge=1)  # steps
    refractory: float = Field(default=1.0, ge=0)  # seconds


class Recipe(Section):
    """A whole recipe."""

    name: str = Field(pattern=NAME)
    phrases: list[str] = []
    data: DataSection
    transfer: TransferSection = TransferSection()
    train: TrainSection = TrainSection()
    calibrate: CalibrateSection = CalibrateSection()

    @property
    def spoken(self) -> list[str]:
        """The phrases, or the name in words where none are given."""
        return self.phrases or [self.name.replace("_", " ").replace("-", " ").lower()]


def read_recipe(path: Path | str, replacing: Mapping[str, Mapping[str, Any]] | None = None) -> Recipe:
    """Read a recipe file, with single keys replaced; raise `RecipeError` that names every wrong key or value."""
    path = Path(path)
    if path.is_dir() or not path.exists():
        raise RecipeError(f"{path} {'is a folder' if path.is_dir() else 'does not exist'}; give a recipe file (TOML).")
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} is not valid TOML: {error}.") from error
    for section, keys in (replacing or {}).items():
        if keys:
            before = values.get(section, {})
            values[section] = {**before, **keys} if isinstance(before, dict) else before
    return make_recipe(values, base=path.parent, source=str(path))


def make_recipe(values: dict[str, Any], *, base: Path, source: str) -> Recipe:
    """Check values as they stand in a recipe; relative paths start at `base`, and absolute ones come out."""
    try:
        recipe = Recipe.model_validate(values)
    except pydantic.ValidationError as error:
        raise RecipeError(f"{source}: " + " ".join(_sentence(problem) for problem in error.errors())) from error
    data = recipe.data
    base = base.resolve()
    rooms = data.rooms if isinstance(data.rooms, str) else [base / room for room in data.rooms]
    if isinstance(rooms, str) and rooms not in ("simulated", "none"):
        raise RecipeError(f'{source}: data.rooms is {rooms!r}; it must be "simulated", "none" or a list of manifests of impulse responses.')
    anchored = {key: [base / path for path in getattr(data, key)] for key in ("positives", "negatives", "noise")}
    return recipe.model_copy(update={"data": data.model_copy(update={**anchored, "rooms": rooms})})


def _sentence(problem: Any) -> str:
    where = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        known = _keys_beside(problem["loc"])
        return f"The key {where!r} is not known{did_you_mean(str(problem['loc'][-1]), known)}; known here: {', '.join(known)}."
    if problem["type"] == "missing":
        return f"The key {where!r} is missing."
    if problem["type"] == "too_short":
        return f"The list {where!r} is empty; give at least one manifest or folder."
    if problem["type"] in ("list_type", "path_type"):
        form = "a list of manifests or folders" if problem["type"] == "list_type" else "the path of a manifest or a folder"
        return f"{where!r} must be {form} (given: {problem['input']!r})."
    if problem["type"] == "model_type":
        return f"{where!r} must be a section of its own, as in [{where}] (given: {problem['input']!r})."
    what = problem["msg"].removeprefix("Value error, ").replace("Input should be", "it must be").rstrip(".")
    return f"{where!r}: {what} (given: {problem['input']!r})."


def _keys_beside(location: tuple[str | int, ...]) -> list[str]:
    section: Any = Recipe
    for part in location[:-1]:
        section = section.model_fields[str(part)].annotation
    return list(section.model_fields)


def _known(value: str, what: str, known: Any) -> str:
    if value not in known:
        raise ValueError(f"the {what} {value!r} is not known{did_you_mean(value, known)}; take one of: {', '.join(known)}")
    return value
