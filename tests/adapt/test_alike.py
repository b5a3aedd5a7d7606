import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed")

from speechtl.adapt.alike import Known
from speechtl.adapt.layer import Layer
from speechtl.adapt.memory import Memory
from speechtl.adapt.solve import Example

SIZE = 6


def around(place, number, seed):
    """Moments `(number, size)` near a place, in two features."""
    rows = np.random.default_rng(seed).normal(0.0, 0.1, (number, SIZE))
    rows[:, 2:] = 0.0
    rows[:, :2] += place
    return rows.astype(np.float32)


@pytest.fixture
def known():
    words, others = around((4.0, 0.0), 30, 1), around((0.0, 4.0), 40, 2)
    return Known.of(Memory(list(words[:, None]), list(range(30)), list(others[:, None]), 0.5), Layer(np.eye(SIZE)[0], 0.0), 3.0, 0.08)


def test_a_clip_of_the_word_is_recognised_and_one_with_as_high_a_score_is_not(known):
    assert known.is_word(Example(False, [around((4.0, 0.0), 1, 3)]))
    assert not known.is_word(Example(False, [around((4.0, 4.0), 1, 4)]))


def test_a_clip_with_a_score_above_most_words_and_far_above_the_threshold_is_the_word(known):
    assert known.high == 5.0
    assert known.is_word(Example(False, [around((5.5, 4.0), 1, 7)]))
    assert not known.is_word(Example(False, [around((4.5, 4.0), 1, 8)]))


def test_only_the_moment_of_the_highest_score_counts_at_all_alignments_and_no_noise(known):
    word, silence = around((4.0, 0.0), 1, 5), around((0.0, 0.0), 1, 6)
    assert known.is_word(Example(False, [silence, np.concatenate([silence, word])], clean=2))
    assert not known.is_word(Example(False, [silence, word], clean=1))
