"""Settings that override those of the bundles, for all words or for single ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from speechtl.errors import SpeechtlError, did_you_mean

if TYPE_CHECKING:  # the command line's help imports this module, and needs no numpy
    from speechtl.runtime.bundle.wake_word import Bundle, Word

LONGEST_REFRACTORY = 86_400.0  # seconds


@dataclass(frozen=True)
class PerWord:
    """A number for all words (None: the bundles' own), and numbers for single words, which take precedence."""

    common: float | None = None
    own: Mapping[str, float] = field(default_factory=dict)

    def of(self, word: str) -> float | None:
        """The number for a word, or None."""
        return self.own.get(word, self.common)


BUNDLES_OWN = PerWord()


def thresholds(given: Sequence[str]) -> PerWord:
    """Thresholds as `--threshold` takes them: `0.6`, `computer=0.7`."""
    return _per_word("--threshold", given, "above 0 and at most 1", lambda number: 0.0 < number <= 1.0)


def refractory_times(given: Sequence[str]) -> PerWord:
    """Refractory times as `--refractory` takes them, in seconds: `2`, `computer=3`."""
    allowed = f"from 0 to {LONGEST_REFRACTORY:.0f} seconds"
    return _per_word("--refractory", given, allowed, lambda number: 0.0 <= number <= LONGEST_REFRACTORY)


@dataclass(frozen=True)
class Choice:
    """Overrides of a bundle's settings: thresholds, refractory times (seconds), the graph, and its runtime.

    `clips` names the words whose clips are kept; empty: all words.
    """

    threshold: PerWord = BUNDLES_OWN
    refractory: PerWord = BUNDLES_OWN
    graph: str | None = None
    engine: str | None = None
    clips: tuple[str, ...] = ()

    def words(self, bundle: Bundle) -> list[Word]:
        """The words of a bundle with these settings."""
        return [self._word(word) for word in bundle.words]

    def unknown(self, known: Collection[str]) -> Iterator[str]:
        """A sentence for every word that is named here and not in `known`."""
        named = {"--threshold": self.threshold.own, "--refractory": self.refractory.own, "--clips": self.clips}
        for option, words in named.items():
            for word in words:
                if word not in known:
                    there = ", ".join(known) or "no word"
                    yield f"{option} names the word {word!r}, which no bundle has{did_you_mean(word, known)}; the words are: {there}."

    def check(self, known: Collection[str]) -> None:
        """Raise `SpeechtlError` for a word that is named here and not in `known`."""
        for sentence in self.unknown(known):
            raise SpeechtlError(sentence)

    def _word(self, word: Word) -> Word:
        trigger = word.trigger
        if (threshold := self.threshold.of(word.name)) is not None:
            trigger = replace(trigger, threshold=threshold)
        if (refractory := self.refractory.of(word.name)) is not None:
            trigger = replace(trigger, refractory=refractory)
        return replace(word, trigger=trigger)


def _per_word(option: str, given: Sequence[str], allowed: str, fits: Callable[[float], bool]) -> PerWord:
    numbers: dict[str | None, float] = {}
    for text in given:
        word, equals, number = text.rpartition("=")  # a word may contain "="
        value = _number(number)
        if (equals and not word) or not fits(value):
            raise SpeechtlError(f"{option} must be a number {allowed}, or WORD=NUMBER; got {text!r}.")
        key = word if equals else None
        if key in numbers:
            raise SpeechtlError(f"{option} is given twice for {'all words' if key is None else repr(key)}; give it once.")
        numbers[key] = value
    return PerWord(numbers.get(None), {word: value for word, value in numbers.items() if word is not None})


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
