"""Words that do not exist."""

from __future__ import annotations

import re

import numpy as np

from speechtl.audio.synthesis.pseudo_words import pseudo_word


def drawn(count: int) -> list[str]:
    random = np.random.default_rng(0)
    return [pseudo_word(random) for _ in range(count)]


def test_pseudo_words_are_many_short_and_of_plain_letters() -> None:
    words = drawn(2000)
    assert len(set(words)) > 1500
    assert all(re.fullmatch("[a-z]+", word) for word in words)
    assert 2 <= min(map(len, words)) <= max(map(len, words)) <= 16


def test_every_pseudo_word_has_a_vowel_and_begins_as_english_words_do() -> None:
    begin = re.compile(
        r"(?:[bcdfghjklmnprstvwyz]|bl|br|ch|cl|cr|dr|fl|fr|gl|gr|kl|kr|pl|pr|qu|s[hcklmnptw]|s[cpt]r|shr|spl|th|thr|tr|tw)[aeiouy]"
    )
    assert [word for word in drawn(2000) if not begin.match(word)] == []


def test_soft_and_hard_letters_are_not_mixed_up() -> None:
    assert [word for word in drawn(2000) if re.match("[cg][eiy]", word)] == []
