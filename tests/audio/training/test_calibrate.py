import numpy as np
import pytest
from scipy import stats

from speechtl.audio.evaluation.scoring import PlayedWord, ScoredStream, count
from speechtl.audio.training.calibrate import KEPT, RATES, Copies, calibrate, fit_sensitivity, fit_tail, median_delay, unseen_rate
from speechtl.errors import SpeechtlError
from speechtl.runtime.bundle.document import Field
from speechtl.runtime.bundle.sensitivity import read_sensitivity
from speechtl.runtime.trigger import TriggerSettings

STEP = 0.08
TRIGGER = TriggerSettings(0.5, smoothing=1, refractory=1.0)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits))


def background(hours: float, seed: int, scale: float = 1.0, start: float = -8.0) -> ScoredStream:
    """Return scores whose logit has a peak every second from an exponential distribution above `start`."""
    random = np.random.default_rng(seed)
    seconds = round(hours * 3600)
    logits = np.full(round(seconds / STEP), -12.0)
    logits[6 :: round(1 / STEP)][:seconds] = start + random.exponential(scale, len(logits[6 :: round(1 / STEP)][:seconds]))
    return ScoredStream(sigmoid(logits).astype(np.float32), np.arange(len(logits)) * STEP, STEP, hours * 3600)


def spoken(logits: list[float]) -> ScoredStream:
    scores = np.full(100 * len(logits), 1e-5, np.float32)
    words = []
    for index, logit in enumerate(logits):
        scores[100 * index + 50] = sigmoid(np.array(logit))
        words.append(PlayedWord((100 * index + 45) * STEP, (100 * index + 49) * STEP, index))
    return ScoredStream(scores, np.arange(len(scores)) * STEP, STEP, len(scores) * STEP, words)


def test_an_exponential_tail_is_found_again():
    expected = -8.0 + stats.expon(scale=1.5).isf(0.2 / 3750)  # peaks an hour: one in twelve and a half steps
    tails = [
        fit_tail({f"{seed}": [background(0.3, 8 * number + seed, scale=1.5)] for seed in range(8)}, 1, kept=0.5) for number in range(12)
    ]
    assert np.mean([tail.scale for tail in tails]) == pytest.approx(1.5, rel=0.15)  # 29 peaks tell one within 19 % (one standard error)
    assert np.mean([tail.logit_for(0.2) for tail in tails]) == pytest.approx(expected, abs=0.7)


def test_rarer_false_accepts_need_a_higher_threshold():
    points = calibrate([spoken([3.0, 5.0])], {"talk": [background(0.5, 1)]}, TRIGGER)
    assert [point.false_accepts_per_hour for point in points] == list(RATES)
    thresholds = [point.threshold for point in points]
    assert thresholds == sorted(thresholds, reverse=True)
    assert 0 < thresholds[-1] < thresholds[0] < 1


def test_the_wanted_rate_is_met_on_hours_that_were_not_seen():
    (point,) = calibrate([spoken([3.0])], {f"{seed}": [background(0.5, seed)] for seed in range(4)}, TRIGGER, rates=[2.0])
    unseen = background(40.0, 99)
    events = len(count(unseen, TriggerSettings(point.threshold, 1, 1.0)).false_accepts)
    assert 0.3 < events / 40.0 < 8.0


def test_an_operating_point_tells_what_it_does_with_exact_limits():
    (point,) = calibrate([spoken([9.0, 9.0, -9.0, 9.0])], {"talk": [background(0.5, 1)]}, TRIGGER, rates=[0.5])
    exact = stats.binomtest(3, 4).proportion_ci(0.95, method="exact")
    assert (point.clips, point.detected, point.recall) == (4, 3, 0.75)
    assert (point.recall_low, point.recall_high) == pytest.approx((exact.low, exact.high))
    assert point.hours == pytest.approx(0.5)
    assert point.per_hour == point.events / 0.5
    assert point.per_hour_high > point.per_hour


def test_what_was_played_several_times_tells_no_more_than_once():
    words, others = spoken([9.0, 9.0, -9.0, 9.0]), background(0.5, 1)
    (once,) = calibrate([words], {"talk": [others]}, TRIGGER, rates=[0.5])
    (again,) = calibrate([words] * 2, {"talk": [others] * 3}, TRIGGER, rates=[0.5], copies=Copies(2, 3))
    assert (again.clips, again.hours) == (2 * once.clips, pytest.approx(3 * once.hours))
    assert (again.recall_low, again.recall_high) == pytest.approx((once.recall_low, once.recall_high))
    assert again.per_hour_high == pytest.approx(stats.chi2.ppf(0.95, 2 * again.events / 3 + 2) / 2 / once.hours)


def test_a_network_that_is_always_sure_still_gets_a_threshold_in_range():
    loud = ScoredStream(np.ones(1000, np.float32), np.arange(1000) * STEP, STEP, 80.0)
    silent = ScoredStream(np.zeros(1000, np.float32), np.arange(1000) * STEP, STEP, 80.0)
    for stream in (loud, silent):
        assert all(0 < point.threshold <= 1 for point in calibrate([spoken([3.0])], {"talk": [stream]}, TRIGGER))


def test_a_few_seconds_of_negatives_are_an_error():
    with pytest.raises(SpeechtlError, match=r"0\.1 minutes.*Add negatives"):
        fit_tail({"talk": [background(3 / 3600, 1)]}, 1)


def test_false_accepts_are_told_for_every_kind():
    (point,) = calibrate([spoken([3.0])], {"talk": [background(0.5, 1)], "radio": [background(0.25, 2)] * 2}, TRIGGER, rates=[5.0])
    assert {kind: hours for kind, (_, hours) in point.by_kind.items()} == {"talk": 0.5, "radio": 0.5}
    assert sum(number for number, _ in point.by_kind.values()) == point.events


def test_kinds_of_one_rate_are_followed_by_another_of_this_rate():
    alike = unseen_rate(np.full(20, 50), np.full(20, 10.0), KEPT)
    assert 5.0 < alike < 6.0
    assert unseen_rate(np.full(20, 50), np.full(20, 10.0), 0.5) == pytest.approx(5.0, rel=0.03)


def test_the_more_kinds_differ_the_higher_is_the_rate_to_expect_of_another():
    def above_the_median(counts: list[int]) -> float:
        return unseen_rate(np.array(counts), np.full(6, 10.0), 0.9) / unseen_rate(np.array(counts), np.full(6, 10.0), 0.5)

    assert above_the_median([50] * 6) < 1.2
    assert above_the_median([5, 200, 10, 60, 5, 20]) > 2.5


def test_a_kind_of_minutes_does_not_say_what_one_of_hours_says():
    """Two events in three minutes are 40 an hour, but may be chance."""
    counts, hours = np.array([50, 50, 50, 2]), np.array([10.0, 10.0, 10.0, 0.05])
    longer = unseen_rate(np.array([50, 50, 50, 400]), np.array([10.0, 10.0, 10.0, 10.0]), KEPT)
    assert unseen_rate(counts, hours, KEPT) < longer


def test_rates_of_unseen_kinds_stay_below_as_often_as_said():
    random = np.random.default_rng(0)
    kept = []
    for _ in range(60):
        rates = np.exp(random.normal(1.0, 0.8, 9))
        hours = random.uniform(0.5, 4.0, 9)
        kept.append(rates[-1] <= unseen_rate(random.poisson(rates * hours)[:-1], hours[:-1], 0.8))
    assert 0.7 <= np.mean(kept) <= 0.93


def test_a_bundle_is_told_what_calibration_finds_at_every_threshold():
    words, kinds = spoken([-2.0, 3.0, 5.0, 5.0]), {f"{seed}": [background(0.5, seed)] for seed in range(4)}
    told = fit_sensitivity([words], kinds, TRIGGER)
    for point in calibrate([words], kinds, TRIGGER, rates=[0.1, 1.0]):
        setting = told.at_rate(24 * point.false_accepts_per_hour)
        assert setting.threshold == pytest.approx(point.threshold)
        assert setting.recall == pytest.approx(point.recall, abs=0.02)
        assert setting.per_day_high > setting.per_day
    assert told.hours == pytest.approx(2.0)
    assert (told.recalls[-1].recall, told.recalls[-1].low) == (0.0, 0.0)  # above every word
    assert read_sensitivity(Field("x", told.to_json())) == told


def test_limits_of_the_tail_count_each_recording_once():
    kinds = {f"{seed}": [background(0.5, seed)] for seed in range(4)}
    words = spoken([3.0, 5.0])
    once, thrice = (fit_sensitivity([words], kinds, TRIGGER, Copies(1, copies)) for copies in (1, 3))
    assert thrice.hours == pytest.approx(once.hours / 3)
    assert thrice.high.scale > once.high.scale > once.tail.scale == thrice.tail.scale


def test_the_upper_limit_is_rarely_exceeded_by_what_comes():
    kept = []
    for number in range(6):
        told = fit_sensitivity([spoken([3.0])], {f"{seed}": [background(0.3, 9 * number + seed)] for seed in range(4)}, TRIGGER)
        logit = told.tail.logit_for(1.0)
        kept.append(3750 * stats.expon(loc=-8.0).sf(logit) <= told.high.per_hour(logit))
    assert np.mean(kept) >= 0.9


def test_the_delay_is_the_median_of_the_words_that_are_detected():
    assert median_delay([spoken([3.0, -9.0, 5.0])], TRIGGER) == pytest.approx(STEP)
    assert median_delay([spoken([-9.0])], TRIGGER) == 0.0
