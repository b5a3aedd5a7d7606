"""Settings from TOML files: frozen sections in which an unknown key is an error, and sentences for what is wrong."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import pydantic
from pydantic import AfterValidator, BaseModel, ConfigDict

from speechtl.errors import RecipeError, did_you_mean
from speechtl.transfer.policy import parse_policy

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")  # of training


class Section(BaseModel):
    """A part of a recipe; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


Settings = TypeVar("Settings", bound=Section)


def read_toml(path: Path) -> dict[str, Any]:
    """Return what a TOML file says; raise `RecipeError` where it is none."""
    if path.is_dir() or not path.exists():
        raise RecipeError(f"{path} {'is a folder' if path.is_dir() else 'does not exist'}; give a recipe file (TOML).")
    if path.suffix == ".jsonl":
        raise RecipeError(f"{path} is a manifest; give a recipe (TOML) that names it.")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise RecipeError(f"{path} is not valid TOML: {error}.") from error


def checked(kind: type[Settings], values: dict[str, Any], source: str) -> Settings:
    """Return values as settings; raise `RecipeError` that names every wrong key or value and where it stands."""
    try:
        return kind.model_validate(values)
    except pydantic.ValidationError as error:
        raise RecipeError(f"{source}: " + " ".join(_sentence(problem, kind) for problem in error.errors())) from error


def known(value: str, what: str, names: Iterable[str]) -> str:
    """Return a value that is one of the names; raise `ValueError` that suggests the nearest."""
    names = list(names)
    if value not in names:
        raise ValueError(f"the {what} {value!r} is not known{did_you_mean(value, names)}; take one of: {', '.join(names)}")
    return value


Precision = Annotated[str, AfterValidator(lambda value: known(value, "precision", PRECISIONS))]


def known_policy(value: str) -> str:
    """Return the text of a policy; raise `ValueError` for any other."""
    try:
        parse_policy(value)
    except RecipeError as error:
        raise ValueError(str(error)) from error
    return value


def _sentence(problem: Any, kind: type[Section]) -> str:
    where = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        known = _keys_beside(problem["loc"], kind)
        return f"The key {where!r} is not known{did_you_mean(str(problem['loc'][-1]), known)}; known here: {', '.join(known)}."
    if problem["type"] == "missing":
        return f"The key {where!r} is missing."
    if problem["type"] == "too_short":
        return f"The list {where!r} is empty; give at least one manifest or folder."
    if problem["type"] in ("list_type", "path_type"):
        form = "a list of manifests or folders" if problem["type"] == "list_type" else "the path of a manifest or a folder"
        return f"{where!r} must be {form} (given: {problem['input']!r})."
    if problem["type"] == "string_pattern_mismatch":
        spoken = "; what is spoken goes into the phrases (--phrase)" if "phrases" in kind.model_fields else ""
        return f"{where!r}: it must be at most 64 letters, digits, '_', '-' or '.', without spaces (given: {problem['input']!r}){spoken}."
    if problem["type"] == "model_type":
        return f"{where!r} must be a section of its own, as in [{where}] (given: {problem['input']!r})."
    what = problem["msg"].removeprefix("Value error, ").replace("Input should be", "it must be").rstrip(".")
    return f"{where!r}: {what} (given: {problem['input']!r})."


def _keys_beside(location: tuple[str | int, ...], kind: type[Section]) -> list[str]:
    section: Any = kind
    for part in location[:-1]:
        section = section.model_fields[str(part)].annotation
    return list(section.model_fields)
