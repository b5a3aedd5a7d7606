"""Typed values of a bundle's description: every number has a range, every text a length, every error names its field.

A bundle may come from anywhere, so nothing in it is used before it was checked here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from speechtl.errors import BundleError

MAX_DOCUMENT = 2 * 1024 * 1024  # bytes; the hashes of 20,000 recordings take a quarter of a megabyte
MAX_DEPTH = 16
MAX_VALUES = 100_000
MAX_TEXT = 4000  # characters, of provenance
MAX_WHOLE = 2**63  # of numbers that are only displayed
HASHES = "recordings"  # the one text without a length: hashes of thousands of recordings
SHOWN = 40  # characters of a wrong value in an error message


@dataclass(frozen=True)
class Field:
    """A value of a description, and its path, such as `words[3].detector.smoothing`."""

    path: str
    value: Any

    def wrong(self, needed: str) -> BundleError:
        """The error that names this field, its value and what is needed."""
        return BundleError(f"{self.path or 'The description'} must be {needed}; got {shown(self.value)}.")

    def table(self) -> Mapping[str, Any]:
        """The value as a table."""
        if not isinstance(self.value, dict):
            raise self.wrong("a table")
        return self.value

    def items(self, most: int) -> list[tuple[str, Field]]:
        """The fields of a table of at most `most` of them."""
        table = self.table()
        if len(table) > most:
            raise self.wrong(f"a table of at most {most} fields")
        return [(key, Field(f"{self.path}[{key!r}]", value)) for key, value in table.items()]

    def __getitem__(self, key: str) -> Field:
        """A field of a table that must be there."""
        if key not in self.table():
            raise BundleError(f"{self.path or 'The description'} has no {key!r}.")
        return Field(self._path_of(key), self.value[key])

    def get(self, key: str, default: Any = None) -> Field:
        """A field of a table, or one with the default."""
        return Field(self._path_of(key), self.table().get(key, default))

    def _path_of(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key

    def only(self, *known: str) -> None:
        """Refuse a table with another key than these."""
        for key in self.table():
            if key not in known:
                raise BundleError(f"{self.path} has {key!r}, which this version of speechtl does not know; it knows: {', '.join(known)}.")

    def list(self, least: int, most: int) -> list[Field]:
        """The fields of a list of `least` to `most` values."""
        if not isinstance(self.value, list) or not least <= len(self.value) <= most:
            raise self.wrong(f"a list of {least} to {most} values")
        return [Field(f"{self.path}[{index}]", value) for index, value in enumerate(self.value)]

    def whole(self, least: int, most: int) -> int:
        """A whole number in a range."""
        if type(self.value) is not int or not least <= self.value <= most:
            raise self.wrong(f"a whole number from {least} to {most}")
        return self.value

    def real(self, least: float, most: float) -> float:
        """A number in a range."""
        if type(self.value) not in (int, float) or not least <= self.value <= most:
            raise self.wrong(f"a number from {least:g} to {most:g}")
        return float(self.value)

    def flag(self) -> bool:
        """True or false."""
        if not isinstance(self.value, bool):
            raise self.wrong("true or false")
        return self.value

    def text(self, most: int, *, empty: bool = False) -> str:
        """A printable text of at most `most` characters."""
        if not isinstance(self.value, str) or len(self.value) > most or not self.value.isprintable() or not (self.value or empty):
            raise self.wrong(f"a printable text of {0 if empty else 1} to {most} characters")
        return self.value

    def one_of(self, *known: str) -> str:
        """One of these texts."""
        if self.value not in known:
            raise self.wrong(f"one that this version of speechtl knows ({', '.join(known)})")
        return str(self.value)


def shown(value: Any) -> str:
    """A value for an error message: short, and without characters that act on a terminal."""
    if isinstance(value, dict | list):
        return f"{'a table' if isinstance(value, dict) else 'a list'} of {len(value)}"
    if isinstance(value, int) and abs(value) > 10**SHOWN:  # the digits of a huge number cannot be written at all
        return "a huge number"
    text = ascii(value[: SHOWN + 1] if isinstance(value, str) else value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def read_document(content: bytes) -> Any:
    """Values of a JSON file, all of them finite and printable; raises `ValueError` for anything else."""
    if len(content) > MAX_DOCUMENT:
        raise ValueError(f"it is larger than {MAX_DOCUMENT // 2**20} MB")
    try:
        document = json.loads(content, parse_constant=_refuse_constant, object_pairs_hook=_table)
    except RecursionError:
        raise ValueError("its values are nested too deeply") from None
    for count, (path, value) in enumerate(_values(Field("", document), 0)):
        _check(path, value, count)
    return document


def _values(field: Field, depth: int) -> Iterator[tuple[str, Any]]:
    """Each value of a document with its path, tables and lists before their contents."""
    if depth > MAX_DEPTH:
        raise ValueError("its values are nested too deeply")
    yield field.path, field.value
    if isinstance(field.value, dict):
        for key, value in field.value.items():
            yield f"a key of {shown(field.path)}", key
            yield from _values(Field(f"{field.path}.{key}" if field.path else key, value), depth + 1)
    elif isinstance(field.value, list):
        for index, value in enumerate(field.value):
            yield from _values(Field(f"{field.path}[{index}]", value), depth + 1)


def _check(path: str, value: Any, count: int) -> None:
    if count > MAX_VALUES:
        raise ValueError(f"it contains more than {MAX_VALUES} values")
    if isinstance(value, str):
        if not value.isprintable():
            raise ValueError(f"{shown(path)} contains a control character or another that is not printable")
        if len(value) > MAX_TEXT and path.rpartition(".")[2] != HASHES:
            raise ValueError(f"{shown(path)} has {len(value)} characters, more than {MAX_TEXT}")
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{shown(path)} is not a finite number")
    elif isinstance(value, int) and abs(value) >= MAX_WHOLE:
        raise ValueError(f"{shown(path)} is a number of more than 63 bits")


def _table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        raise ValueError("it has a key twice")
    return table


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number of JSON")
