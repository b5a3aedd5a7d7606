"""Text for people: counted nouns, untrusted names made safe to print, and JSON lines."""

from __future__ import annotations

import codecs
import json
import math
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any, TextIO

SHOWN = 10  # problems that are printed of a longer list


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """A number and its noun: `1 recording`, `2,000 recordings`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def are(number: int) -> str:
    """The verb that goes with a number."""
    return "is" if number == 1 else "are"


def were(number: int) -> str:
    """The past tense of the verb that goes with a number."""
    return "was" if number == 1 else "were"


def first_few(sentences: Iterable[str], most: int = SHOWN) -> Iterator[str]:
    """The first sentences of a list, and the number of the others."""
    listed = list(sentences)
    yield from listed[:most] if len(listed) > most + 1 else listed
    if len(listed) > most + 1:
        yield f"and {len(listed) - most:,} more"


def none_can_be_used(number: int, noun: str) -> str:
    """The beginning of an error: `None of the 12 clips can be used`, `The only clip cannot be used`."""
    return f"The only {noun} cannot be used" if number == 1 else f"None of the {number:,} {noun}s can be used"


# C0 and C1 controls, DEL, line and paragraph separators, marks that turn the direction of writing, and halves of characters.
UNSAFE = "\\x00-\\x1f\\x7f-\\x9f\\u061c\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069\\ud800-\\udfff"
_IN_LINE = re.compile(f"[{UNSAFE}]")
_IN_LINES = re.compile(f"(?!\\n)[{UNSAFE}]")


def one_line(text: str) -> str:
    """A text with every character escaped that would leave its line."""
    return _IN_LINE.sub(_escaped, text)


def plain(text: str) -> str:
    """Lines of text with control characters escaped, except line ends."""
    return _IN_LINES.sub(_escaped, text)


def picture_text(text: str) -> str:
    """A text for matplotlib, which reads formulas between dollar signs."""
    return one_line(text).replace("$", r"\$")


def dumps(document: Any, *, indent: int | None = None) -> str:
    """JSON with letters of all scripts as they are, and `\\uXXXX` for characters that could control a terminal or cannot be encoded."""
    return _IN_LINES.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(document, ensure_ascii=False, indent=indent))


def echo(text: str, *, err: bool = False) -> None:
    """Print lines for people."""
    stream = sys.stderr if err else sys.stdout
    print(_sayable(plain(text), stream), file=stream, flush=True)


def echo_json(document: Any, *, indent: int | None = None) -> None:
    """Print a JSON document for programs."""
    text = dumps(document, indent=indent)
    print(text if _sayable(text, sys.stdout) == text else json.dumps(document, indent=indent), flush=True)


def _sayable(text: str, stream: TextIO) -> str:
    """A text with every character escaped that the encoding of a stream does not have."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a file name that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def decode(data: bytes) -> str:
    """The text of bytes in UTF-8, or in UTF-16 with a byte order mark, as Windows programs save it; raises `UnicodeDecodeError`."""
    return data.decode("utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig")


def _value(text: str) -> Any:
    """The value of a JSON text; raises `ValueError` for infinity and NaN, which JSON does not have."""
    return json.loads(text, parse_constant=_finite, parse_float=_finite)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not a number in JSON")
    return number


def json_lines(text: str) -> Iterator[tuple[int, Any]]:
    """The number and the value of every line of a text, or of every entry of one array; an error in place of a value that is not JSON."""
    if text.lstrip().startswith("["):
        try:
            yield from enumerate(_value(text), 1)
            return
        except (ValueError, RecursionError):
            pass  # lines whose first is wrong
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            yield number, _value(line)
        except (ValueError, RecursionError) as error:
            yield number, error
