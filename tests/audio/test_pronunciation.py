"""Pronunciations are spoken as the words that they are of."""

import numpy as np
import pytest

from speechtl.audio.pronunciation import is_pronunciation, lengthened, mnemonics, phonemes, tied
from speechtl.audio.scripts import language_of
from speechtl.audio.synthesis.base import SpokenText, Voice
from speechtl.audio.synthesis.espeak import EspeakLibrary, find_espeak
from speechtl.audio.synthesis.kokoro_phonemes import respelled
from speechtl.errors import AudioError

COMPUTER = "/kəmˈpjuːtɚ/"


@pytest.mark.parametrize(("text", "expected"), [(COMPUTER, True), ("/a/", True), ("computer", False), ("//", False), ("and/or", False)])
def test_a_pronunciation_is_between_slashes(text, expected):
    assert is_pronunciation(text) is expected


def test_stress_comes_before_its_vowel_and_on_the_first_one_where_none_is_given():
    assert phonemes(COMPUTER) == ["k", "ə", "m", "p", "j", "ˈ", "uː", "t", "ɚ"]
    assert phonemes("/mɑːvɪn/") == ["m", "ˈ", "ɑː", "v", "ɪ", "n"]


def test_marks_that_tell_nothing_of_the_sound_are_left_out():
    assert phonemes("/d͡ʒɑː.vɪs/") == phonemes("/dʒɑːvɪs/") == ["dʒ", "ˈ", "ɑː", "v", "ɪ", "s"]


@pytest.mark.parametrize(("wrong", "sentence"), [("/mɮa/", "no sound 'ɮ'"), ("/ˈ/", "nothing to say"), ("/你好/", "no sound '你'")])
def test_what_english_voices_cannot_say_is_named(wrong, sentence):
    with pytest.raises(AudioError, match=sentence):
        phonemes(wrong)


def test_theta_does_not_make_it_greek():
    assert language_of("/θiːoʊ/") == ("en", "English")


def test_espeak_says_a_pronunciation_as_it_says_the_word():
    pytest.importorskip("espeakng_loader")
    espeak = find_espeak()
    assert isinstance(espeak, EspeakLibrary)
    voice = Voice("espeak", "en-us", "plain")
    word, pronounced = (espeak.speak(SpokenText(text, voice))[0] for text in ("computer", COMPUTER))
    np.testing.assert_array_equal(word, pronounced)
    one, other = espeak.speak_many([SpokenText(COMPUTER, voice), SpokenText("computer", voice)])
    assert not isinstance(one, AudioError)
    assert not isinstance(other, AudioError)
    assert len(one[0]) == pytest.approx(len(other[0]), rel=0.01)  # the library keeps state from one text to the next


def test_kokoro_gets_its_own_signs():
    assert respelled(tied("/heɪ ˈdʒɑːɹvɪs/"), "en-us") == "hA ʤˈɑɹvɪs"


def test_a_drawn_out_vowel_is_the_stressed_one():
    assert lengthened(COMPUTER) == "/kəmpjˈuːːtɚ/"
    assert mnemonics(lengthened(COMPUTER)) == mnemonics(COMPUTER)
