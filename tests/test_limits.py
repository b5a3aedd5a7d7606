import pytest
from scipy import stats

from speechtl.limits import rate_high, rate_low, recall_limits


@pytest.mark.parametrize(
    ("detected", "clips", "low", "high"),
    [  # tables of exact binomial limits (Clopper and Pearson 1934)
        (0, 10, 0.0, 0.3085),
        (10, 10, 0.6915, 1.0),
        (5, 10, 0.1871, 0.8129),
        (1, 20, 0.0013, 0.2487),
        (95, 100, 0.8872, 0.9836),
        (0, 0, 0.0, 1.0),
    ],
)
def test_limits_of_recall_are_those_of_the_tables(detected, clips, low, high):
    assert recall_limits(detected, clips) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(("detected", "clips"), [(3, 17), (88, 90), (1, 2)])
def test_limits_of_recall_are_those_of_scipy(detected, clips):
    exact = stats.binomtest(detected, clips).proportion_ci(0.95, method="exact")
    assert recall_limits(detected, clips) == pytest.approx((exact.low, exact.high), abs=1e-9)


@pytest.mark.parametrize(
    ("events", "hours", "limit"),
    [(0, 6.0, 0.5), (0, 1.0, 2.996), (1, 1.0, 4.744), (3, 1.0, 7.754), (10, 1.0, 16.962), (3, 10.0, 0.7754)],  # tables of Poisson limits
)
def test_the_limit_of_a_rate_is_that_of_the_tables(events, hours, limit):
    assert rate_high(events, hours) == pytest.approx(limit, abs=1e-3)


@pytest.mark.parametrize(
    ("events", "hours", "limit"), [(0, 5.0, 0.0), (1, 1.0, 0.0513), (3, 1.0, 0.8177), (3, 10.0, 0.0818), (1, 0.0, 0.0)]
)
def test_the_lower_limit_of_a_rate_is_that_of_the_tables(events, hours, limit):  # Garwood 1936
    assert rate_low(events, hours) == pytest.approx(limit, abs=1e-4)


def test_no_time_says_nothing_of_a_rate():
    assert rate_high(0, 0.0) == float("inf")


@pytest.mark.parametrize("events", range(5))
def test_the_limit_is_the_rate_at_which_so_few_events_have_a_chance_of_5_percent(events):
    assert stats.poisson.cdf(events, rate_high(events, 2.0) * 2.0) == pytest.approx(0.05, abs=1e-9)
