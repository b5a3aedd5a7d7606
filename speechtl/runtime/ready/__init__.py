"""The ready words that come with the package: one bundle with all of them, and a card for each."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from speechtl.errors import BundleError, did_you_mean

FOLDER = Path(__file__).parent
BUNDLE = FOLDER / "ready.wake"
TOGETHER = "+"  # between ready words that are heard in one pass of the encoder


def names() -> list[str]:
    """The ready words, in alphabetical order."""
    return sorted(card.stem for card in FOLDER.glob("*.md"))


def card(name: str) -> str:
    """The card of a ready word: what it was made from and how well it does, in Markdown; raises `BundleError` for another word."""
    return _card(words_of(Path(name))[0]).read_text(encoding="utf-8")


def summary(name: str) -> str:
    """The first line of a ready word's card."""
    return card(name).splitlines()[0]


def words_of(place: Path) -> list[str]:
    """The ready words that a place names which is no file, such as `computer` or `alexa+computer`; raises `BundleError` for others."""
    known = names()
    asked = str(place).split(TOGETHER)
    for name in asked:
        if name not in known:
            there = f"the ready words are: {', '.join(known)}" if known else "there are no ready words in this installation"
            raise BundleError(f"{place} does not exist, and is no ready word{did_you_mean(name, known)}; {there}. See: speechtl words")
    return asked


def together(places: Iterable[Path]) -> list[Path]:
    """The places with all ready words among them as one, so that the encoder hears the sound once."""
    known = set(names())
    kept: list[Path] = []
    asked: list[str] = []
    for place in places:
        if place.exists() or not known.issuperset(words := str(place).split(TOGETHER)):
            kept.append(place)
        else:
            asked += words
    return [*kept, *([Path(TOGETHER.join(dict.fromkeys(asked)))] if asked else [])]


def _card(name: str) -> Path:
    return FOLDER / f"{name}.md"
