import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechtl.errors import SpeechtlError
from speechtl.runtime.bundle.choice import Choice, PerWord, refractory_times, thresholds
from speechtl.runtime.bundle.wake_word import open_bundle
from speechtl.runtime.detector import Detector

WORDS = st.text(min_size=1).filter(lambda word: word.isprintable())


@given(st.none() | st.floats(1e-6, 1.0), st.dictionaries(WORDS, st.floats(1e-6, 1.0), max_size=4))
def test_what_is_written_for_all_and_for_single_words_is_read_as_it_was(common, own):
    given = [*([] if common is None else [repr(common)]), *(f"{word}={number!r}" for word, number in own.items())]
    read = thresholds(given)
    assert read == PerWord(common, own)
    assert all(read.of(word) == number for word, number in own.items())
    assert read.of("\n") == common


@pytest.mark.parametrize("text", ["", "x", "0", "1.1", "-1", "nan", "inf", "0,5", "=0.5", "word=", "word=x", "word=2", "1e400", "word=0"])
def test_what_is_no_threshold_is_refused_with_what_is(text):
    with pytest.raises(SpeechtlError, match="--threshold must be a number above 0 and at most 1, or WORD=NUMBER; got "):
        thresholds([text])


@pytest.mark.parametrize("text", ["-0.1", "86401", "nan", "inf", "word=-1", "word", "1 s"])
def test_what_is_no_refractory_time_is_refused_with_what_is(text):
    with pytest.raises(SpeechtlError, match="--refractory must be a number from 0 to 86400 seconds, or WORD=NUMBER; got "):
        refractory_times([text])


@pytest.mark.parametrize(("given", "whom"), [(["0.5", "0.6"], "all words"), (["a=0.5", "0.7", "a=0.5"], "'a'")])
def test_what_is_given_twice_is_refused(given, whom):
    with pytest.raises(SpeechtlError, match=f"twice for {whom}"):
        thresholds(given)


@pytest.mark.parametrize("read", [thresholds, refractory_times])
@given(text=st.text())
def test_any_text_is_a_number_or_a_sentence(read, text):
    try:
        found = read([text])
    except SpeechtlError:
        return
    assert sum(number is not None for number in (found.common, *found.own.values())) == 1


def test_a_word_that_no_bundle_has_is_said_with_the_nearest():
    for choice, option in [
        (Choice(threshold=PerWord(own={"comuter": 0.5})), "--threshold"),
        (Choice(refractory=PerWord(own={"comuter": 0.5})), "--refractory"),
        (Choice(clips=("comuter",)), "--clips"),
    ]:
        with pytest.raises(SpeechtlError) as refused:
            choice.check(["computer", "jarvis"])
        assert str(refused.value) == (
            f"{option} names the word 'comuter', which no bundle has (did you mean 'computer'?); the words are: computer, jarvis."
        )


def test_a_word_has_its_own_numbers_and_the_others_those_for_all(tiny_bundle, remake):
    choice = Choice(threshold=PerWord(0.9, {"burst": 0.3}), refractory=PerWord(own={"burst": 7.0}))
    (burst,) = Detector.of(open_bundle(tiny_bundle), choice).words
    (other,) = Detector.of(open_bundle(remake({"name": "other"})), choice).words
    assert (burst.trigger.threshold, burst.trigger.refractory, burst.trigger.smoothing) == (0.3, 7.0, 2)
    assert (other.trigger.threshold, other.trigger.refractory, other.trigger.smoothing) == (0.9, 0.5, 2)
