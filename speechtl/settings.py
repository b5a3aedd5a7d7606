"""Settings from TOML files: frozen sections in which an unknown key is an error, and sentences for what is wrong."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import pydantic
from pydantic import AfterValidator, BaseModel, ConfigDict

from speechtl.errors import RecipeError, SpeechtlError, did_you_mean
from speechtl.toml_files import read_toml

MAX_NAME = 64  # characters
MAX_NAME_BYTES = 200  # of UTF-8: file systems allow 255 for a name with what is put around it
NAME_SIGNS = "_-."
NAME_CATEGORIES = frozenset(("Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Nd"))  # letters, what is combined with them, digits
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")  # of training


class Section(BaseModel):
    """A part of a recipe; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)


Settings = TypeVar("Settings", bound=Section)


def read_recipe_file(path: Path, replacing: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The document of a recipe file (TOML), with keys (`section.key`) replaced; raises `RecipeError` where it cannot be read."""
    values = read_toml(path, "a recipe file", RecipeError)
    for name, value in (replacing or {}).items():
        section, dot, key = name.partition(".")
        before = values.get(section, {})
        if dot and not isinstance(before, dict):
            raise RecipeError(f"{path}: {section!r} must be a section of its own, as in [{section}] (given: {before!r}).")
        values[section] = {**before, key: value} if dot else value
    return values


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


def known_name(value: str) -> str:
    """Return a name in NFC; raise `ValueError` for what cannot be the name of a file, a word and a recipe at once."""
    value = unicodedata.normalize("NFC", value)
    signs = all(sign in NAME_SIGNS or _in_word(sign) for sign in value)
    if not value or not signs or not value[0].isalnum() or len(value) > MAX_NAME or len(value.encode()) > MAX_NAME_BYTES:
        raise ValueError(
            f"it must be at most {MAX_NAME} letters and digits (of any script, {MAX_NAME_BYTES} bytes in UTF-8), '_', '-' or '.', without "
            "spaces, a letter or digit first"
        )
    return value


def name_from(text: str) -> str:
    """Return a name made of a text, its other signs replaced by `_`; empty where there is no letter or digit in it."""
    signs = "".join(sign if _in_word(sign) else " " for sign in unicodedata.normalize("NFC", text.lower()))
    name = "_".join(signs.split())
    while name and not name[0].isalnum():
        name = name[1:]
    return name[:MAX_NAME].encode()[:MAX_NAME_BYTES].decode(errors="ignore").rstrip("_")


def _in_word(sign: str) -> bool:
    return sign.isprintable() and unicodedata.category(sign) in NAME_CATEGORIES


Name = Annotated[str, AfterValidator(known_name)]
Precision = Annotated[str, AfterValidator(lambda value: known(value, "precision", PRECISIONS))]


def accepted(value: str, parse: Callable[[str], object]) -> str:
    """A text that `parse` accepts; raises `ValueError`, which pydantic expects, with the sentence of its error."""
    try:
        parse(value)
    except SpeechtlError as error:
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
    if problem["type"] == "model_type":
        return f"{where!r} must be a section of its own, as in [{where}] (given: {problem['input']!r})."
    what = problem["msg"].removeprefix("Value error, ").replace("Input should be", "it must be").rstrip(".")
    spoken = "; what is spoken goes into the phrases (--phrase)" if where == "name" and "phrases" in kind.model_fields else ""
    return f"{where!r}: {what} (given: {problem['input']!r}){spoken}."


def _keys_beside(location: tuple[str | int, ...], kind: type[Section]) -> list[str]:
    section: Any = kind
    for part in location[:-1]:
        section = section.model_fields[str(part)].annotation
    return list(section.model_fields)
