import numpy as np
import pytest
from scipy.stats import binomtest

from speechtl.adapt.compare import PRICE, chance, fires, table, words_found


def counts(*values):
    return np.array(values, np.int64)


@pytest.mark.parametrize(("worse", "better"), [(1, 0), (5, 1), (7, 7), (9, 2)])
def test_the_chance_is_that_of_the_exact_sign_test(worse, better):
    assert chance(worse, better) == pytest.approx(binomtest(worse, worse + better, 0.5, alternative="greater").pvalue)


def test_nothing_that_changed_is_not_worse():
    assert chance(0, 0) == 1.0
    assert words_found("words", counts(1, 0, 2), counts(1, 0, 2), 6).reason == ""


def test_five_words_that_are_lost_are_worse_even_among_a_thousand():
    old, new = np.ones(1000, np.int64), np.ones(1000, np.int64)
    new[:5] = 0
    line = words_found("words", old, new, 1000)
    assert (line.worse, line.better, line.p) == (5, 0, pytest.approx(1 / 32))
    assert "5 of 1000 are found less often" in line.reason


def test_silence_has_a_price_of_a_few_words_and_no_more():
    old, new = np.ones(320, np.int64), np.ones(320, np.int64)
    new[:12] = 0
    line = words_found("words", old, new, 320, PRICE)
    assert line.reason == ""
    rows = table([line.to_json()]).splitlines()
    assert rows[1].endswith("price")
    assert rows[3].startswith("price: silence costs these words; up to 4%")
    new[12] = 0
    assert "13 of 320 are found less often" in words_found("words", old, new, 320, PRICE).reason


def test_one_word_of_ten_is_worse_although_a_test_cannot_tell():
    line = words_found("words", np.ones(10, np.int64), counts(0, *[1] * 9), 10)
    assert line.p == 0.5
    assert line.reason


def test_false_accepts_may_rise_within_the_limit_of_the_old_rate_and_not_beyond():
    old = np.zeros(400, np.int64)
    within, beyond = old.copy(), old.copy()
    within[:2] = 1
    beyond[:4] = 1
    assert fires("false accepts", old, within, 1.0).reason == ""
    assert "4 where the old detector has 0" in fires("false accepts", old, beyond, 1.0).reason


def test_the_table_names_what_is_worse():
    lines = [words_found("words", counts(1, 1), counts(1, 1), 2), words_found("clips", counts(1, 1), counts(0, 0), 2)]
    rows = table([line.to_json() for line in lines]).splitlines()
    assert rows[0].split() == ["of", "old", "new", "better", "worse", "p", "verdict"]
    assert rows[1].endswith("ok")
    assert rows[2].endswith("WORSE")
