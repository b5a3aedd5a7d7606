"""Phrases of every script: which voices say them, and which phrases are refused with a sentence."""

from __future__ import annotations

import importlib.util
import json
import unicodedata

import pytest

from speechtl import demo
from speechtl.audio.scripts import LANGUAGES, language_of, longest, scripts
from speechtl.audio.synthesis import speak as synthesizers
from speechtl.audio.synthesis.base import Voice
from speechtl.audio.synthesis.positives import make_set, split_voices
from speechtl.audio.synthesis.speak import speak, voices_for
from speechtl.errors import AudioError
from speechtl.export.golden import golden_audio

with_espeak = pytest.mark.skipif(importlib.util.find_spec("espeakng_loader") is None, reason="espeakng-loader is not installed")

PHRASES = {
    "computer": "en",
    "你好小智": "cmn",
    "コンピューター": "ja",
    "ｺﾝﾋﾟｭｰﾀｰ": "ja",
    "こんにちは": "ja",
    "컴퓨터": "ko",
    "مرحبا": "ar",
    "سلام گوش": "fa",
    "بات ٹھیک": "ur",
    "привет компьютер": "ru",
    "привіт": "uk",
    "прывітанне ўсім": "be",
    "қазақ": "kk",
    "ђаче": "sr",
    "नमस्ते": "hi",
    "γεια σου": "el",
    "שלום": "he",
    "สวัสดี": "th",
    "გამარჯობა": "ka",
    "բարեւ": "hy",
    "வணக்கம்": "ta",
    "నమస్తే": "te",
    "নমস্কার": "bn",
    "ሰላም": "am",
    "မင်္ဂလာပါ": "my",
    "ನಮಸ್ಕಾರ": "kn",
    "നമസ്കാരം": "ml",
    "નમસ્તે": "gu",
    "ਸਤ ਸ੍ਰੀ": "pa",
    "ආයුබෝවන්": "si",
    "ନମସ୍କାର": "or",
    "hi 小智": "cmn",
    "ok コンピューター": "ja",
}


@pytest.mark.parametrize(("phrase", "language"), PHRASES.items())
def test_the_script_chooses_the_language(phrase: str, language: str) -> None:
    assert language_of(phrase)[0] == language
    assert language_of(unicodedata.normalize("NFD", phrase))[0] == language


@with_espeak
@pytest.mark.parametrize(("phrase", "language"), PHRASES.items())
def test_several_voices_of_the_script_say_a_phrase_as_a_word(phrase: str, language: str) -> None:
    found = voices_for(phrase)
    assert len({voice.person for voice in found}) > 20
    if language != "en":
        assert {voice.accent for voice in found} == {language}
        assert 0.2 < len(speak(phrase, found[1])) / 16_000 < longest(phrase)


def test_every_script_that_has_a_voice_is_tried_here() -> None:
    assert {script for phrase in PHRASES for script in scripts(phrase)} == set(LANGUAGES)


@pytest.mark.parametrize(
    ("phrase", "script"),
    [
        ("ສະບາຍດີ", "the Lao script"),
        ("སྐད", "the Tibetan script"),
        ("សួស្តី", "the Khmer script"),
        ("hey ᏏᏲ", "the Cherokee script"),
        ("привет γεια", "together (Cyrillic, Greek)"),
        ("你好 컴퓨터", "together (Han, Hangul)"),
        ("電脳コンピューター", "in kana alone"),
    ],
)
def test_a_phrase_that_no_voice_reads_is_refused_before_any_work(phrase: str, script: str, tmp_path) -> None:
    for refuse in (
        voices_for,
        lambda phrase: make_set(tmp_path / "set", [phrase]),
        lambda phrase: demo.run_demo(tmp_path / "o", phrase, None),
    ):
        with pytest.raises(AudioError) as refused:
            refuse(phrase)
        assert script in str(refused.value)
        assert f"--phrase {phrase!r} --positives FOLDER" in str(refused.value)
    assert not list(tmp_path.iterdir())


@with_espeak
@pytest.mark.parametrize("phrase", ["你好小智", "コンピューター", "مرحبا"])
def test_a_phrase_that_is_spelled_and_not_said_is_refused(phrase: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthesizers, "voices", lambda _language: [Voice("espeak", "en-us", "plain")])
    with pytest.raises(AudioError, match="spells the phrase out"):
        voices_for(phrase)


@with_espeak
def test_an_abbreviation_that_is_spelled_is_noted(capsys: pytest.CaptureFixture[str]) -> None:
    assert voices_for("www")
    assert "spells the phrase out" in capsys.readouterr().err
    assert voices_for("computer")
    assert capsys.readouterr().err == ""


@with_espeak
def test_composed_and_decomposed_phrases_sound_the_same() -> None:
    voice = voices_for("컴퓨터")[0]
    assert (speak("컴퓨터", voice) == speak(unicodedata.normalize("NFD", "컴퓨터"), voice)).all()


@with_espeak
def test_the_golden_audio_says_what_it_can(capsys: pytest.CaptureFixture[str]) -> None:
    samples, words = golden_audio(["你好小智", "ສະບາຍດີ"])
    assert len(words) == 3
    assert all((stop - start) / 16_000 < longest("你好小智") for start, stop in words)
    assert len(samples) > words[-1][1]
    assert "Lao" in capsys.readouterr().err


@with_espeak
def test_a_set_of_another_script_has_its_voices_in_positives_and_half_of_the_negatives(tmp_path) -> None:
    made = make_set(tmp_path, ["你好小智"], clips=6, negatives_minutes=0.4)
    positives, negatives = ([json.loads(line) for line in path.read_text().splitlines()] for path in (made.positives, made.negatives))
    assert len(positives) == 6
    assert all(line["word_end"] - line["word_start"] < 1.6 for line in positives)
    assert [line["text"].replace(", ", "").isdigit() for line in negatives] == [index % 2 == 1 for index in range(len(negatives))]
    split = {}
    for line in positives + negatives:
        assert split.setdefault(line["speaker"], line["split"]) == line["split"]


def test_one_voice_for_testing_is_one_that_speaks_every_language_of_a_set() -> None:
    both = [Voice("espeak", "cmn", timbre) for timbre in ("f1", "m1")]
    recorded = [Voice("flite", "en-us", name) for name in ("slt", "rms", "kal")]
    for seed in range(8):
        splits = split_voices({"en": [*recorded, *both], "cmn": both}, seed, 0.001)
        assert all(voices for by_split in splits.values() for voices in by_split.values())
