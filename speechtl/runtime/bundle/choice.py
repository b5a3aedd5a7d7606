"""Settings that override those of the bundles, for all words or for single ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from speechtl.errors import BundleError, SpeechtlError, did_you_mean

if TYPE_CHECKING:  # the command line's help imports this module, and needs no numpy
    from speechtl.runtime.bundle.sensitivity import Setting
    from speechtl.runtime.bundle.wake_word import Bundle, Word

LONGEST_REFRACTORY = 86_400.0  # seconds
MOST_PER_DAY = 10_000.0  # false accepts


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


def rates(given: Sequence[str]) -> PerWord:
    """False accepts a day as `--false-accepts-per-day` takes them: `1`, `computer=0.5`."""
    allowed = f"above 0 and at most {MOST_PER_DAY:.0f}"
    return _per_word("--false-accepts-per-day", given, allowed, lambda number: 0.0 < number <= MOST_PER_DAY)


@dataclass(frozen=True)
class Choice:
    """Overrides of a bundle's settings: thresholds, refractory times (seconds), the graph, and its runtime.

    `clips` names the words whose clips are kept; empty: all words. `per_day` are rates of false accepts, from which thresholds follow:
    the one for all words is shared equally by the words of a bundle that have neither a rate nor a threshold of their own.
    """

    threshold: PerWord = BUNDLES_OWN
    refractory: PerWord = BUNDLES_OWN
    graph: str | None = None
    engine: str | None = None
    clips: tuple[str, ...] = ()
    per_day: PerWord = BUNDLES_OWN

    def __post_init__(self) -> None:
        both = sorted(self.per_day.own.keys() & self.threshold.own.keys())
        if both or None not in (self.per_day.common, self.threshold.common):
            whom = repr(both[0]) if both else "all words"
            raise SpeechtlError(f"--threshold and --false-accepts-per-day are both given for {whom}; give one of them.")

    def words(self, bundle: Bundle) -> list[Word]:
        """The words of a bundle with these settings; raises `BundleError` where it cannot tell the threshold for a rate."""
        chosen = self.settings(bundle)
        return [self._word(word, chosen.get(word.name)) for word in bundle.words]

    def settings(self, bundle: Bundle) -> dict[str, Setting]:
        """The settings of the words of a bundle that are chosen by their false accepts a day."""
        return {word.name: _setting(bundle, word, rate) for word, rate in self._rates(bundle.words)}

    def explain(self, bundle: Bundle) -> Iterator[str]:
        """A sentence for each word whose threshold follows from its false accepts a day: what that costs."""
        for word, setting in self.settings(bundle).items():
            yield f"{word}: {setting}.{f' {setting.beyond}' if setting.beyond else ''}"

    def _rates(self, words: Sequence[Word]) -> Iterator[tuple[Word, float]]:
        sharing = [word.name for word in words if word.name not in {**self.per_day.own, **self.threshold.own}]
        for word in words:
            rate = self.per_day.of(word.name)
            if rate is not None and word.name not in self.threshold.own:
                yield word, rate if word.name in self.per_day.own else rate / len(sharing)

    def unknown(self, known: Collection[str]) -> Iterator[str]:
        """A sentence for every word that is named here and not in `known`."""
        named = {
            "--threshold": self.threshold.own,
            "--false-accepts-per-day": self.per_day.own,
            "--refractory": self.refractory.own,
            "--clips": self.clips,
        }
        for option, words in named.items():
            for word in words:
                if word not in known:
                    there = ", ".join(known) or "no word"
                    yield f"{option} names the word {word!r}, which no bundle has{did_you_mean(word, known)}; the words are: {there}."

    def check(self, known: Collection[str]) -> None:
        """Raise `SpeechtlError` for a word that is named here and not in `known`."""
        for sentence in self.unknown(known):
            raise SpeechtlError(sentence)

    def _word(self, word: Word, chosen: Setting | None) -> Word:
        trigger = word.trigger
        threshold = self.threshold.of(word.name) if chosen is None else chosen.threshold
        if threshold is not None:
            trigger = replace(trigger, threshold=threshold)
        if (refractory := self.refractory.of(word.name)) is not None:
            trigger = replace(trigger, refractory=refractory)
        return replace(word, trigger=trigger)


def _setting(bundle: Bundle, word: Word, per_day: float) -> Setting:
    if word.sensitivity is None:
        raise BundleError(
            f"{bundle.path} does not tell which threshold gives {per_day:g} false accepts a day of {word.name!r}: it was made by an older "
            "speechtl, or from a training without calibration. Train and export it again, or give --threshold."
        )
    setting = word.sensitivity.at_rate(per_day)
    if setting.recall == 0.0:
        raise BundleError(
            f"With {per_day:g} false accepts a day {word.name!r} would not be detected at all: no validation recording reaches a threshold "
            f"of {setting.threshold:.4g}. Give more than {word.sensitivity.deaf_per_day:.2g}."
        )
    return setting


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
