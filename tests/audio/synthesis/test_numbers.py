"""Numbers in words."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from speechtl.audio.synthesis.numbers import cardinal, ordinal, random_number, year


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "zero"),
        (13, "thirteen"),
        (20, "twenty"),
        (99, "ninety nine"),
        (100, "one hundred"),
        (206, "two hundred and six"),
        (1000, "one thousand"),
        (1001, "one thousand and one"),
        (12_345, "twelve thousand three hundred and forty five"),
        (2_000_000, "two million"),
        (999_999_999, "nine hundred and ninety nine million nine hundred and ninety nine thousand nine hundred and ninety nine"),
    ],
)
def test_cardinals_are_said_as_in_english(number: int, words: str) -> None:
    assert cardinal(number) == words


@pytest.mark.parametrize("number", [-1, 1_000_000_000])
def test_a_cardinal_out_of_limits_is_an_error(number: int) -> None:
    with pytest.raises(ValueError, match="from 0 to 999999999"):
        cardinal(number)


@pytest.mark.parametrize(
    ("number", "words"), [(1, "first"), (4, "fourth"), (12, "twelfth"), (20, "twentieth"), (21, "twenty first"), (100, "one hundredth")]
)
def test_ordinals_are_said_as_in_english(number: int, words: str) -> None:
    assert ordinal(number) == words


@pytest.mark.parametrize(("number", "words"), [(1904, "nineteen oh four"), (1900, "nineteen hundred"), (2026, "twenty twenty six")])
def test_years_are_said_in_two_halves(number: int, words: str) -> None:
    assert year(number) == words


def test_random_numbers_are_many_and_use_every_digit() -> None:
    random = np.random.default_rng(0)
    drawn = [random_number(random) for _ in range(500)]
    assert len(set(drawn)) > 350
    words = set(itertools.chain.from_iterable(text.split() for text in drawn))
    assert words > {"zero", "oh", "five", "thirteen", "ninety", "hundred", "thousand", "point", "and"}
