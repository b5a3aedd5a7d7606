"""English sentences made from a grammar, in which a given phrase never occurs.

The words cover every English phoneme in several positions, short and long words, numbers, names and household commands.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np

from speechtl.audio.phrases import words as spoken_words
from speechtl.errors import SpeechtlError

CONFUSABLE_SHARE = 0.4  # of the sentences, when there are confusable words
TRIES = 200


def listed(text: str) -> tuple[str, ...]:
    """The words of a text: a compact way to write long tuples."""
    return tuple(text.split())


WORDS: dict[str, tuple[str, ...]] = {
    "name": listed(
        "Alice Joshua Beatrice Hugo Charlotte Ravi Yasmin Oscar Phoebe Victor Georgia Theo Zoe Judith Kenneth Martha Noah Shirley "
        "Wendy Ethan"
    ),
    "noun": listed(
        "garden bicycle mountain kettle treasure orchestra umbrella window thunder chicken blanket village engine ribbon candle pocket "
        "journey painting whistle forest harbour lantern mirror oyster pigeon quarrel river saddle teacher uncle vacuum wagon yoghurt "
        "zebra bridge cloud feather glove hedge island jacket ladder measure needle onion pillow rhythm shoulder thimble voice witch "
        "exercise breakfast television photograph elephant newspaper vegetable carpenter physician computation commuter temperature"
    ),
    "adjective": listed(
        "yellow quiet enormous bitter curious fragile gentle heavy purple smooth thirsty useful vague warm young ancient bright clumsy "
        "dusty early foolish golden hungry icy jolly loud modern narrow ordinary precious rough shallow tiny unusual violet wooden"
    ),
    "past": (
        *("followed", "painted", "borrowed", "measured", "watched", "carried", "noticed", "pushed", "repaired", "laughed at", "thought of"),
        *("chased", "dropped", "found", "washed", "bought", "hid", "described", "examined", "forgot", "kicked", "loved", "mentioned"),
        *("opened", "refused", "shared", "touched", "visited", "joined", "enjoyed", "whispered about"),
    ),
    "place": (
        *("beside the church", "behind the old mill", "under the table", "near the southern beach", "across the valley", "in the kitchen"),
        *("above the garage", "at the railway station", "inside the museum", "between two hills", "along the path", "outside the zoo"),
    ),
    "time": (
        *("yesterday", "before sunrise", "on Thursday", "at half past five", "in January", "every other week", "around midnight"),
        *("three years ago", "after lunch", "this evening", "for an hour", "in the autumn", "once again", "without warning"),
    ),
    "number": ("two", "three", "four", "five", "six", "seven", "eight", "nine", "eleven", "twelve", "thirteen", "forty", "a hundred"),
    "plural": listed("boxes judges horses leaves teeth mice children bottles shells knives pages coins gifts hours thieves geese"),
    "command": (
        *(
            "turn off the lights",
            "play some quiet music",
            "set an alarm",
            "open the curtains",
            "what is the weather like",
            "call my brother",
        ),
        *("lower the volume", "read me the news", "add milk and bread to the list", "how far is the airport", "stop the washing machine"),
    ),
    "aside": ("I think", "to be honest", "as you know", "they said", "oddly enough", "by the way", "of course", "I am afraid"),
}
PATTERNS = (
    "{name} {past} the {adjective} {noun} {place}.",
    "The {noun} and the {adjective} {noun} were {place} {time}.",
    "{aside}, {name} bought {number} {plural} {time}.",
    "Please {command} {time}.",
    "Why is there a {noun} {place}?",
    "{name} and {name} {past} {number} {adjective} {plural}.",
    "There is no {adjective} {noun} here, but you can see {number} {plural} {place}.",
    "{time}, a {adjective} {noun} {past} our {noun}.",
    "Could you {command}, {name}?",
)
CONFUSABLE_PATTERNS = (
    "{confusable}.",
    "{name} said {confusable} {time}.",
    "The word {confusable} was on the {adjective} {noun}.",
    "{aside}, {confusable} is not the same as {noun}.",
    "{confusable}, {confusable} and {noun}.",
)

_SLOT = re.compile(r"\{(\w+)\}")


def sentences(random: np.random.Generator, phrases: Sequence[str], confusables: Sequence[str] = ()) -> Iterator[str]:
    """Yield sentences without end; none contains one of `phrases`, and some contain one of `confusables`.

    Raises `SpeechtlError` when a confusable contains a phrase, or when every sentence would.
    """
    for confusable in confusables:
        if contains_phrase(confusable, phrases):
            raise SpeechtlError(f"{confusable!r} cannot be a confusable: it contains one of the phrases {', '.join(map(repr, phrases))}.")
    while True:
        yield _sentence_without(random, phrases, confusables)


def contains_phrase(text: str, phrases: Sequence[str]) -> bool:
    """Whether a phrase occurs in a text, also inside a longer word (`computers` contains `computer`)."""
    spoken = plain(text)
    return any(plain(phrase) in spoken for phrase in phrases)


def plain(text: str) -> str:
    """The words of a text as `phrases.words` does, without the apostrophes."""
    return spoken_words(text.replace("'", "").replace("\u2019", ""))


def _sentence_without(random: np.random.Generator, phrases: Sequence[str], confusables: Sequence[str]) -> str:
    for _ in range(TRIES):
        sentence = _sentence(random, confusables)
        if not contains_phrase(sentence, phrases):
            return sentence
    raise SpeechtlError(f"No sentence without the phrases {', '.join(map(repr, phrases))} was found; give phrases that are less common.")


def _sentence(random: np.random.Generator, confusables: Sequence[str]) -> str:
    use_confusable = bool(confusables) and random.random() < CONFUSABLE_SHARE
    patterns = CONFUSABLE_PATTERNS if use_confusable else PATTERNS
    words = {**WORDS, "confusable": tuple(confusables)}
    filled = _SLOT.sub(lambda slot: choose(random, words[slot[1]]), choose(random, patterns))
    filled = re.sub(r"\b([Aa]) (?=[aeio]|un|um)", r"\1n ", filled)
    return filled[0].upper() + filled[1:]


def choose(random: np.random.Generator, choices: Sequence[str]) -> str:
    """One of several texts, all equally probable."""
    return choices[int(random.integers(len(choices)))]
