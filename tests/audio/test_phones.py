import pytest

from speechtl.audio.phones import PHONES, edits, numbers, transcribe

pytest.importorskip("espeakng_loader")


def test_words_become_the_phones_of_the_cmu_dictionary():
    assert transcribe(["computer", "smart mirror", "this thing"]) == [
        ["K", "AH", "M", "P", "Y", "UW", "T", "ER"],
        ["S", "M", "AA", "R", "T", "M", "IH", "R", "ER"],
        ["DH", "IH", "S", "TH", "IH", "NG"],
    ]


def test_every_phone_is_used():
    text = "that boy's measure of joy is each thing, look how they saw you zoom over five hot beige shoes, bird, peck my gun at ray's well"
    assert set(PHONES) == {phone for phones in transcribe([text]) for phone in phones}


def test_a_text_without_words_has_no_phones():
    assert transcribe(["", " ... ", "yes"]) == [[], [], ["Y", "EH", "S"]]


def test_a_text_with_line_breaks_stays_one_text():
    assert transcribe(["yes\nno", "go"]) == [["Y", "EH", "S", "N", "OW"], ["G", "OW"]]


def test_phones_count_from_one_because_zero_is_the_blank():
    assert numbers(["AA", "ZH"]) == [1, len(PHONES)]


@pytest.mark.parametrize(
    ("wanted", "given", "count"), [("abc", "abc", 0), ("abc", "", 3), ("", "ab", 2), ("abcd", "xbd", 2), ("ab", "ba", 2)]
)
def test_edits_are_counted(wanted, given, count):
    assert edits(wanted, given) == count
