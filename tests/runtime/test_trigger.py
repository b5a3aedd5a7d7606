import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechtl.errors import BundleError
from speechtl.runtime.trigger import Trigger, TriggerSettings, find_events, refractory_steps, smooth

STEP = 0.08


def sigmoid(log_odds):
    return 1 / (1 + np.exp(-np.asarray(log_odds)))


def events(trigger: Trigger, scores) -> list[int]:
    return [index for index, score in enumerate(scores) if trigger.feed(score) is not None]


@settings(max_examples=150, deadline=None)
@given(
    scores=st.lists(st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.5000001, 0.7, 0.9, 1.0]) | st.floats(0, 1, width=32), max_size=80),
    threshold=st.floats(0.05, 1.0),
    smoothing=st.integers(1, 6),
    refractory=st.floats(0.0, 1.5),
)
def test_one_step_at_a_time_gives_the_events_of_the_whole_stream(scores, threshold, smoothing, refractory):
    chosen = TriggerSettings(threshold, smoothing, refractory)
    smoothed = smooth(np.array(scores, np.float32), smoothing)
    assert events(Trigger(chosen, STEP), np.array(scores, np.float32)) == find_events(smoothed, threshold, refractory_steps(chosen, STEP))


@given(st.lists(st.floats(-8, 8), min_size=1, max_size=40), st.integers(1, 5))
def test_smoothing_is_the_mean_of_the_last_log_odds_with_silence_before(log_odds, steps):
    silence = np.log(1e-7 / (1 - 1e-7))
    scores = sigmoid(log_odds).astype(np.float32)
    given = np.log(scores.astype(float) / (1 - scores.astype(float)))  # single precision knows a log-odds of 8 to 1e-4
    expected = np.convolve(np.concatenate([np.full(steps - 1, silence), given]), np.full(steps, 1 / steps), mode="valid")
    np.testing.assert_allclose(smooth(scores, steps), sigmoid(expected), atol=1e-5)


@pytest.mark.parametrize("shift", [-3.0, 2.0])
def test_a_shift_of_log_odds_moves_the_smoothed_score_by_as_much(shift):
    log_odds = np.array([-4.0, 1.0, 3.0, -1.0])
    moved, kept = (smooth(sigmoid(log_odds + by).astype(np.float32), 2)[1:] for by in (shift, 0.0))
    np.testing.assert_allclose(np.log(moved / (1 - moved)), np.log(kept / (1 - kept)) + shift, atol=1e-5)


def test_the_smoothed_score_comes_with_the_event():
    trigger = Trigger(TriggerSettings(0.5, smoothing=2), STEP)
    assert [trigger.feed(score) for score in (0.0, 0.4, 0.8, 0.9)] == [None, None, pytest.approx(0.62020409), None]


def test_a_score_that_stays_high_makes_one_event():
    assert events(Trigger(TriggerSettings(0.5, smoothing=1, refractory=0.2), STEP), [0.0, 0.9] + [0.9] * 50) == [1]


def test_a_score_must_fall_below_the_threshold_before_the_next_event():
    assert events(Trigger(TriggerSettings(0.5, smoothing=1, refractory=0.16), STEP), [0.9, 0.5, 0.5, 0.5, 0.4, 0.6]) == [0, 5]


@pytest.mark.parametrize(("gap", "expected"), [(11, [0]), (12, [0, 12]), (13, [0, 13])])
def test_an_event_within_the_refractory_time_is_left_out(gap, expected):
    scores = [0.9] + [0.0] * (gap - 1) + [0.9]
    assert events(Trigger(TriggerSettings(0.5, smoothing=1, refractory=12 * STEP), STEP), scores) == expected


def test_a_rise_within_the_refractory_time_does_not_become_an_event_later():
    scores = [0.9, 0.0, 0.0] + [0.9] * 20
    assert events(Trigger(TriggerSettings(0.5, smoothing=1, refractory=10 * STEP), STEP), scores) == [0]


def test_a_reset_forgets_scores_and_refractory_time():
    trigger = Trigger(TriggerSettings(0.5, smoothing=2, refractory=5.0), STEP)
    assert events(trigger, [0.9, 0.9]) == [1]
    trigger.reset()
    assert trigger.feed(0.6) is None  # too low with the silence before it
    assert trigger.feed(0.6) == pytest.approx(0.6)


@pytest.mark.parametrize("values", [{"threshold": 0.0}, {"threshold": -1.0}, {"threshold": 1.1}, {"smoothing": 0}, {"refractory": -0.1}])
def test_settings_out_of_range_are_refused(values):
    with pytest.raises(BundleError):
        TriggerSettings(**values)
