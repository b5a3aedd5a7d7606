"""Numbers as English words, the way people say them: counted, digit by digit, as a year, a time of day or a place in a row."""

from __future__ import annotations

import numpy as np

_ONES = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen"),
    *("fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_SCALES = ((1_000_000, "million"), (1000, "thousand"), (100, "hundred"))
_ORDINALS = {"one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth", "twelve": "twelfth"}
LIMIT = 1_000_000_000


def cardinal(number: int) -> str:
    """Return a number from 0 to 999,999,999 in words, such as `two hundred and six`; raises `ValueError` for others."""
    if not 0 <= number < LIMIT:
        raise ValueError(f"the number must be from 0 to {LIMIT - 1}; got {number}")
    if number < 20:
        return _ONES[number]
    if number < 100:
        return _TENS[number // 10] + (f" {_ONES[number % 10]}" if number % 10 else "")
    scale, name = next(pair for pair in _SCALES if number >= pair[0])
    rest = number % scale
    link = " and " if 0 < rest < 100 else " "
    return f"{cardinal(number // scale)} {name}" + (link + cardinal(rest) if rest else "")


def ordinal(number: int) -> str:
    """Return the place of a number in a row, such as `twenty first`."""
    head, _, last = cardinal(number).rpartition(" ")
    place = _ORDINALS.get(last) or (last[:-1] + "ieth" if last.endswith("y") else last + "th")
    return f"{head} {place}".strip()


def year(number: int) -> str:
    """Return a year from 1100 to 1999 or 2010 to 2099 as it is said, such as `nineteen oh four`."""
    century, rest = divmod(number, 100)
    if rest == 0:
        return f"{cardinal(century)} hundred"
    return f"{cardinal(century)} {'oh ' if rest < 10 else ''}{cardinal(rest)}"


def random_number(random: np.random.Generator) -> str:
    """Return a number in one of the ways, with as many digits as people say."""
    way = int(random.integers(6))
    if way == 0:
        return cardinal(int(random.integers(10 ** int(random.integers(1, 7)))))
    if way == 1:
        return " ".join(_ONES[int(digit)] for digit in random.integers(10, size=int(random.integers(2, 9))))
    if way == 2:
        return year(int(random.integers(1100, 2000)))
    if way == 3:
        return f"{cardinal(int(random.integers(1, 13)))} {cardinal(int(random.integers(10, 60)))}"
    if way == 4:
        return ordinal(int(random.integers(1, 100)))
    return f"{cardinal(int(random.integers(100)))} point {cardinal(int(random.integers(10)))}"
