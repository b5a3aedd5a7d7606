"""JSON lines as people and programs save them: in UTF-8 or UTF-16, with a byte order mark, or as one JSON array."""

from __future__ import annotations

import codecs
import json
import math
from collections.abc import Iterator
from typing import Any


def decode(data: bytes) -> str:
    """A text in UTF-8, or in UTF-16 as programs of Windows save it; raises `UnicodeDecodeError`."""
    return data.decode("utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig")


def _value(text: str) -> Any:
    """The value of a JSON text; raises `ValueError` for numbers that JSON does not have, and that no other program would read."""
    return json.loads(text, parse_constant=_finite, parse_float=_finite)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not a number in JSON")
    return number


def json_lines(text: str) -> Iterator[tuple[int, Any]]:
    """The number and the value of every line, or of every entry of one array; an error in place of what is not JSON."""
    if text.lstrip().startswith("["):
        try:
            yield from enumerate(_value(text), 1)
            return
        except (ValueError, RecursionError):
            pass  # lines, of which the first is wrong
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            yield number, _value(line)
        except (ValueError, RecursionError) as error:
            yield number, error
