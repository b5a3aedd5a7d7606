"""Compare phrases with texts, labels and names, in every script.

Texts are compared as `folded`: compatibility forms (full width, ligatures, NFD) and case make no difference, and neither do signs that
writers may leave out (Arabic and Hebrew vowel signs, tatweel, characters that only steer the layout). All other combining marks belong
to the word: Devanagari vowel signs, Thai tone marks, accents.

A phrase is looked for

- as whole words in scripts that put spaces between words: `computer` is said in "computer's" and in "Computerを起動", and not in
  "computers";
- at the beginning of words in Hangul, where particles follow without a space: 컴퓨터 is said in 컴퓨터를;
- anywhere in scripts without spaces: Han, Kana, Thai, Lao, Khmer, Burmese, Tibetan and others.

Spaces, hyphens and punctuation within a phrase may differ from those in the text. Leaving out a negative that may not contain the
phrase costs little; training with the phrase as a negative costs a lot. So doubtful cases count as said.
Other spellings (traditional for simplified Han, hiragana for katakana, an accent left out) are not known here: list them as phrases.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

OPTIONAL = re.compile(
    "[\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7"  # Hebrew points and accents
    "\u0610-\u061a\u0640\u064b-\u0652\u0656-\u065f\u0670\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed"  # Arabic signs, tatweel
    "\ufe00-\ufe0f]"  # variation selectors
)
UNSPACED = (
    "\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf\uaa60-\uaa7f\ua9e0-\ua9ff"  # Thai to Burmese
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3100-\u312f\u31a0-\u31bf"  # Kana, Bopomofo
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
)
HANGUL = "\u1100-\u11ff\u3130-\u318f\ua960-\ua97f\uac00-\ud7ff"
LONG_VOWEL = "ー"  # コンピュータ and コンピューター are one word
DOTTED_I = re.compile("\u0131|i\u0307")  # Turkish ı and İ: in other languages I and i are the same letter


def folded(text: str) -> str:
    """The text without differences of encoding and case, and without signs that may be left out; idempotent."""
    while (simpler := _simpler(text)) != text:
        text = simpler
    return text


def words(text: str) -> str:
    """The words of a text, folded and separated by one space; words consist of letters, combining marks and digits."""
    return " ".join("".join(sign if _in_word(sign) else " " for sign in folded(text)).split())


def name_key(name: str) -> str:
    """A key that is the same for all spellings of a name: NFC or NFD, upper or lower case, more or fewer spaces."""
    return " ".join(folded(name).split())


def contains(text: str, phrases: Sequence[str]) -> bool:
    """Whether a text contains one of the phrases, word for word."""
    spoken = words(text)
    return any(pattern.search(spoken) for pattern in map(_pattern, phrases) if pattern is not None)


def _simpler(text: str) -> str:
    text = unicodedata.normalize("NFKC", text).casefold()
    text = "".join(_digit(sign) for sign in text if unicodedata.category(sign) != "Cf")
    return unicodedata.normalize("NFKC", DOTTED_I.sub("i", OPTIONAL.sub("", text)))


def _digit(sign: str) -> str:
    return str(unicodedata.decimal(sign)) if not sign.isascii() and sign.isdecimal() else sign


def _in_word(sign: str) -> bool:
    return unicodedata.category(sign)[0] in "LMN"


def _pattern(phrase: str) -> re.Pattern[str] | None:
    """The pattern that finds a phrase in `words` of a text; None for a phrase without words."""
    spoken = words(phrase)
    if len(spoken) > 1:
        spoken = spoken.removesuffix(LONG_VOWEL)
    if not spoken:
        return None
    before = "" if re.match(f"[{UNSPACED}]", spoken) else f"(?<![{HANGUL}])" if re.match(f"[{HANGUL}]", spoken) else _no_letter("<!")
    after = "" if re.search(f"[{UNSPACED}{HANGUL}]$", spoken) else _no_letter("!")
    return re.compile(before + " ?".join(map(re.escape, spoken.split())) + after + f"(?![{MARKS}])")


def _no_letter(look: str) -> str:
    """An assertion that there is no letter of a script with spaces."""
    return f"(?{look}[^ {UNSPACED}{HANGUL}])"


def _ranges(numbers: Sequence[int]) -> str:
    """Code points, in order, as a character set of a regular expression."""
    known = set(numbers)
    starts = [number for number in numbers if number - 1 not in known]
    ends = [number for number in numbers if number + 1 not in known]
    return "".join(f"{re.escape(chr(start))}-{re.escape(chr(end))}" for start, end in zip(starts, ends, strict=True))


MARKS = _ranges([number for number in range(0x300, 0x20000) if unicodedata.category(chr(number))[0] == "M"])
