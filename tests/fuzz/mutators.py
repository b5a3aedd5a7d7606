"""Changes to bytes, to documents and to archives; everything random comes from the generator that is given."""

from __future__ import annotations

import copy
import hashlib
import io
import json
import struct
import zipfile
from functools import cache
from random import Random
from typing import Any

ABOUT = "bundle.json"
BIG = (2**31 - 1, 2**31, 2**32, 2**53, 2**63 - 1, 2**63, 2**64, 10**12, 10**18, 10**400)
NUMBERS = (0, -1, 1, 2, 3, 255, 256, 65536, 10**5, 10**6, 10**9, *BIG, *(-value for value in BIG), 0.5, -0.0, 1e-308, 1e300, 1e308)
TEXTS = ("", " ", "0", "nan", "../../x", "/dev/zero", "\0", "\n", "\x1b[31m", "\x9b2J", "\u2028", "\ud800", "你好", "a" * 5000, "<script>")
WRITTEN = ("NaN", "Infinity", "-Infinity", "1e999", "[" * 3000, "[" * 300 + "]" * 300, "[" * 100_000, '{"a":' * 500 + "1" + "}" * 500)


def mutate_bytes(content: bytes, random: Random) -> bytes:
    """Bytes with one to four changes: flips, other values, cuts, insertions, repetitions, and large numbers."""
    changed = bytearray(content)
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        place = random.randrange(len(changed) + 1)
        if random.random() < 0.5:  # the head of a file says how the rest is read
            place = min(place, random.randrange(256))
        kind = random.randrange(8)
        if kind == 0 and place < len(changed):
            changed[place] ^= 1 << random.randrange(8)
        elif kind == 1 and place < len(changed):
            changed[place] = random.choice((0, 1, 127, 128, 255, random.randrange(256)))
        elif kind == 2:
            del changed[place:]
        elif kind == 3:
            del changed[place : place + random.choice((1, 2, 4, 8, 100))]
        elif kind == 4:
            changed[place:place] = random.randbytes(random.choice((1, 2, 4, 8, 100)))
        elif kind == 5:
            start = random.randrange(len(changed) + 1)
            changed[place:place] = changed[start : start + random.choice((4, 16, 64, 1024))]
        elif kind == 6:
            changed[place : place + 4] = struct.pack(random.choice("<>") + "I", random.choice((0, 1, 2**16, 2**31 - 1, 2**31, 2**32 - 1)))
        else:
            changed[place : place + 8] = struct.pack(random.choice("<>") + "Q", random.choice((0, 1, 10**12, 2**63 - 1, 2**64 - 1)))
    return bytes(changed)


def mutate_document(document: Any, random: Random) -> Any:
    """A JSON-like document, changed in place: one to three values replaced, left out, or moved to another place."""
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        if not isinstance(document, dict | list) or not document:
            return _value(random, document)
        above, key = _place(document, random)
        kind = random.randrange(10)
        if kind == 0:
            del above[key]
        elif kind == 1:
            other, there = _place(document, random)
            above[key] = copy.deepcopy(other[there])
        elif kind == 2 and isinstance(above, dict):
            above[random.choice(TEXTS)] = above.pop(key)
        elif kind == 2:
            above.insert(key, copy.deepcopy(above[key]))
        else:
            above[key] = _value(random, above[key])
    return document


def write_json(document: Any, random: Random) -> bytes:
    """A document as JSON, in which now and then a value stands as no encoder would write it, or a key stands twice."""
    text = json.dumps(document)
    kind = random.randrange(12)
    if kind == 0:
        places = [place for place, letter in enumerate(text) if letter == ":"]
        if places:
            place = random.choice(places) + 2
            end = min((found for mark in ",}" if (found := text.find(mark, place)) > 0), default=len(text))
            text = text[:place] + random.choice(WRITTEN) + text[end:]
    elif kind == 1:
        text = text.replace("{", '{"name": [], ', 1)
    elif kind == 2:
        return mutate_bytes(text.encode(), random)
    return text.encode()


def write_toml(document: Any, random: Random) -> bytes:
    """A document as TOML, with the sections as tables within lines."""
    if not isinstance(document, dict):
        return _toml(document).encode("utf-8", "replace")
    text = "".join(f"{json.dumps(key)} = {_toml(value)}\n" for key, value in document.items())
    if random.randrange(12) == 0:
        return mutate_bytes(text.encode("utf-8", "replace"), random)
    return text.encode("utf-8", "replace")


def read_zip(content: bytes) -> dict[str, bytes]:
    """The members of an archive."""
    return dict(_members(content))


@cache
def _members(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_zip(members: dict[str, bytes]) -> bytes:
    """An archive of members."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return target.getvalue()


def write_bundle(members: dict[str, bytes]) -> bytes:
    """A bundle whose listing has the sizes and hashes of its members."""
    about = json.loads(members[ABOUT])
    for name, content in members.items():
        if name != ABOUT:
            about["files"][name] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    return write_zip({**members, ABOUT: json.dumps(about).encode()})


def _place(document: Any, random: Random) -> tuple[Any, Any]:
    """A random place at any depth, as what it is in and its key; long lists are chosen no more often than short ones."""
    while True:
        key = random.choice(list(document)) if isinstance(document, dict) else random.randrange(len(document))
        inside = document[key]
        if not isinstance(inside, dict | list) or not inside or random.random() < 0.25:
            return document, key
        document = inside


def _value(random: Random, before: Any) -> Any:
    kind = random.randrange(8)
    if kind == 0:
        return random.choice((True, False, None))
    if kind == 1:
        return random.choice(([], {}, [before], {"a": before}, [before] * 3, [[]], [None], {"": None}))
    if kind == 2:
        return random.choice(TEXTS)
    if kind == 3:
        return random.choice((float("nan"), float("inf"), float("-inf"), 1e308))
    if kind == 4 and isinstance(before, str):
        return mutate_bytes(before.encode("utf-8", "surrogatepass"), random).decode("utf-8", "replace")
    if kind == 4 and isinstance(before, int | float) and abs(before) < 2**53:
        return before * random.choice((-1, 2, 10, 1000, 10**6)) + random.choice((0, 1, -1, 0.5))
    if kind == 5:
        return str(before)
    return random.choice(NUMBERS)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(str(key))} = {_toml(inside)}" for key, inside in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, float):
        return repr(value)  # inf and nan are written so in TOML
    return '"none"' if value is None else json.dumps(value)
