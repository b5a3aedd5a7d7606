"""Pronunciations in the phonetic alphabet, written between slashes as in `/mɑːvɪn/`, for the English voices of eSpeak NG and Kokoro."""

from __future__ import annotations

import re

from speechtl.errors import AudioError

PRIMARY, SECONDARY = "ˈ", "ˌ"
SIGNS_OF_STRESS = {PRIMARY: "'", SECONDARY: ","}  # and eSpeak NG's mnemonics
LONG = "ː"

# Signs of the phonetic alphabet and eSpeak NG's mnemonics of American English.
VOWELS = {
    **{"aɪ": "aI", "aʊ": "aU", "eɪ": "eI", "oʊ": "oU", "əʊ": "oU", "ɔɪ": "OI", "eə": "e@", "ɪə": "i@", "ʊə": "U@"},
    **{"ɑː": "A:", "ɔː": "O:", "ɜː": "3:", "iː": "i:", "uː": "u:", "oː": "o:", "aː": "A:", "eː": "eI", "æː": "a", "ɛː": "E"},
    **{"ɑ": "A:", "æ": "a", "a": "a", "ʌ": "V", "ɐ": "@", "ə": "@", "ɔ": "O", "ɒ": "0", "ɛ": "E", "e": "E", "ɜ": "3:", "ɝ": "3:"},
    **{"ɚ": "3", "ɪ": "I", "ᵻ": "I", "i": "i", "ʊ": "U", "u": "u:", "o": "oU"},
}
CONSONANTS = {
    **{sign: sign for sign in "pbtdkfvszhmnlwj"},
    **{
        "tʃ": "tS",
        "dʒ": "dZ",
        "ɡ": "g",
        "g": "g",
        "ŋ": "N",
        "θ": "T",
        "ð": "D",
        "ʃ": "S",
        "ʒ": "Z",
        "ɹ": "r",
        "r": "r",
        "ɾ": "t",
        "x": "k",
    },
}
MNEMONICS = {**VOWELS, **CONSONANTS}
_PHONEMES = re.compile("|".join(sorted(map(re.escape, (*MNEMONICS, *SIGNS_OF_STRESS, LONG, " ")), key=len, reverse=True)) + "|.")
_IGNORED = str.maketrans("", "", ".^\u0361\u200d\u032f\u0329")  # marks between syllables, and within a phoneme


def is_pronunciation(text: str) -> bool:
    """Whether a text is a pronunciation between slashes."""
    return len(text) > 2 and text[0] == text[-1] == "/" and bool(text.strip("/ "))


def phonemes(pronunciation: str) -> list[str]:
    """The phonemes and marks of stress, each mark before its vowel, and spaces between words.

    Raises `AudioError` for a sign that English voices do not have.
    """
    found: list[str] = []
    stress = ""
    for sign in _PHONEMES.findall(" ".join(pronunciation.strip("/").translate(_IGNORED).split())):
        if sign in SIGNS_OF_STRESS:
            stress = sign
        elif sign == LONG:
            found += [LONG] if found and found[-1] in VOWELS else []
        elif sign != " " and sign not in MNEMONICS:
            raise AudioError(
                f"The English voices have no sound {sign!r} as in the pronunciation {pronunciation}; they have: {' '.join(MNEMONICS)}."
            )
        else:
            if sign in VOWELS and stress:
                found.append(stress)
                stress = ""
            found.append(sign)
    if not any(sign in MNEMONICS for sign in found):
        raise AudioError(f"There is nothing to say in the pronunciation {pronunciation}.")
    return found if PRIMARY in found else _stressed(found)


def tied(pronunciation: str) -> str:
    """The pronunciation as eSpeak NG writes it, with `^` between the signs of one phoneme."""
    return "".join("^".join(sign) if len(sign) == 2 and LONG not in sign else sign for sign in phonemes(pronunciation))


def mnemonics(pronunciation: str) -> str:
    """The pronunciation as eSpeak NG reads it, between double brackets."""
    known = {**MNEMONICS, **SIGNS_OF_STRESS, " ": " ", LONG: ""}
    return "[[" + "".join(known[sign] + ("|" if sign in MNEMONICS else "") for sign in phonemes(pronunciation)) + "]]"


def lengthened(pronunciation: str) -> str:
    """The pronunciation with its stressed vowel drawn out."""
    found = phonemes(pronunciation)
    vowel = next((index + 1 for index, sign in enumerate(found[:-1]) if sign == PRIMARY), None)
    return f"/{''.join(found if vowel is None else [*found[: vowel + 1], LONG, *found[vowel + 1 :]])}/"


def _stressed(found: list[str]) -> list[str]:
    """The phonemes with stress on the first vowel."""
    first = next((index for index, sign in enumerate(found) if sign in VOWELS), 0)
    return [*found[:first], PRIMARY, *found[first:]]
