import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechtl.errors import BundleError, SpeechtlError
from speechtl.runtime.bundle.choice import Choice, PerWord, rates
from speechtl.runtime.bundle.document import Field
from speechtl.runtime.bundle.sensitivity import read_sensitivity
from speechtl.runtime.bundle.wake_word import open_bundle
from tests.conftest import SENSITIVITY

LN10 = math.log(10.0)


def sensitivity(**changes):
    found = read_sensitivity(Field("sensitivity", SENSITIVITY | changes))
    assert found is not None
    return found


def test_ten_times_fewer_false_accepts_need_a_logit_that_is_2_higher():
    word = sensitivity()
    for per_day, logit in ((240.0, -4.0), (24.0, -2.0), (2.4, 0.0)):
        assert word.at_rate(per_day).threshold == pytest.approx(1 / (1 + math.exp(-logit)), abs=1e-4)
    setting = word.at_rate(2.4)
    assert (setting.per_day, setting.beyond) == (pytest.approx(2.4), "")
    assert setting.per_day_high == pytest.approx(24 * 20 * math.exp(-4.0), rel=1e-3)


def test_recall_is_that_of_validation_between_the_thresholds_that_were_tried():
    setting = sensitivity().at_rate(24.0)  # a logit of -2, a third of the way from 1.0 to 0.8
    assert (setting.recall, setting.recall_low, setting.recall_high) == pytest.approx(
        (1.0 - 0.2 / 3, 0.9 - 0.2 / 3, 1.0 - 0.1 / 3), abs=1e-4
    )
    assert "recall in validation 93.3 % (83.3 to 96.7 %)" in str(setting)


@given(st.floats(0.5, 240.0))
def test_a_threshold_tells_the_rate_that_it_was_chosen_for(per_day):
    word = sensitivity()
    chosen = word.at_rate(per_day)
    told = word.at_threshold(chosen.threshold)
    assert told.per_day == pytest.approx(per_day, rel=1e-6)
    assert (told.recall, told.beyond) == (pytest.approx(chosen.recall), chosen.beyond)


@given(st.floats(1e-12, 1e9), st.floats(1e-12, 1e9))
def test_fewer_false_accepts_never_come_with_a_lower_threshold_or_more_recall(one, other):
    few, many = (sensitivity().at_rate(rate) for rate in sorted((one, other)))
    assert 0.0 < many.threshold <= few.threshold <= 1.0
    assert few.recall <= many.recall


def test_a_setting_is_a_sentence():
    assert "for 1 false accept a day (at most " in str(sensitivity().at_rate(1.0))
    assert "for 2.4 false accepts a day (at most " in str(sensitivity().at_rate(2.4))


def test_more_than_the_tail_tells_gets_its_beginning_and_a_sentence():
    setting = sensitivity().at_rate(1000.0)
    assert (setting.threshold, setting.per_day) == (pytest.approx(1 / (1 + math.exp(4.0))), pytest.approx(240.0))
    assert setting.beyond == "Validation tells nothing about more than 240 false accepts a day."
    assert sensitivity().at_threshold(0.001).beyond == setting.beyond


def test_less_than_the_hours_support_is_extrapolated_with_a_sentence():
    setting = sensitivity().at_rate(0.24)
    assert setting.per_day == pytest.approx(0.24)
    assert setting.beyond == ("5 hours of validation support no rate below 0.48 false accepts a day, so the threshold is extrapolated.")
    assert sensitivity(hours=0.001).least_per_day == 240.0  # of minutes, even the beginning of the tail


def test_scores_that_are_higher_need_a_threshold_that_is_higher_by_as_much():
    before, after = (word.at_rate(24.0) for word in (sensitivity(), sensitivity().moved(1.5)))
    assert math.log(after.threshold / (1 - after.threshold)) == pytest.approx(math.log(before.threshold / (1 - before.threshold)) + 1.5)
    assert (after.per_day, after.recall, after.recall_low) == pytest.approx((before.per_day, before.recall, before.recall_low))


@pytest.mark.parametrize("by", [-50.0, 50.0])
def test_however_far_it_has_moved_it_can_be_read_again(by):
    moved = json.loads(json.dumps(sensitivity().moved(by / 2).moved(by / 2).to_json()))
    assert read_sensitivity(Field("sensitivity", moved)) is not None


def test_what_is_written_is_read():
    assert json.loads(json.dumps(sensitivity().to_json())) == SENSITIVITY


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"tail": None}, "sensitivity.tail must be a table"),
        ({"tail": {"start": 0.0, "scale": 0.0, "rate": 1.0}}, "sensitivity.tail.scale must be a number from 0.001 to 1000; got 0.0"),
        ({"high": {"start": 0.0, "scale": 1.0, "rate": 0.0}}, "sensitivity.high.rate must be"),
        ({"high": {"start": 0.0, "scale": 1.0, "rate": 1.0, "x": 1}}, "which this version of speechtl does not know"),
        ({"hours": 0}, "sensitivity.hours must be"),
        ({"hours": "5"}, "sensitivity.hours must be a number"),
        ({"recalls": []}, "a list of 1 to 200 values"),
        ({"recalls": [SENSITIVITY["recalls"][0]] * 2}, "must be of rising logits"),
        ({"recalls": [{"logit": 0.0, "recall": 1.1, "low": 0.0, "high": 1.0}]}, "recalls[0].recall must be a number from 0 to 1"),
        ({"more": 1}, "it knows: tail, high, hours, recalls"),
    ],
)
def test_a_bundle_with_a_wrong_value_is_refused_with_its_place(remake, changes, says):
    with pytest.raises(BundleError) as refused:
        open_bundle(remake({"sensitivity": SENSITIVITY | changes}))
    assert says in str(refused.value)


@pytest.mark.parametrize("timing", [{"length": -1.0, "delay": 0.0}, {"length": 1.0, "delay": 31.0}, {"length": 1.0}, [], {"x": 1}])
def test_a_bundle_with_a_wrong_timing_is_refused(remake, timing):
    with pytest.raises(BundleError, match="timing"):
        open_bundle(remake({"timing": timing}))


def words_of(*names):
    return {"words": [{"name": name, "phrases": [name], "detector": {}, "sensitivity": SENSITIVITY} for name in names]}


def test_the_words_of_a_bundle_share_a_rate_except_those_with_their_own(remake):
    bundle = open_bundle(remake(words_of("a", "b", "c", "d")))
    choice = Choice(threshold=PerWord(own={"a": 0.9}), per_day=rates(["2", "b=24"]))
    assert {word: setting.per_day for word, setting in choice.settings(bundle).items()} == {
        "b": pytest.approx(24.0),
        "c": pytest.approx(1.0),
        "d": pytest.approx(1.0),
    }
    assert [word.trigger.threshold for word in choice.words(bundle)] == [0.9, *(one.threshold for one in choice.settings(bundle).values())]
    assert [sentence.split(":")[0] for sentence in choice.explain(bundle)] == ["b", "c", "d"]


def test_a_bundle_without_the_data_is_one_sentence(remake):
    bundle = open_bundle(remake({"sensitivity": None}))
    with pytest.raises(BundleError, match=r"does not tell which threshold gives 1 false accepts a day of 'burst'.*or give --threshold\."):
        Choice(per_day=PerWord(1.0)).words(bundle)
    assert Choice(per_day=PerWord(1.0), threshold=PerWord(own={"burst": 0.7})).words(bundle)[0].trigger.threshold == 0.7


def test_a_rate_with_which_nothing_would_be_detected_is_refused(tiny_bundle):
    with pytest.raises(BundleError, match=r"would not be detected at all.*Give more than 0\.02"):
        Choice(per_day=PerWord(0.02)).words(open_bundle(tiny_bundle))


@pytest.mark.parametrize(("choice", "whom"), [({"common": 1.0}, "all words"), ({"own": {"a": 1.0}}, "'a'")])
def test_a_threshold_and_a_rate_for_the_same_words_are_refused(choice, whom):
    both = {key: (0.5 if key == "common" else {"a": 0.5}) for key in choice}
    with pytest.raises(SpeechtlError, match=f"both given for {whom}; give one of them"):
        Choice(threshold=PerWord(**both), per_day=PerWord(**choice))
    Choice(threshold=PerWord(0.5), per_day=PerWord(own={"a": 1.0}))


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "10001", "a=0", "x"])
def test_what_is_no_rate_is_refused_with_what_is(text):
    with pytest.raises(SpeechtlError, match="--false-accepts-per-day must be a number above 0 and at most 10000, or WORD=NUMBER; got "):
        rates([text])
