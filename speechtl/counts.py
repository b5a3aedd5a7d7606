"""Numbers of things in sentences: "1 recording is", "2 recordings are"."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

SHOWN = 10  # problems of a list that are written out


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """A number and its noun: `1 recording`, `2,000 recordings`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def are(number: int) -> str:
    """The verb that goes with a number."""
    return "is" if number == 1 else "are"


def were(number: int) -> str:
    """The verb of the past that goes with a number."""
    return "was" if number == 1 else "were"


def first_few(sentences: Iterable[str], most: int = SHOWN) -> Iterator[str]:
    """The first sentences of a list, and how many more there are."""
    listed = list(sentences)
    yield from listed[:most] if len(listed) > most + 1 else listed
    if len(listed) > most + 1:
        yield f"and {len(listed) - most:,} more"


def none_can_be_used(number: int, noun: str) -> str:
    """The beginning of an error: `None of the 12 clips can be used`, `The only clip cannot be used`."""
    return f"The only {noun} cannot be used" if number == 1 else f"None of the {number:,} {noun}s can be used"
