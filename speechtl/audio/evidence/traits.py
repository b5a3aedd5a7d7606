"""What a manifest tells about a recording: who speaks, into what, from how far away, and which kind of sound it is."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from speechtl.audio.data.manifest import Clip

# Kinds of slices of the word, and the keys of a line that tell them: the first one that a line has.
TRAITS = {
    "age": ("age", "age_group"),
    "sex": ("sex", "gender"),
    "accent": ("accent", "accents"),
    "device": ("device",),
    "room": ("room",),
    "distance": ("distance",),
}
AGES = ((13, "under 13"), (20, "13 to 19"), (40, "20 to 39"), (60, "40 to 59"))  # years
OLDEST = "60 and over"
DISTANCES = ((1.0, "under 1 m"), (2.0, "1 to 2 m"), (4.0, "2 to 4 m"))  # metres
FARTHEST = "4 m and more"
SEXES = {"f": "female", "m": "male", "female_feminine": "female", "male_masculine": "male"}  # Common Voice writes the long ones

OTHER = "other"
# Kinds of negatives, and the words in the name of a manifest or a folder that tell them; the first kind with such a word counts.
SOUNDS = {
    "confusables": {"confusable", "confusables", "similar", "near"},
    "television-like": {"tv", "television", "radio", "broadcast", "film", "films", "movie", "movies", "podcast", "podcasts"},
    "music": {"music", "songs"},
    "noise": {"noise", "noises", "background", "backgrounds", "ambient", "sounds"},
    "other keywords": {"word", "words", "keyword", "keywords", "wake", "command", "commands", "precise", "wuw"},
    "conversation": {"conversation", "conversations", "meeting", "meetings", "dinner", "talk", "dialog", "dialogue", "chat"},
    "read": {"read", "reading", "sentences", "librispeech", "voice", "speechocean762", "alphanumeric"},
}
_WORD = re.compile(r"[a-z0-9]+")


def trait(clip: Clip, kind: str) -> str | None:
    """The group of a recording in slices of a kind ("age": "20 to 39"); None if its manifest does not tell."""
    value = next((clip.extra[key] for key in TRAITS[kind] if clip.extra.get(key) not in (None, "")), None)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    if isinstance(value, str):
        return _SPELT.get(kind, str.strip)(value) or None
    return _BANDS[kind](value) if kind in _BANDS else f"{value:g}"


def sound(clip: Clip) -> str:
    """The kind of sound of a negative: the `kind` of its line, otherwise what the name of its manifest or folder tells."""
    told = clip.extra.get("kind")
    return told.strip() if isinstance(told, str) and told.strip() else sound_of_name(clip.manifest)


def sound_of_name(manifest: Path) -> str:
    """The kind of sound that the name of a manifest or folder tells: `noise_kitchen.jsonl` is noise."""
    words = set(_WORD.findall(manifest.stem.lower()))
    return next((kind for kind, names in SOUNDS.items() if words & names), OTHER)


def _band(limits: tuple[tuple[float, str], ...], last: str) -> Callable[[float], str]:
    return lambda value: next((name for limit, name in limits if value < limit), last)


def _sex(text: str) -> str:
    return SEXES.get(text.strip().lower(), text.strip().lower())


_BANDS = {"age": _band(AGES, OLDEST), "distance": _band(DISTANCES, FARTHEST)}
_SPELT: dict[str, Callable[[str], str]] = {"sex": _sex}
