"""Texts for the training of a recogniser."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest

from speechtl.audio.synthesis.sentences import contains_phrase
from speechtl.audio.synthesis.texts import NAMES, in_words, pseudo_word, random_number, spoken_texts, usable_words
from speechtl.errors import SpeechtlError

VOCABULARY = ("zebra", "don't", "Queen", "lamp", "commuters", "seventeenth", "yacht")


def drawn(count: int, seed: int = 0, words: tuple[str, ...] = VOCABULARY, without: tuple[str, ...] = ()) -> list[str]:
    return list(itertools.islice(spoken_texts(np.random.default_rng(seed), words, without), count))


def test_texts_are_lower_case_words_with_single_spaces() -> None:
    assert [text for text in drawn(2000) if not re.fullmatch(r"[a-z']+(?: [a-z']+)*", text)] == []


def test_texts_have_one_to_about_a_dozen_words_and_are_seldom_the_same() -> None:
    lengths = [len(text.split()) for text in drawn(2000)]
    assert min(lengths) == 1
    assert max(lengths) <= 20
    assert set(range(1, 13)) <= set(lengths)
    assert 0.15 < np.mean(np.equal(lengths, 1)) < 0.45
    assert len(set(drawn(2000))) > 1400


def test_every_kind_of_text_occurs() -> None:
    texts = drawn(2000)
    assert any(re.fullmatch(r"[a-z](?: [a-z]){2,}", text) for text in texts)  # spelled letters
    assert any(text.startswith("turn ") for text in texts)
    assert any("hundred" in text for text in texts)
    assert any(" the " in text and len(text.split()) > 7 for text in texts)
    used = set(itertools.chain.from_iterable(map(str.split, texts)))
    assert used >= {"zebra", "don't", "queen"}
    assert len(used & set(NAMES)) > 50


def test_texts_come_from_the_seed_and_not_from_the_order_of_the_words() -> None:
    assert drawn(200) == drawn(200, words=VOCABULARY[::-1])
    assert drawn(200) != drawn(200, seed=1)


def test_phrases_are_left_out_also_inside_longer_words() -> None:
    without = ("commuter", "seven", "turn off")
    assert any(contains_phrase(text, without) for text in drawn(2000))
    assert [text for text in drawn(2000, without=without) if contains_phrase(text, without)] == []


def test_without_a_vocabulary_there_are_texts_all_the_same() -> None:
    assert len(set(drawn(200, words=()))) > 150


def test_usable_words_are_plain_sorted_and_each_once() -> None:
    given = ["Zoo", "zoo", "can't", "caf\u00e9", "x2", "", "o\u2019clock", "'em", "computers", "two words"]
    assert usable_words(given, ["computer"]) == ["can't", "o'clock", "zoo"]


def test_words_none_of_which_can_be_used_are_an_error() -> None:
    with pytest.raises(SpeechtlError, match="None of the words can be used"):
        drawn(1, words=("42", "computers"), without=("computer",))


def test_phrases_that_every_sentence_contains_are_an_error() -> None:
    with pytest.raises(SpeechtlError, match="No sentence without the phrases"):
        drawn(50, words=(), without=tuple("aeiouybcdfghjklmnpqrstvwx"))


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


def pseudo_words(count: int) -> list[str]:
    random = np.random.default_rng(0)
    return [pseudo_word(random) for _ in range(count)]


def test_pseudo_words_are_many_short_and_of_plain_letters() -> None:
    words = pseudo_words(2000)
    assert len(set(words)) > 1500
    assert all(re.fullmatch("[a-z]+", word) for word in words)
    assert 2 <= min(map(len, words)) <= max(map(len, words)) <= 16


def test_every_pseudo_word_has_a_vowel_and_begins_as_english_words_do() -> None:
    begin = re.compile(
        r"(?:[bcdfghjklmnprstvwyz]|bl|br|ch|cl|cr|dr|fl|fr|gl|gr|kl|kr|pl|pr|qu|s[hcklmnptw]|s[cpt]r|shr|spl|th|thr|tr|tw)[aeiouy]"
    )
    assert [word for word in pseudo_words(2000) if not begin.match(word)] == []


def test_soft_and_hard_letters_are_not_mixed_up() -> None:
    assert [word for word in pseudo_words(2000) if re.match("[cg][eiy]", word)] == []
