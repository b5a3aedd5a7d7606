"""English texts as the phonemes of Kokoro: eSpeak NG says how words sound, and its signs become those that Kokoro has learnt.

Kokoro writes a diphthong or an affricate as one sign (`A` as in day, `ʤ` as in judge), American English without signs of length, and
an American t between vowels as `T`. The spelling is that of misaki, with which its training texts were made.
"""

from __future__ import annotations

import re
import unicodedata

from speechtl.errors import AudioError

AMERICAN, BRITISH = "en-us", "en-gb"

# The numbers of Kokoro-82M version 1.0 (`vocab` of its config.json), as far as English needs them.
NUMBERS = {
    **dict(zip(";:,.!?", range(1, 7), strict=True)),
    **{" ": 16, "A": 24, "I": 25, "O": 31, "Q": 33, "T": 36, "W": 39, "Y": 41, "ᵊ": 42, "a": 43, "b": 44, "d": 46, "f": 48, "h": 50},
    **{"i": 51, "j": 52, "k": 53, "l": 54, "m": 55, "n": 56, "p": 58, "s": 61, "t": 62, "u": 63, "v": 64, "w": 65, "z": 68},
    **{"ɑ": 69, "ɒ": 71, "æ": 72, "ɔ": 76, "ð": 81, "ʤ": 82, "ə": 83, "ɛ": 86, "ɜ": 87, "ɡ": 92, "ɪ": 102, "ŋ": 112, "θ": 119},
    **{"ɹ": 123, "ʃ": 131, "ʧ": 133, "ʊ": 135, "ʌ": 138, "ʒ": 147, "ˈ": 156, "ˌ": 157, "ː": 158, "ᵻ": 177},
}
SILENT = " ;:,.!?ˈˌː"  # among them
MOST = 510  # to a text

_SHARED = {
    **{"a^ɪ": "I", "a^ʊ": "W", "e^ɪ": "A", "ɔ^ɪ": "Y", "d^ʒ": "ʤ", "t^ʃ": "ʧ"},
    **{"ə^l": "ᵊl", "ɐ": "ə", "ɚɹ": "əɹ", "ɚ": "əɹ", "r": "ɹ", "x": "k", "ç": "k", "ɬ": "l", "ʔ": "t"},
}
_SPELLINGS = {
    AMERICAN: {**_SHARED, "o^ʊ": "O", "ɜːɹ": "ɜɹ", "ɜː": "ɜɹ", "ɪə": "iə", "ɾ": "T", "ː": ""},
    BRITISH: {**_SHARED, "ə^ʊ": "Q", "e^ə": "ɛː", "i^ə": "ɪə", "iə": "ɪə", "ɾ": "t"},
}
_SYLLABIC = re.compile("(\\S)\u0329")  # a consonant with the mark below it: the vowel before it is hardly heard
_SWITCH = re.compile(r"\([a-z-]+\)")  # to another language and back, in eSpeak NG's output
_MARK = re.compile(r"([;:,.!?])[;:,.!?]*(?=\s|$)")


def clauses(text: str) -> list[tuple[str, str]]:
    """The clauses of a text, each with the mark that ends it: a full stop where the last has none."""
    pieces = _MARK.split(text)
    return [(clause.strip(), mark) for clause, mark in zip(pieces[::2], [*pieces[1::2], "."], strict=True) if clause.strip()]


def respelled(ipa: str, accent: str) -> str:
    """The signs of Kokoro for phonemes of eSpeak NG, in which `^` ties the signs of one phoneme."""
    spellings = _SPELLINGS[accent]
    tied = _SWITCH.sub("", ipa)
    for written in sorted(spellings, key=len, reverse=True):
        tied = tied.replace(written, spellings[written])
    plain = _SYLLABIC.sub(r"ᵊ\1", tied).replace("^", "").replace("o", "ɔ").replace("e", "A")
    return "".join(sign for sign in plain if unicodedata.category(sign) not in ("Mn", "Sk")).strip()  # tones, nasal vowels


def tokens(phonemes: str) -> list[int]:
    """The numbers of phonemes; raises `AudioError` for a sound that English does not have, or where there are too many or none."""
    if unknown := sorted(set(phonemes) - set(NUMBERS)):
        raise AudioError(f"Kokoro's English has no phoneme {' or '.join(unknown)} ({phonemes}).")
    if not phonemes.strip(SILENT):
        raise AudioError("There is nothing to say in the text.")
    if len(phonemes) > MOST:
        raise AudioError(f"Kokoro says {MOST} phonemes at once; the text has {len(phonemes)}: give it in parts.")
    return [NUMBERS[sign] for sign in phonemes]
