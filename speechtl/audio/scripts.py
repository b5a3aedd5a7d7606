"""The scripts that phrases are written in, the language that each is spoken in, and how long a spoken phrase can be.

A voice spells out the characters of a script that it cannot read: English voices take 2.6 s for the four characters of 你好小智. So the
script of a phrase chooses the language of its voices. Where several languages share a script, letters that only one of them has decide,
else the language with the most speakers. All these voices say Latin words in between in English.
"""

from __future__ import annotations

import re
import unicodedata

from speechtl.audio.pronunciation import is_pronunciation
from speechtl.errors import AudioError

ENGLISH = "en"
LATIN, HAN = "Latin", "Han"
LETTERS = ("Lu", "Ll", "Lt", "Lo")
KANA = ("Hiragana", "Katakana")

# Script: the language of eSpeak NG, and the language's name.
LANGUAGES = {
    LATIN: (ENGLISH, "English"),
    HAN: ("cmn", "Mandarin Chinese"),
    "Hiragana": ("ja", "Japanese"),
    "Katakana": ("ja", "Japanese"),
    "Hangul": ("ko", "Korean"),
    "Arabic": ("ar", "Arabic"),
    "Armenian": ("hy", "Armenian"),
    "Bengali": ("bn", "Bengali"),
    "Cyrillic": ("ru", "Russian"),
    "Devanagari": ("hi", "Hindi"),
    "Ethiopic": ("am", "Amharic"),
    "Georgian": ("ka", "Georgian"),
    "Greek": ("el", "Greek"),
    "Gujarati": ("gu", "Gujarati"),
    "Gurmukhi": ("pa", "Punjabi"),
    "Hebrew": ("he", "Hebrew"),
    "Kannada": ("kn", "Kannada"),
    "Malayalam": ("ml", "Malayalam"),
    "Myanmar": ("my", "Burmese"),
    "Oriya": ("or", "Oriya"),
    "Sinhala": ("si", "Sinhala"),
    "Tamil": ("ta", "Tamil"),
    "Telugu": ("te", "Telugu"),
    "Thai": ("th", "Thai"),
}
# Letters that distinguish a language of a script from those below it and from the one above.
OWN_LETTERS = (
    ("ў", ("be", "Belarusian")),
    ("іїєґ", ("uk", "Ukrainian")),
    ("әғқңұһ", ("kk", "Kazakh")),
    ("ђћљњџ", ("sr", "Serbian")),
    ("ٹڈڑںےہ", ("ur", "Urdu")),
    ("پچژگکی", ("fa", "Persian")),
)

LONGEST_REST = 0.5  # seconds that a phrase may take besides its letters
LONGEST_LETTER = 0.2  # seconds; about twice what the voices take
LONGEST_SIGN = 0.8  # a digit or a symbol may be a word
LONGEST = {HAN: 0.4, "Hangul": 0.4, "Hiragana": 0.25, "Katakana": 0.25, "Arabic": 0.25, "Hebrew": 0.25, "Ethiopic": 0.25}

RECORD = (
    "Record takes of it instead and train on those: speechtl train --name NAME --phrase {phrase!r} --positives FOLDER --negatives FOLDER"
)
_KIND = re.compile(
    r" (?:CAPITAL |SMALL |VOWEL |INDEPENDENT )*(?:LETTER|CHARACTER|SYLLABLE|SYLLABICS|UNIFIED|COMPATIBILITY|IDEOGRAPH|PROLONGED)\b.*"
)
_NAMES = {"Cjk": HAN, "Katakana-Hiragana": "Katakana"}


def speakable(text: str) -> str:
    """A text as voices read it: composed (NFC), and full-width and half-width letters in their common form."""
    return unicodedata.normalize("NFC", "".join(_common_width(sign) for sign in text))


def scripts(text: str) -> list[str]:
    """The scripts of a text's letters, each once, in their order, named as Unicode names them.

    Modifier letters, such as the apostrophes of some languages, belong to several scripts and are left out.
    """
    return list(dict.fromkeys(_script(sign) for sign in speakable(text) if unicodedata.category(sign) in LETTERS))


def language_of(phrase: str) -> tuple[str, str]:
    """The language that a phrase is spoken in, for eSpeak NG and by name; raise `AudioError` where no voice reads its script.

    Pronunciations are spoken by English voices.
    """
    if is_pronunciation(phrase):
        return LANGUAGES[LATIN]
    own = scripts(phrase)
    silent = [script for script in own if script not in LANGUAGES]
    if silent:
        raise AudioError(f"No voice reads the {silent[0]} script of {phrase!r}. {RECORD.format(phrase=phrase)}")
    if HAN in own and any(script in KANA for script in own):
        raise AudioError(
            f"The Japanese voice spells out the Han characters of {phrase!r} instead of saying them. Write the phrase in kana alone. "
            f"Or: {RECORD.format(phrase=phrase)}"
        )
    languages = dict.fromkeys(LANGUAGES[script] for script in own if script != LATIN)
    if len(languages) > 1:
        raise AudioError(f"No voice reads the scripts of {phrase!r} together ({', '.join(own)}). {RECORD.format(phrase=phrase)}")
    if not languages:
        return LANGUAGES[LATIN]
    letters = set(speakable(phrase).lower())
    return next((language for signs, language in OWN_LETTERS if letters & set(signs)), *languages)


def longest(phrase: str) -> float:
    """The seconds within which a phrase is said; a voice that takes longer spells it out."""
    return LONGEST_REST + sum(_longest(sign) for sign in speakable(phrase))


def _longest(sign: str) -> float:
    kind = unicodedata.category(sign)[0]
    if kind == "L":
        return LONGEST.get(_script(sign), LONGEST_LETTER)
    return LONGEST_SIGN if kind in "NS" else 0.0


def _script(letter: str) -> str:
    plain = unicodedata.normalize("NFKC", letter)[0]
    name = _KIND.sub("", unicodedata.name(plain, "unknown")).title()
    return _NAMES.get(name, name)


def _common_width(sign: str) -> str:
    return unicodedata.normalize("NFKC", sign) if unicodedata.decomposition(sign).startswith(("<wide>", "<narrow>")) else sign
