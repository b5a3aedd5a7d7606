"""English texts as phones, the labels of a recogniser, and the edits between two sequences of them.

eSpeak NG (from PyPI, `espeakng-loader`) knows how words are said; its phonemes of American English become the 39 phones of
the CMU Pronouncing Dictionary (ARPABET without stress), with which recognisers of English are usually compared.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from speechtl.audio.synthesis import espeak_process as espeak
from speechtl.errors import AudioError, MissingExtraError

PHONES = tuple(
    "AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW V W Y Z ZH".split()  # noqa: SIM905
)
BLANK = 0  # of CTC; the phones count from one
TEXTS = 20_000  # to a process
SECONDS = 600.0  # that a process may take
VOICE = "en-us"
PAUSE = "_:"  # among eSpeak NG's mnemonics, between which stands "_"
OTHER_LETTERS = "æœøßłđðþı"  # of the Latin alphabet, that do not come apart into a letter and a mark
READ_OUT = "°½¼¾"  # beside letters, ASCII, punctuation and currencies

# eSpeak NG's mnemonics without marks of stress (', and ,), length (:) where it makes no difference, and variants (digits, #, ;, -).
_MNEMONICS = {
    **dict.fromkeys(["A:", "A", "0", "A~"], "AA"),
    **dict.fromkeys(["a", "aa", "a2"], "AE"),
    **dict.fromkeys(["V", "@", "a#", "@2", "@5", "V2", "I2#"], "AH"),
    **dict.fromkeys(["O:", "O", "O2", "o"], "AO"),
    "aU": "AW",
    **dict.fromkeys(["aI", "AI"], "AY"),
    **dict.fromkeys(["E", "E2", "e"], "EH"),
    **dict.fromkeys(["3:", "3"], "ER"),
    "eI": "EY",
    **dict.fromkeys(["I", "I2", "I#"], "IH"),
    **dict.fromkeys(["i:", "i", "y"], "IY"),
    **dict.fromkeys(["oU", "o:"], "OW"),
    "OI": "OY",
    **dict.fromkeys(["U", "U2"], "UH"),
    **dict.fromkeys(["u:", "u", "U:"], "UW"),
    **{sign: sign.upper() for sign in "bdfgklmnprstvwz"},
    **dict.fromkeys(["t#", "t2", "?", "t-"], "T"),
    **dict.fromkeys(["h", "H"], "HH"),
    **dict.fromkeys(["tS"], "CH"),
    **dict.fromkeys(["dZ"], "JH"),
    "D": "DH",
    "T": "TH",
    "S": "SH",
    "Z": "ZH",
    "N": "NG",
    "j": "Y",
    "x": "K",
    "L": "L",
    "R": "R",
}
_SEVERAL = {
    **dict.fromkeys(["A@", "A@r"], ("AA", "R")),
    **dict.fromkeys(["O@", "o@", "O@r"], ("AO", "R")),
    **dict.fromkeys(["e@", "E@"], ("EH", "R")),
    **dict.fromkeys(["i@3", "I@", "i@r"], ("IH", "R")),
    "i@": ("IY", "AH"),
    "I3": ("IY", "ER"),
    "U@": ("UH", "R"),
    "aI@": ("AY", "AH"),
    "aI3": ("AY", "ER"),
    "aU@": ("AW", "AH"),
    "aU3": ("AW", "ER"),
    "oI": ("OY",),
    "@L": ("AH", "L"),
    "n-": ("AH", "N"),
    "m-": ("AH", "M"),
    "l-": ("AH", "L"),
    "@-": ("AH",),
    "IR": ("ER",),
}
_SILENT = {"", "r-"}  # an r that only links


def transcribe(texts: Sequence[str]) -> list[list[str]]:
    """The phones of every text; none for one without words, with a sound that English does not have, or that cannot be read.

    Letters of other alphabets, pictures and control characters cannot be: eSpeak NG reads out their names, which people do not. Neither can
    a text on which it fails. Raises `MissingExtraError` where eSpeak NG is not installed, and `AudioError` where it fails on all.
    """
    phones: list[list[str]] = []
    for first in range(0, len(texts), TEXTS):
        lines = [" ".join(text.split()) for text in texts[first : first + TEXTS]]
        for line in _mnemonics([line if _is_readable(line) else "" for line in lines]):
            known = [_phones(mnemonic) for mnemonic in line.replace(PAUSE, " ").replace("_", " ").split()]
            phones.append([] if None in known else [phone for several in known for phone in several or ()])
    return phones


def _is_readable(text: str) -> bool:
    """Whether all characters can be read aloud in English."""
    return all((sign.isascii() and sign.isprintable()) or sign in READ_OUT or _is_latin(sign) for sign in text)


def _is_latin(sign: str) -> bool:
    kind = unicodedata.category(sign)
    if kind.startswith("L"):
        return unicodedata.normalize("NFD", sign)[0].isascii() or sign.lower() in OTHER_LETTERS
    return kind[0] in "MP" or kind in ("Sc", "Zs")  # marks, punctuation, currencies, spaces


def numbers(phones: Sequence[str]) -> list[int]:
    """Phones as the classes of CTC."""
    return [PHONES.index(phone) + 1 for phone in phones]


def edits(wanted: Sequence[object], given: Sequence[object]) -> int:
    """The number of insertions, deletions and replacements between two sequences (Levenshtein 1966)."""
    row = list(range(len(given) + 1))
    for index, one in enumerate(wanted):
        diagonal, row[0] = row[0], index + 1
        for column, other in enumerate(given, start=1):
            diagonal, row[column] = row[column], min(diagonal + (one != other), row[column] + 1, row[column - 1] + 1)
    return row[-1]


def _phones(mnemonic: str) -> tuple[str, ...] | None:
    plain = mnemonic.lstrip("',%=|!").replace(";", "").replace("~", "")
    if plain in _SILENT or plain.startswith("("):  # a change of language, such as (en)
        return ()
    one = _MNEMONICS.get(plain)
    return _SEVERAL.get(plain) if one is None else (one,)


def _mnemonics(lines: Sequence[str]) -> list[str]:
    """The mnemonics of every line; nothing for one on which eSpeak NG fails."""
    done = _written(lines)
    if isinstance(done, list):
        return done
    if len(lines) == 1:
        if isinstance(_written(["a"]), str):
            raise AudioError(f"eSpeak NG could not turn texts into phones: {done}")
        return [""]
    half = len(lines) // 2
    return _mnemonics(lines[:half]) + _mnemonics(lines[half:])


def _written(lines: Sequence[str]) -> list[str] | str:
    """The output of eSpeak NG for lines, or a message why it failed."""
    try:
        loader = importlib.import_module("espeakng_loader")
    except ImportError as error:
        raise MissingExtraError("Turning texts into phones", "synthesis") from error
    data = Path(loader.get_data_path())
    command = [sys.executable, "-I", "-S", str(Path(espeak.__file__).resolve()), loader.get_library_path(), data.name, VOICE]
    given = "\n".join(lines).encode()
    try:
        done = subprocess.run(command, input=given, capture_output=True, cwd=data.parent, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"it took longer than {SECONDS:g} s"
    written = done.stdout.decode(errors="replace").split("\n")[: len(lines)]
    if done.returncode != 0 or len(written) != len(lines):
        return done.stderr.decode(errors="replace").strip() or f"it ended with {done.returncode}"
    return written
