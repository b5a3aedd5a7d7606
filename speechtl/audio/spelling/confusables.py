"""Words and phrases that sound like a wake phrase: the nearest ones of a dictionary, by the features of their phones.

Dictionaries are those of the system (`/usr/share/dict`, festival's lexicon) and the words of this package's manifests and texts.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import zip_longest
from pathlib import Path

import numpy as np

from speechtl.audio.pretraining.phones import PHONES, transcribe
from speechtl.audio.pronunciation import is_pronunciation
from speechtl.audio.scripts import ENGLISH, language_of
from speechtl.audio.spelling.manifests import manifest_path
from speechtl.audio.synthesis.sentences import WORDS, contains_phrase
from speechtl.audio.synthesis.texts import NAMES
from speechtl.errors import SpeechtlError
from speechtl.files import cache_folder, sha256_of, write_text
from speechtl.progress import say
from speechtl.runtime.samples import Doubles

LEXICON = Path("/usr/share/festival/dicts/cmu/cmudict-0.4.out")  # Debian's festlex-cmu
WORD_LISTS = (Path("/usr/share/dict/american-english"), Path("/usr/share/dict/words"))
TEXTS = ("librispeech", "speechocean762", "speech_commands")  # manifests whose texts are words
_WORD = re.compile(r"[a-z]{2,}(?:'[a-z]+)?")
_ENTRY = re.compile(r'^\("([a-z]{3,})" \S+ (\(.*\))\)$', re.MULTILINE)

NEAREST, FURTHEST = 0.07, 0.45  # distance to the number of phones: what is nearer is said the same way, what is further sounds different
RARE = 0.06  # added to the distance of a word that is in no text of the package: dictionaries are full of surnames
MISSING = 0.7  # cost of a phone too many or too few
ELSEWHERE = 1.0  # of a vowel for a consonant
NEIGHBOURS = 400  # that are looked at

# Consonants: place from lips to throat, manner, voice. Vowels: height, backness, roundness, movement.
CONSONANTS: dict[str, tuple[float, ...]] = {
    **{"P": (0, 0, 0), "B": (0, 0, 1), "T": (2, 0, 0), "D": (2, 0, 1), "K": (4, 0, 0), "G": (4, 0, 1), "M": (0, 3, 1), "N": (2, 3, 1)},
    **{
        "NG": (4, 3, 1),
        "F": (0.5, 1.5, 0),
        "V": (0.5, 1.5, 1),
        "TH": (1.5, 1.5, 0),
        "DH": (1.5, 1.5, 1),
        "S": (2, 1.5, 0),
        "Z": (2, 1.5, 1),
    },
    **{
        "SH": (2.7, 1.5, 0),
        "ZH": (2.7, 1.5, 1),
        "CH": (2.7, 0.8, 0),
        "JH": (2.7, 0.8, 1),
        "HH": (5, 2, 0),
        "L": (2, 4, 1),
        "R": (2.5, 4.2, 1),
    },
    **{"W": (0, 4.5, 1), "Y": (3, 4.5, 1)},
}
VOWELS: dict[str, tuple[float, ...]] = {
    **{
        "IY": (3, 0, 0, 0),
        "IH": (2.5, 0.4, 0, 0),
        "EY": (2, 0, 0, 1),
        "EH": (1.3, 0.3, 0, 0),
        "AE": (0.5, 0.3, 0, 0),
        "AA": (0, 1.6, 0, 0),
    },
    **{
        "AO": (0.8, 2, 1, 0),
        "OW": (1.7, 2, 1, 1),
        "UH": (2.5, 1.7, 1, 0),
        "UW": (3, 1.8, 1, 0),
        "AH": (1.2, 1.1, 0, 0),
        "ER": (1.5, 1, 0.5, 0.5),
    },
    **{"AY": (0.7, 1, 0, 2), "AW": (0.7, 1.3, 0.5, 2), "OY": (1.2, 1.7, 0.5, 2)},
}


@dataclass(frozen=True)
class Confusable:
    """A text that sounds like a phrase; `distance` is 0 for the same sounds and about 1 for unrelated ones."""

    text: str
    distance: float


def nearest(phrases: Sequence[str], count: int, words: Sequence[str] | None = None) -> list[Confusable]:
    """The texts nearest to any of the phrases, the nearest first; none for a language without a dictionary, or a pronunciation.

    What sounds the same as a phrase, or contains one, is not among them.
    """
    english = [phrase for phrase in phrases if not is_pronunciation(phrase) and language_of(phrase)[0] == ENGLISH]
    if not english:
        return []
    known = (
        _Dictionary(dictionary(), _own_words()) if words is None else _Dictionary(dict(zip(words, transcribe(words), strict=True)), words)
    )
    found = [one for phrase in english for one in (_of_several(phrase, known) if " " in phrase.strip() else _of_one(phrase, known))]
    allowed = [one for one in found if NEAREST < one.distance < FURTHEST and not contains_phrase(one.text, phrases)]
    return sorted(_varied(allowed, count), key=lambda one: one.distance)


def dictionary() -> dict[str, list[str]]:
    """Words and their phones, from the dictionaries on this machine; what eSpeak NG has to tell is kept in the cache."""
    known = _lexicon(LEXICON.read_text(encoding="utf-8", errors="ignore")) if LEXICON.is_file() else {}
    lists = (path.read_text(encoding="utf-8", errors="ignore").split() for path in WORD_LISTS if path.is_file())
    words = sorted({word for each in lists for word in each if len(word) > 2 and _WORD.fullmatch(word)} | _own_words() - known.keys())
    path = cache_folder() / "dictionaries" / f"{sha256_of(' '.join(words).encode())[:12]}.txt"
    if not path.is_file():
        say(f"Looking up how {len(words):,} words are said (once).")
        lines = (f"{word} {' '.join(phones)}" for word, phones in zip(words, transcribe(words), strict=True) if phones)
        write_text(path, "\n".join(lines) + "\n")
    return known | {word: phones for word, *phones in (line.split() for line in path.read_text(encoding="utf-8").splitlines())}


def _lexicon(text: str) -> dict[str, list[str]]:
    """The words of festival's lexicon, whose phones are those of eSpeak NG's words here in small letters, and `ax`."""
    found = ((matched[1], re.findall("[a-z]+", matched[2])) for matched in _ENTRY.finditer(text))
    return {word: [("ah" if phone == "ax" else phone).upper() for phone in phones] for word, phones in found}


def _own_words() -> set[str]:
    texts = [*NAMES, *(word for words in WORDS.values() for word in words)]
    for name in TEXTS:
        if (path := manifest_path(name)).is_file():
            texts += re.findall(r'"text": "([^"]*)"', path.read_text(encoding="utf-8"))
    return {word for text in texts for word in _WORD.findall(text.lower())}


class _Dictionary:
    """Words as rows of the numbers of their phones, with -1 after the last."""

    def __init__(self, words: Mapping[str, list[str]], common: Collection[str]) -> None:
        first = {tuple(phones): word for word, phones in words.items() if phones and word not in common}
        first |= {tuple(phones): word for word, phones in words.items() if phones and word in common}
        self.words = list(first.values())  # one for words that sound the same
        self.rare = np.array([word not in common for word in self.words])
        self.lengths = np.array([len(words[word]) for word in self.words])
        self.rows = np.full((len(self.words), max(self.lengths, default=0)), -1)
        for row, word in zip(self.rows, self.words, strict=True):
            row[: len(words[word])] = [PHONES.index(phone) for phone in words[word]]

    def distances(self, phones: Sequence[str]) -> Doubles:
        """The distance of every word to a sequence of phones, divided by the length of the longer one."""
        costs = phone_costs()
        numbers = [PHONES.index(phone) for phone in phones]
        above = np.repeat(MISSING * np.arange(self.rows.shape[1] + 1)[None], len(self.words), axis=0)
        for position, number in enumerate(numbers, 1):
            here = np.empty_like(above)
            here[:, 0] = MISSING * position
            for column in range(self.rows.shape[1]):
                changed = above[:, column] + costs[number, self.rows[:, column]]
                here[:, column + 1] = np.minimum(np.minimum(above[:, column + 1], here[:, column]) + MISSING, changed)
            above = here
        found: Doubles = above[np.arange(len(self.words)), self.lengths] / np.maximum(self.lengths, len(numbers))
        return found


def _of_one(phrase: str, known: _Dictionary) -> list[Confusable]:
    distances = known.distances(_phones(phrase))
    order = np.argsort(distances + RARE * known.rare, kind="stable")[:NEIGHBOURS]
    return [Confusable(known.words[index], float(distances[index])) for index in order]


def _of_several(phrase: str, known: _Dictionary) -> list[Confusable]:
    """One word of the phrase left out, or replaced by one that sounds like it; the distance counts for its part of the phrase."""
    words = phrase.split()
    sizes = [len(_phones(word)) for word in words]
    parts = [size / sum(sizes) for size in sizes]
    around = [(words[:place], words[place + 1 :]) for place in range(len(words))]
    made = [
        Confusable(" ".join(before + after), min(MISSING * part, FURTHEST - 0.01))
        for (before, after), part in zip(around, parts, strict=True)
    ]
    others = [[one for one in _of_one(word, known) if NEAREST < one.distance < FURTHEST] for word in words]
    for turn in zip_longest(*(several[:NEIGHBOURS] for several in others)):
        for (before, after), part, other in zip(around, parts, turn, strict=True):
            if other is not None:
                made.append(Confusable(" ".join([*before, other.text, *after]), max(part * other.distance, NEAREST + 0.01)))
    return made


def _phones(text: str) -> list[str]:
    phones = transcribe([text])[0]
    if not phones:
        raise SpeechtlError(f"eSpeak NG cannot tell how {text!r} is said in English; write it as it sounds.")
    return phones


def _varied(sorted_ones: Sequence[Confusable], count: int) -> list[Confusable]:
    """The first ones, without plurals of others."""
    chosen: list[Confusable] = []
    for one in sorted_ones:
        if len(chosen) == count:
            break
        if not any(one.text.rstrip("'s") == other.text.rstrip("'s") for other in chosen):
            chosen.append(one)
    return chosen


@lru_cache(1)
def phone_costs() -> Doubles:
    """What it costs to replace a phone by another, from 0 to 1; the last row and column are for no phone."""
    costs = np.full((len(PHONES) + 1, len(PHONES) + 1), ELSEWHERE)
    for kind, widths in ((CONSONANTS, (5.0, 4.5, 1.5)), (VOWELS, (3.0, 2.0, 1.5, 2.0))):
        for one, features in kind.items():
            for other, others in kind.items():
                apart = [abs(a - b) / width for a, b, width in zip(features, others, widths, strict=True)]
                costs[PHONES.index(one), PHONES.index(other)] = min(sum(apart), 1.0)
    return costs
