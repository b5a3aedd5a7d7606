"""Manifests: JSON lines with the path, text, speaker and source of recordings."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import os
import re
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from speechtl.audio.data.tables import UnusableError, reader_of, what_else, what_text
from speechtl.audio.phrases import name_key
from speechtl.errors import AudioError, ManifestError, did_you_mean
from speechtl.files import cache_if_any, expanded, write_text
from speechtl.folders import is_file
from speechtl.runtime.sound.files import describe, read_blocks
from speechtl.text import counted, decode, json_lines, none_can_be_used, one_line

SPLITS = ("train", "validation", "test")
TOLERANCE = 0.1  # seconds by which a recording may differ from the duration in its manifest
TAIL = 0.05  # seconds read from the end of a recording to check that it is complete

_TEXTS = ("audio_filepath", "text", "label", "speaker", "split", "source", "url", "license", "sha256", "source_sha256")
_NUMBERS = ("duration", "offset", "word_start", "word_end")
_REQUIRED = ("audio_filepath", "duration")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_log = logging.getLogger("speechtl")

PathLike = Path | str


@dataclasses.dataclass(frozen=True)
class Clip:
    """One line of a manifest; times are in seconds, `path` is None if the recording is not on this machine.

    `channel` is the one that is read, counted from 1; without it all are averaged.
    """

    audio_filepath: str
    duration: float
    offset: float = 0.0
    channel: int | None = None
    text: str | None = None
    label: str | None = None
    speaker: str | None = None
    word_start: float | None = None
    word_end: float | None = None
    split: str | None = None
    source: str | None = None
    url: str | None = None
    license: str | None = None
    sha256: str | None = None
    source_sha256: str | None = None
    extra: dict[str, Any] = dataclasses.field(default_factory=dict, compare=False)
    manifest: Path = dataclasses.field(default=Path(), compare=False)
    line: int = dataclasses.field(default=0, compare=False)
    path: Path | None = dataclasses.field(default=None, compare=False)

    @property
    def where(self) -> str:
        """The manifest and the line, as `file:line`."""
        return f"{self.manifest}:{self.line}"

    @property
    def person(self) -> str | None:
        """The speaker, without differences of spelling; None if unknown."""
        return name_key(self.speaker or "") or None

    @property
    def names(self) -> set[str]:
        """Everything that identifies the recording: hashes, and its path if it is on this machine."""
        return {name for name in (self.sha256, self.source_sha256, self.path and str(self.path.resolve())) if name}

    @property
    def short_hash(self) -> str | None:
        """The start of the hash, by which bundles identify recordings; long enough to distinguish a million of them."""
        return self.sha256[:12] if self.sha256 else None

    def to_json(self) -> dict[str, Any]:
        """The line as JSON: known keys in their order, then the others; keys without a value are left out."""
        known = {name: getattr(self, name) for name in _ORDER}
        if not self.offset:
            known["offset"] = None
        return {key: value for key, value in known.items() if value is not None} | self.extra


_ORDER = tuple(field.name for field in dataclasses.fields(Clip) if field.name not in ("extra", "manifest", "line", "path"))


def read_manifest(path: PathLike) -> list[Clip]:
    """The clips of one manifest; raises `ManifestError` with every wrong line."""
    return read_manifests([path])


def read_manifests(paths: Iterable[PathLike]) -> list[Clip]:
    """The clips of several manifests, each read once; raises `ManifestError` with the wrong lines of all of them."""
    clips: list[Clip] = []
    problems: list[str] = []
    for path in distinct(paths):
        clips += _parse(path, problems)
    if problems:
        raise ManifestError(f"{counted(len(problems), 'problem')} in manifests:", problems)
    return clips


def distinct(paths: Iterable[PathLike]) -> list[Path]:
    """The paths in their order, each file once."""
    return list({Path(path).resolve(): Path(path) for path in reversed(list(paths))}.values())[::-1]


def write_manifest(path: PathLike, clips: Iterable[Clip]) -> None:
    """Write clips as JSON lines; the file is written completely or not at all."""
    path = Path(path).resolve()
    write_text(path, "".join(json.dumps(clip.to_json(), ensure_ascii=False) + "\n" for clip in clips))


def cache_path(clip: Clip) -> Path | None:
    """The path of the clip's original in the cache, whether or not it exists; None without url or hash."""
    digest = clip.source_sha256 or clip.sha256
    cache = cache_if_any()
    if clip.url is None or digest is None or cache is None:
        return None
    return cache / "audio" / digest[:2] / f"{digest}{Path(urlsplit(clip.url).path).suffix.lower()}"


def resolve(clip: Clip) -> Path | None:
    """The clip's file: in the manifest's folder, else in $SPEECHTL_DATA, else in the cache; None if it is in none of them."""
    names = [expanded(clip.audio_filepath)]
    if "\\" in names[0]:
        names.append(names[0].replace("\\", "/"))  # written on Windows
    candidates: list[Path | None] = [clip.manifest.parent / name for name in names]
    if data := os.environ.get("SPEECHTL_DATA"):
        candidates += [Path(expanded(data)) / name for name in names]
    candidates.append(cache_path(clip))
    return next((candidate for candidate in candidates if candidate is not None and is_file(candidate)), None)


def fault(clip: Clip, *, whole: bool = False) -> str | None:
    """Why a clip cannot be used (missing, not audio, truncated), or None; `whole` decodes all of it."""
    if clip.path is None:
        return missing(clip)
    try:
        length = describe(clip.path)[2]
        end = clip.offset + clip.duration
        if length < end - TOLERANCE:
            return f"{clip.path} is cut short: it ends at {length:.2f} s, the manifest says {end:.2f} s."
        for _ in read_blocks(clip.path, 0.0 if whole else max(min(end, length) - TAIL, 0.0), channel=clip.channel):
            pass
    except AudioError as error:
        return str(error)
    return None


def usable(clips: Sequence[Clip], on_skip: Callable[[Clip, str], None] | None = None, *, workers: int | None = None) -> list[Clip]:
    """The clips whose recording exists and can be opened; each of the others is reported to `on_skip(clip, reason)`.

    Without `on_skip` they are logged as warnings. Raises `ManifestError` if no clip is left.
    """
    on_skip = on_skip or _warn
    with ThreadPoolExecutor(workers or workers_by_default()) as pool:
        faults = list(pool.map(fault, clips))
    problems = []
    for clip, reason in zip(clips, faults, strict=True):
        if reason is not None:
            problems.append(f"{clip.where}: {reason}")
            on_skip(clip, reason)
    if len(problems) == len(clips):
        raise ManifestError(f"{none_can_be_used(len(clips), 'clip')}:", problems)
    return [clip for clip, reason in zip(clips, faults, strict=True) if reason is None]


def workers_by_default() -> int:
    """The number of threads that read files."""
    return min(os.cpu_count() or 1, 8)


def _warn(clip: Clip, reason: str) -> None:
    _log.warning("%s", one_line(f"skipped {clip.where}: {reason}"))


def missing(clip: Clip) -> str:
    """The sentence for a recording that is not on this machine."""
    data = os.environ.get("SPEECHTL_DATA")
    cache = cache_if_any() or "no home folder; set SPEECHTL_CACHE"
    places = f"not in {clip.manifest.parent}, not in $SPEECHTL_DATA ({data or 'not set'}), not in the cache ({cache})"
    fetch = f" Fetch it with: speechtl data pull {clip.manifest}" if clip.url else ""
    return f"{clip.audio_filepath} is missing: {places}.{fetch}"


def _parse(path: Path, problems: list[str]) -> list[Clip]:
    data = _read(path, problems)
    if data is None:
        return []
    if what := what_else(data, path):
        problems.append(f"{path} is {what}.")
        return []
    try:
        text = decode(data)
    except UnicodeDecodeError:
        problems.append(f"{path} is not text in UTF-8; a manifest has one JSON object per line.")
        return []
    if not text.strip():
        problems.append(f"{path} is empty; a manifest has one JSON object per line.")
        return []
    return _parse_text(text, path, problems)


def _parse_text(text: str, path: Path, problems: list[str]) -> list[Clip]:
    reader = reader_of(text, path)
    if reader is None and (what := what_text(text, path)):
        problems.append(f"{path} looks like {what}.")
        return []
    clips = []
    for number, entry in reader(text, path) if reader else json_lines(text):
        clip = parse_entry(entry, path, number, problems, measured=reader is not None)
        if clip is not None:
            clips.append(clip)
    return clips


def parse_entry(entry: Any, path: Path, number: int, problems: list[str], *, measured: bool = False) -> Clip | None:
    """The clip of a line, with its file where that is on this machine; None for a wrong line, whose problems are added to the list."""
    found: list[str] = []
    clip = _parse_entry(entry, path, number, found, measured=measured)
    problems += [f"{path}:{number}: {sentence}" for sentence in found]
    return None if clip is None else dataclasses.replace(clip, path=resolve(clip))


def is_table(path: PathLike) -> bool:
    """Whether a file given as manifest is a table and not JSON lines."""
    data = _read(Path(path), [])
    if data is None or what_else(data, Path(path)):
        return False
    try:
        return reader_of(decode(data), Path(path)) is not None
    except UnicodeDecodeError:
        return False


def _read(path: Path, problems: list[str]) -> bytes | None:
    if path.is_dir():
        problems.append(f"{path} is a folder; give the manifest in it (a .jsonl file).")
        return None
    try:
        return path.read_bytes()
    except FileNotFoundError:
        problems.append(f"{path} does not exist; give a manifest (a .jsonl file).")
    except OSError as error:
        problems.append(f"{path} cannot be read: {error.strerror}.")
    return None


def _parse_entry(entry: Any, path: Path, number: int, problems: list[str], *, measured: bool) -> Clip | None:
    """The clip of a JSON object; problems are added to the list. Only a `measured` duration, of an unreadable recording, may be 0."""
    if not isinstance(entry, dict):
        if isinstance(entry, UnusableError):
            problems.append(f"{entry}.")
        elif isinstance(entry, ValueError | RecursionError):
            problems.append(f"not JSON ({entry}); one JSON object is expected on every line.")
        else:
            problems.append(f"a JSON object is expected, got {_name(entry)}.")
        return None
    entry = {key: value for key, value in entry.items() if value is not None}
    known = {key: entry.pop(key) for key in (*_TEXTS, *_NUMBERS, "channel") if key in entry}
    problems += _wrong_types(known, entry) or _wrong_values(known, measured)
    if problems:
        return None
    known |= {key: float(known[key]) for key in _NUMBERS if key in known}
    return Clip(**known, extra=entry, manifest=path, line=number)


def _wrong_types(known: dict[str, Any], others: dict[str, Any]) -> list[str]:
    problems = [f"the key {key!r} is missing{did_you_mean(key, others)}." for key in _REQUIRED if key not in known]
    for key, value in known.items():
        if key in _TEXTS and not isinstance(value, str):
            problems.append(f"{key!r} must be text, got {_name(value)}.")
        if key in _NUMBERS and not _is_number(value):
            problems.append(f"{key!r} must be a number of seconds, got {_name(value)}.")
    channel = known.get("channel", 1)
    if type(channel) is not int or channel < 1:
        problems.append(f"'channel' must be a whole number, 1 for the first channel, got {_name(channel)}.")
    age = others.get("age", 0)
    if not _is_number(age) or age < 0:
        problems.append(f"'age' must be a number of years, got {_name(age)}.")
    return problems


def _is_number(value: object) -> bool:
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:
        return False


def _wrong_values(known: dict[str, Any], measured: bool) -> list[str]:
    problems = []
    if not known["audio_filepath"]:
        problems.append("'audio_filepath' is empty; give the path of a recording.")
    if known["duration"] < 0 or (known["duration"] == 0 and not measured):
        problems.append(f"'duration' must be above 0 seconds, got {known['duration']}.")
    if known.get("offset", 0) < 0:
        problems.append(f"'offset' must not be negative, got {known['offset']}.")
    if known.get("split", "train") not in SPLITS:
        problems.append(f"'split' must be one of {', '.join(SPLITS)}, got {known['split']!r}{did_you_mean(known['split'], SPLITS)}.")
    problems += [
        f"{key!r} must be 64 hexadecimal digits in lower case, got {known[key]!r}."
        for key in ("sha256", "source_sha256")
        if key in known and not _SHA256.fullmatch(known[key])
    ]
    problems += [f"{key!r} has half of a character in it: {known[key]!r}." for key in _TEXTS if not _is_whole(known.get(key, ""), key)]
    return problems + _wrong_word(known)


def _is_whole(text: str, key: str) -> bool:
    """Whether a text can be encoded: JSON may contain one half of a surrogate pair.

    In file names some of these halves represent bytes that are not UTF-8.
    """
    allowed = range(0xDC80, 0xDD00) if key == "audio_filepath" else range(0)
    return not any(0xD800 <= ord(sign) <= 0xDFFF and ord(sign) not in allowed for sign in text)


def _wrong_word(known: dict[str, Any]) -> list[str]:
    start, end = known.get("word_start"), known.get("word_end")
    if start is None and end is None:
        return []
    if start is None or end is None:
        return ["'word_start' and 'word_end' go together; one of them is missing."]
    if start < 0:
        return [f"'word_start' must not be negative, got {start}."]
    if end <= start:
        return [f"'word_end' ({end}) must be after 'word_start' ({start})."]
    if end > known["duration"] + TOLERANCE:
        return [f"'word_end' ({end}) is after the end of the clip ({known['duration']} s)."]
    return []


def _name(value: object) -> str:
    names = {dict: "an object", list: "a list", bool: "true or false", str: f"the text {value!r}"}
    return names.get(type(value), f"{value!r}")
