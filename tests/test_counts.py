import pytest

from speechtl.counts import are, counted, first_few, none_can_be_used, were


@pytest.mark.parametrize(("number", "text"), [(0, "0 clips are were"), (1, "1 clip is was"), (2000, "2,000 clips are were")])
def test_nouns_and_verbs_go_with_their_number(number, text):
    assert f"{counted(number, 'clip')} {are(number)} {were(number)}" == text


def test_a_noun_has_a_plural_of_its_own():
    assert counted(2, "person", "people") == "2 people"


def test_of_long_lists_the_first_are_shown_and_the_rest_counted():
    assert list(first_few(map(str, range(5000)), 2)) == ["0", "1", "and 4,998 more"]
    assert list(first_few(["a", "b", "c"], 2)) == ["a", "b", "c"]  # one more line is no longer than its count


def test_none_of_one_is_the_only_one():
    assert none_can_be_used(1, "clip") == "The only clip cannot be used"
    assert none_can_be_used(3, "clip") == "None of the 3 clips can be used"
