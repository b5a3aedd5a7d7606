"""Tables of other tools that are read like manifests: Common Voice, Audacity labels, Edge Impulse labels."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from speechtl.errors import AudioError
from speechtl.folders import SOUNDS, is_file
from speechtl.runtime.sound.files import describe, readable
from speechtl.text import counted

MARGIN = 1.0  # seconds of sound around a labelled word, up to the next label
COLUMNS_SHOWN = 6
MAX_DIGITS = 16  # of a number of milliseconds
_LABEL = re.compile(r"(\d+(?:[.,]\d+)?)\t(\d+(?:[.,]\d+)?)(?:\t(.*))?")
_MAGIC = {
    b"PK\x03\x04": "a zip archive; unpack it, and give the folder or the manifest in it",
    b"\x1f\x8b": "a packed archive (gzip); unpack it, and give the folder or the manifest in it",
    b"RIFF": "a recording (WAV); give the folder that it is in",
    b"fLaC": "a recording (FLAC); give the folder that it is in",
    b"OggS": "a recording (Ogg); give the folder that it is in",
    b"ID3": "a recording (MP3); give the folder that it is in",
    b"%PDF": "a PDF; give a manifest (JSON lines)",
    b"SQLite": "a database (SQLite); give a manifest (JSON lines)",
}
_RECIPE = re.compile(r"^\s*(\[(data|transfer|train|calibrate|augment|detector)\]|(name|phrases)\s*=)", re.MULTILINE)
_SPLITS = {"train.tsv": "train", "dev.tsv": "validation", "test.tsv": "test", "training": "train", "testing": "test"}


class UnusableError(ValueError):
    """Why a line of a table cannot be used."""


Entries = Iterator[tuple[int, Any]]  # the number of a line or an entry, and the corresponding line of a manifest


def what_else(data: bytes, path: Path) -> str | None:
    """The end of an error message about a binary file; None for a possible manifest."""
    for magic, what in _MAGIC.items():
        if data.startswith(magic):
            return what
    if path.suffix.lower() in SOUNDS:
        return f"a recording or film ({path.suffix.lower()}); convert it with ffmpeg, and give its folder"
    return None


def reader_of(text: str, path: Path) -> Callable[[str, Path], Entries] | None:
    """The reader of a table of a known form; None for anything else."""
    first = next((line for line in text.split("\n") if line.strip()), "").rstrip("\r")
    columns = first.split("\t")
    if "path" in columns and "sentence" in columns:
        return _common_voice
    if _LABEL.fullmatch(first):
        return _audacity
    if text.lstrip().startswith("{") and _is_json(text, dict) and isinstance(json.loads(text).get("files"), list):
        return _edge_impulse
    return None


def what_text(text: str, path: Path) -> str | None:
    """The end of an error message about a text that is neither a manifest nor a known table; None for a possible manifest."""
    lines = [line for line in text.splitlines() if line.strip()]
    if path.suffix.lower() == ".toml" or (lines and not lines[0].lstrip().startswith("{") and _RECIPE.search(text)):
        return "a recipe (TOML); give it to speechtl train RECIPE, and here a manifest (JSON lines) or a folder"
    if any(line.lstrip().startswith(("{", "[")) for line in lines[:20]):
        return None
    if lines and len(lines) > 1:
        delimiter = next((sign for sign in ("\t", ",", ";") if lines[0].count(sign) and lines[0].count(sign) == lines[1].count(sign)), None)
        if delimiter:
            names = lines[0].split(delimiter)
            shown = ", ".join(name.strip()[:30] for name in names[:COLUMNS_SHOWN])
            return (
                f"a table with {counted(len(names), 'column')} ({shown}); tables of Common Voice and label tracks of Audacity can be read, "
                'anything else as JSON lines: {"audio_filepath": "a.wav", "duration": 1.5, "text": "..."}'
            )
    if lines:
        return (
            f"a text of {counted(len(lines), 'line')} without JSON; a manifest has one JSON object per line: "
            '{"audio_filepath": "a.wav", "duration": 1.5}'
        )
    return None


def _is_json(text: str, kind: type) -> bool:
    try:
        return isinstance(json.loads(text), kind)
    except (ValueError, RecursionError):
        return False


def _common_voice(text: str, path: Path) -> Entries:
    """Lines of a Common Voice table, whose recordings are in the folder `clips` beside it."""
    lengths = _common_voice_lengths(path)
    lines = ((number, line.rstrip("\r").split("\t")) for number, line in enumerate(text.split("\n"), 1) if line.strip())
    _, columns = next(lines)
    for number, values in lines:
        row = dict(zip(columns, values, strict=False))
        name = row.get("path") or ""
        inside = name if is_file(path.parent / name) else f"clips/{name}"
        client = row.get("client_id")
        about = {"accents": row.get("accents") or row.get("accent"), "age_group": row.get("age"), "gender": row.get("gender")}
        yield (
            number,
            {
                "audio_filepath": inside,
                "duration": lengths.get(name) or _length(path.parent / inside),
                "text": row.get("sentence") or None,
                "speaker": f"common-voice-{hashlib.sha256(client.encode()).hexdigest()[:12]}" if client else None,
                "split": _SPLITS.get(path.name),
                "source": "Common Voice",
                "license": "CC0-1.0",
                **{key: value for key, value in about.items() if value},
            },
        )


def _common_voice_lengths(path: Path) -> dict[str, float]:
    """Seconds of every recording, if there is a table of lengths."""
    try:
        text = (path.parent / "clip_durations.tsv").read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return {}
    rows = (line.split("\t") for line in text.splitlines()[1:])
    return {row[0]: int(row[1]) / 1000.0 for row in rows if len(row) == 2 and row[1].isdecimal() and len(row[1]) < MAX_DIGITS}


def _audacity(text: str, path: Path) -> Entries:
    """Labels of the recording of the same name beside them: each is a word, with some sound around it."""
    sound = _sound_beside(path)
    length = _length(sound) if sound else 0.0
    labels = []
    for number, line in enumerate(text.splitlines(), 1):
        if found := _LABEL.fullmatch(line.strip("\r\n")):
            start, end = (float(time.replace(",", ".")) for time in found.groups()[:2])
            labels.append((start, end, found[3], number))
        elif line.strip() and not line.startswith("\\"):  # a backslash starts the frequencies of the previous label
            yield number, UnusableError(f"{line[:40]!r} is not a label (start, end and name, separated by tabs)")
    if sound is None:
        yield 1, UnusableError(f"no recording named {path.stem} is beside these labels; put it there")
        return
    labels.sort()
    for index, (start, end, name, number) in enumerate(labels):
        before = (labels[index - 1][1] + start) / 2 if index else 0.0
        after = (end + labels[index + 1][0]) / 2 if index + 1 < len(labels) else length
        left = min(max(start - MARGIN, before, 0.0), start)
        right = max(min(end + MARGIN, after, length), min(end, length))
        if end <= start:
            yield number, UnusableError(f"the label at {start:g} s has no length; select the word before you label it")
        elif start >= length:
            yield number, UnusableError(f"the label at {start:g} s is after the end of {sound.name} ({length:.2f} s)")
        else:
            yield (
                number,
                {
                    "audio_filepath": sound.name,
                    "offset": round(left, 3),
                    "duration": round(right - left, 3),
                    "label": name or None,
                    "word_start": round(start - left, 3),
                    "word_end": round(min(end, length) - left, 3),
                },
            )


def _sound_beside(path: Path) -> Path | None:
    endings = readable()
    return next((beside for beside in sorted(path.parent.glob("*")) if beside.stem == path.stem and beside.suffix.lower() in endings), None)


def _edge_impulse(text: str, path: Path) -> Entries:
    """Files of a data set exported from Edge Impulse."""
    for number, file in enumerate(json.loads(text)["files"], 1):
        if not isinstance(file, dict) or not isinstance(file.get("path"), str):
            yield number, UnusableError("a file without 'path'")
            continue
        label = file.get("label")
        name = label.get("label") if isinstance(label, dict) else label
        split = _SPLITS.get(str(file.get("category")))
        yield number, {"audio_filepath": file["path"], "duration": _length(path.parent / file["path"]), "label": name, "split": split}


def _length(path: Path) -> float:
    """Seconds of a recording; 0 if it cannot be read, which loading reports."""
    try:
        return describe(path)[2]
    except (AudioError, OSError, ValueError):
        return 0.0
