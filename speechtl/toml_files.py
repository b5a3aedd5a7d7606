"""TOML files, for recipes and for programs without the training packages."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from speechtl.errors import MissingExtraError, SpeechtlError


def read_toml(path: Path, content: str = "a file", error: type[SpeechtlError] = SpeechtlError) -> dict[str, Any]:
    """The document of a TOML file; raises `error` where it cannot be read. `content` says what is expected ("a recipe file")."""
    if path.is_dir() or not path.exists():
        raise error(f"{path} {'is a folder' if path.is_dir() else 'does not exist'}; give {content} (TOML).")
    if path.suffix == ".jsonl":
        raise error(f"{path} is a manifest; give {content} (TOML).")
    try:
        return parse_toml(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as problem:
        raise error(f"{path} is not a text file; give {content} (TOML).") from problem
    except (ValueError, RecursionError) as problem:
        raise error(f"{path} is not valid TOML: {problem}.") from problem


def read_tables(path: Path, content: str, name: str) -> list[Any]:
    """The entries of a TOML file that holds `[[name]]` tables alone, in order; raises `SpeechtlError` for anything else."""
    document = read_toml(path, content)
    entries = document.pop(name, None)
    if document or not isinstance(entries, list) or not entries:
        raise SpeechtlError(f"{path} must hold one or more [[{name}]] tables and nothing else.")
    return entries


def parse_toml(text: str) -> dict[str, Any]:
    """The document of a TOML text; raises `ValueError` or `RecursionError`."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        try:
            import tomli as tomllib
        except ImportError as error:
            raise MissingExtraError("Reading TOML with Python 3.10", "train") from error
    return tomllib.loads(text)
