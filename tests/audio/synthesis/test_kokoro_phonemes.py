"""Words as Kokoro spells their sounds; the expected spellings are those of misaki, with which it was trained."""

from __future__ import annotations

import pytest

from speechtl.audio.synthesis.espeak import EspeakLibrary, find_espeak
from speechtl.audio.synthesis.kokoro_phonemes import clauses, respelled, tokens
from speechtl.errors import AudioError

pytest.importorskip("espeakng_loader")

AMERICAN = {
    "computer": "kəmpjˈuTəɹ",
    "bottle": "bˈɑTᵊl",
    "button": "bˈʌtᵊn",
    "bird": "bˈɜɹd",
    "judge": "ʤˈʌʤ",
    "church": "ʧˈɜɹʧ",
    "enjoy": "ɛnʤˈY",
    "how": "hˈW",
    "five": "fˈIv",
    "day": "dˈA",
    "go": "ɡˈO",
}
BRITISH = {"go": "ɡˈQ", "bird": "bˈɜːd", "near": "nˈɪə", "square": "skwˈɛː", "north": "nˈɔːθ", "lot": "lˈɒt"}


@pytest.mark.parametrize(("accent", "words"), [("en-us", AMERICAN), ("en-gb", BRITISH)])
def test_words_are_spelled_as_in_training(accent: str, words: dict[str, str]) -> None:
    espeak = find_espeak()
    assert isinstance(espeak, EspeakLibrary)
    written = [respelled(ipa, accent) for ipa in espeak.transcribe(list(words), accent)]
    assert dict(zip(words, written, strict=True)) == words
    assert all(len(tokens(phonemes)) == len(phonemes) for phonemes in written)


def test_marks_between_clauses_are_kept_and_the_last_clause_has_one() -> None:
    assert clauses("Yes, please!! It is 3.5") == [("Yes", ","), ("please", "!"), ("It is 3.5", ".")]
    assert clauses(" ... ") == []


def test_sounds_of_other_languages_nothing_and_too_much_are_errors() -> None:
    with pytest.raises(AudioError, match="no phoneme ʁ"):
        tokens("paʁi")
    for nothing in ("", " ˈ."):
        with pytest.raises(AudioError, match="nothing to say"):
            tokens(nothing)
    with pytest.raises(AudioError, match="510 phonemes at once; the text has 600"):
        tokens("la" * 300)


def test_a_change_of_language_is_not_spelled() -> None:
    assert respelled("(en)hˈe^ɪ(fr)", "en-us") == "hˈA"
