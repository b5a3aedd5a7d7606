"""JSON lines as people and programs save them: in UTF-8 or UTF-16, with a byte order mark, or as one JSON array."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from typing import Any


def decode(data: bytes) -> str:
    """A text in UTF-8, or in UTF-16 as programs of Windows save it; raises `UnicodeDecodeError`."""
    return data.decode("utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig")


def json_lines(text: str) -> Iterator[tuple[int, Any]]:
    """The number and the value of every line, or of every entry of one array; an error in place of what is not JSON."""
    if text.lstrip().startswith("["):
        try:
            yield from enumerate(json.loads(text), 1)
            return
        except (ValueError, RecursionError):
            pass  # lines, of which the first is wrong
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            yield number, json.loads(line)
        except (ValueError, RecursionError) as error:
            yield number, error
