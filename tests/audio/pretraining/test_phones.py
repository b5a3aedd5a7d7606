import sys

import pytest

from speechtl.audio.pretraining import phones as module
from speechtl.audio.pretraining.phones import PHONES, edits, numbers, transcribe
from speechtl.errors import AudioError

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


@pytest.mark.parametrize("text", ["你好", "go 你好 left", "привет", "ʘ", "a\0b yes please", "yes 😀", "go \u200b left", "π"])
def test_signs_that_are_not_read_aloud_in_english_are_not_read_by_their_names(text):
    assert transcribe([text, "yes"]) == [[], ["Y", "EH", "S"]]


@pytest.mark.parametrize("text", ["café — naïve", "“yes”, it’s José’s", "£5 and 20 °C", "go\u00a0left", "façade & co."])
def test_marks_and_punctuation_belong_to_english(text):
    assert len(transcribe([text])[0]) > 3


def test_a_text_on_which_espeak_fails_costs_no_other_its_phones(monkeypatch):
    run = module.subprocess.run

    def failing(command, *, input, **options):
        if b"crash" in input:
            command = [sys.executable, "-c", "import os; os.abort()"]
        return run(command, input=input, **options)

    monkeypatch.setattr(module.subprocess, "run", failing)
    assert transcribe(["yes", "crash", "go", "no"]) == [["Y", "EH", "S"], [], ["G", "OW"], ["N", "OW"]]


def test_where_espeak_always_fails_it_is_said(monkeypatch):
    monkeypatch.setattr(module.sys, "executable", "false")
    with pytest.raises(AudioError, match="could not turn texts into phones: it ended with 1"):
        transcribe(["yes", "no"])


def test_a_text_with_line_breaks_stays_one_text():
    assert transcribe(["yes\nno", "go"]) == [["Y", "EH", "S", "N", "OW"], ["G", "OW"]]


def test_phones_count_from_one_because_zero_is_the_blank():
    assert numbers(["AA", "ZH"]) == [1, len(PHONES)]


@pytest.mark.parametrize(
    ("wanted", "given", "count"), [("abc", "abc", 0), ("abc", "", 3), ("", "ab", 2), ("abcd", "xbd", 2), ("ab", "ba", 2)]
)
def test_edits_are_counted(wanted, given, count):
    assert edits(wanted, given) == count
