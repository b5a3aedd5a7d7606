import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed")

from speechtl.adapt.layer import Layer
from speechtl.adapt.solve import MARGIN, Example, Held, adapted

LAYER = Layer(np.array([1.0, 1.0, 0.0, 0.0]), 0.0)
WORDS = np.array([[2.0, 2.0, 0.0, 1.0], [0.5, 1.0, 0.0, 0.5], [1.5, 0.0, 0.0, 1.0]], np.float32)
OTHERS = np.array([[-2.0, 0.0, 0.0, 0.5], [0.0, -3.0, 0.1, 0.0]], np.float32)
HELD = Held(WORDS, OTHERS)


def clip(*steps):
    return np.array(steps, np.float32)


def test_without_a_wrong_clip_the_weights_stay_exactly_as_they_are():
    right = [Example(True, [clip([4, 4, 0, 0])]), Example(False, [clip([-4, -4, 0, 0], [-9, 0, 0, 0])])]
    assert (adapted(LAYER, 0.0, right, HELD, 3.0).weights == LAYER.weights).all()


def test_one_false_alarm_is_silenced_and_no_remembered_word_loses_score():
    alarm = clip([-5, 0, 0, 0], [1, 1, 3, 0])
    new = adapted(LAYER, 0.0, [Example(False, [alarm])], HELD, 3.0)
    assert LAYER.logits(alarm).max() > 0.0 > new.logits(alarm).max()
    assert (new.logits(WORDS) >= LAYER.logits(WORDS) - 0.1).all()
    assert (new.logits(OTHERS) <= LAYER.logits(OTHERS) + 0.1).all()


def test_one_missed_word_is_found_and_nothing_that_is_remembered_gains_score():
    missed = clip([-5, 0, 0, 0], [-1, 0, 0, 4])
    new = adapted(LAYER, 0.0, [Example(True, [missed])], HELD, 3.0)
    assert LAYER.logits(missed).max() < 0.0 < new.logits(missed).max() < 2 * MARGIN
    assert (new.logits(OTHERS) <= LAYER.logits(OTHERS) + 0.2).all()


def test_a_handful_of_clips_counts_as_much_as_many():
    alarm = clip([1, 1, 3, 0])
    one = adapted(LAYER, 0.0, [Example(False, [alarm])], HELD, 3.0)
    many = adapted(LAYER, 0.0, [Example(False, [alarm])] * 300, HELD, 3.0)
    assert one.weights == pytest.approx(many.weights, abs=1e-3)
