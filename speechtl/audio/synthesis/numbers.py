"""Numbers as English words, the way people say them: counted, digit by digit, as a year, a time of day or a place in a row."""

from __future__ import annotations

import numpy as np
from num2words import num2words


def in_words(number: int, kind: str = "cardinal") -> str:
    """A number as `cardinal`, `ordinal` or `year`, such as `two hundred and six`, `twenty first` or `nineteen oh four`."""
    words: str = num2words(number, to=kind)
    return words.replace(",", "").replace("-", " ")


def random_number(random: np.random.Generator) -> str:
    """A number said in one of these ways, with as many digits as people say."""
    way = int(random.integers(6))
    if way == 0:
        return in_words(int(random.integers(10 ** int(random.integers(1, 7)))))
    if way == 1:
        return " ".join(in_words(int(digit)) for digit in random.integers(10, size=int(random.integers(2, 9))))
    if way == 2:
        return in_words(int(random.integers(1100, 2000)), "year")
    if way == 3:
        return f"{in_words(int(random.integers(1, 13)))} {in_words(int(random.integers(10, 60)))}"
    if way == 4:
        return in_words(int(random.integers(1, 100)), "ordinal")
    return f"{in_words(int(random.integers(100)))} point {in_words(int(random.integers(10)))}"
