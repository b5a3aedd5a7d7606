"""Numbers in words."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from speechtl.audio.synthesis.numbers import in_words, random_number


@pytest.mark.parametrize(
    ("number", "kind", "words"),
    [
        (0, "cardinal", "zero"),
        (99, "cardinal", "ninety nine"),
        (206, "cardinal", "two hundred and six"),
        (1001, "cardinal", "one thousand and one"),
        (912_345, "cardinal", "nine hundred and twelve thousand three hundred and forty five"),
        (12, "ordinal", "twelfth"),
        (21, "ordinal", "twenty first"),
        (1904, "year", "nineteen oh four"),
        (1900, "year", "nineteen hundred"),
    ],
)
def test_numbers_are_words_without_commas_and_hyphens(number: int, kind: str, words: str) -> None:
    assert in_words(number, kind) == words


def test_random_numbers_are_many_and_use_every_digit() -> None:
    random = np.random.default_rng(0)
    drawn = [random_number(random) for _ in range(500)]
    assert len(set(drawn)) > 350
    words = set(itertools.chain.from_iterable(text.split() for text in drawn))
    assert words > {"zero", "oh", "five", "thirteen", "ninety", "hundred", "thousand", "point", "and"}
