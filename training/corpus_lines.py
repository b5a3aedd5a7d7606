"""The corpora that `corpora.py` can list: where each is published, and what it says about its recordings."""

from __future__ import annotations

import csv
import difflib
import hashlib
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Protocol

from speechtl.errors import ManifestError

CLIENT_DIGITS = 12  # hexadecimal digits of the SHA-1 of a client_id of Common Voice that name a speaker
SAME_NAME = 0.8  # similarity (difflib) from which two spellings are taken for one caller
WUW_WORDS = ("operator", "think engine", "onword", "wildfire", "voyager")
LICENCES = {  # as tables write them; Freesound's "CC BY" was version 3.0 when these sounds were taken
    "cc0": "CC0-1.0",
    "cc 0": "CC0-1.0",
    "cc0 1.0": "CC0-1.0",
    "cc by": "CC-BY-3.0",
    "cc by 3.0": "CC-BY-3.0",
    "cc by 4.0": "CC-BY-4.0",
    "cc by sa": "CC-BY-SA-3.0",
    "public domain": "LicenseRef-PublicDomain",
}
NOISEKUN_NAMES = {"air-plane": "airplane", "birds-tree": "birds", "coffee": "coffee shop", "fire": "fire wood", "storm": "thunder storm"}
UNFREE = ("train", "washing-machine", "open_curtain", "close_curtain")  # sounds that are left out for their licence


class Files(Protocol):
    """The files of one commit."""

    paths: list[str]

    def text(self, path: str) -> str:
        """The text of a file."""


@dataclass(frozen=True)
class Line:
    """What a corpus says about one recording; `unusable` is why it is left out.

    One `origin` is in one split; it defaults to the speaker, and an empty one is for training.
    """

    path: str
    text: str | None = None
    label: str | None = None
    speaker: str | None = None
    word: tuple[float, float] | None = None
    licence: str | None = None
    origin: str | None = None
    unusable: str | None = None
    channel: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Corpus:
    """A published corpus; `test` and `validation` are the shares of its speakers or sources in these splits."""

    repository: str
    commit: str
    licence: str
    lines: Callable[[Files, frozenset[str]], Iterable[Line]]
    test: float = 0.2
    validation: float = 0.0


def mini_librispeech(files: Files, _speakers: frozenset[str]) -> Iterator[Line]:
    """Read sentences with their transcripts."""
    for path in files.paths:
        if not re.fullmatch(r"LibriSpeech/train-clean-5/.*\.trans\.txt", path):
            continue
        for line in files.text(path).splitlines():
            name, _, text = line.partition(" ")
            yield Line(f"{PurePosixPath(path).parent}/{name}.flac", text.strip().lower() or None, speaker=f"ls-{name.split('-')[0]}")


def common_voice(files: Files, speakers: frozenset[str]) -> Iterator[Line]:
    """Sentences in many languages, of the listed `speakers` alone."""
    if not speakers:
        raise ManifestError("common_voice needs --speakers: half of its speakers are reserved for evaluation and must not be listed.")
    for path in files.paths:
        if not path.endswith("/validated.tsv"):
            continue
        folder = PurePosixPath(path).parent
        for row in csv.DictReader(io.StringIO(files.text(path)), delimiter="\t", quoting=csv.QUOTE_NONE):
            client = client_hash(row["client_id"])
            if client in speakers:
                text = (row["sentence"] or "").strip() or None
                yield Line(f"{folder}/clips/{row['path']}", text, speaker=f"cv-{client}", extra={"language": str(folder)})


def client_hash(client_id: str) -> str:
    """The digits that name a speaker of Common Voice."""
    return hashlib.sha1(client_id.encode()).hexdigest()[:CLIENT_DIGITS]


def wuw_calls(files: Files, _speakers: frozenset[str]) -> Iterator[Line]:
    """Telephone calls in which five wake words are said alone and in sentences; the recorded names of the callers are left out."""
    entries = json.loads(files.text("data.json"))["entries"]
    callers = group_calls({entry["sessionNumber"]: entry["transcription"] for entry in entries if entry["utteranceNumber"] == "000"})
    for entry in entries:
        if entry["utteranceNumber"] == "000":
            continue
        text = understood(entry["transcription"])
        caller = callers.get(entry["sessionNumber"])
        word = (entry["startTime"], entry["endTime"]) if entry["endTime"] > entry["startTime"] >= 0 else None
        yield Line(
            entry["filePath"],
            text,
            label=text if text in WUW_WORDS else None,
            speaker=f"wuw-{caller or entry['sessionNumber']}",
            word=word,
            origin=f"wuw-{caller}" if caller else "",  # a nameless caller may be one of the others
            unusable=None if text else "not understood in all parts",
        )


def group_calls(names: Mapping[str, str]) -> dict[str, str]:
    """The first call of the same caller, for every call in which a full name was understood; the names themselves are not kept."""
    first: dict[str, str] = {}
    callers = {}
    for call, said in sorted(names.items()):
        name = without_marks(said)
        if len(name.split()) < 2:
            continue
        known = difflib.get_close_matches(name, first, n=1, cutoff=SAME_NAME)
        callers[call] = first[name] = first[known[0]] if known else call
    return callers


def understood(transcription: str) -> str | None:
    """The words of a transcription; None if a part was not understood or a word is broken off."""
    said = re.sub(r"\{[^}]*\}?|\[[^\]]*\]+|</?\w+>", " ", transcription)
    if re.search(r"\(\(\s*\)\)|(^|\s)-\w|\w-(\s|$)|�", said):
        return None
    text = without_marks(said)
    return re.sub(r"\bthink ?engine", "think engine", text) or None


def without_marks(transcription: str) -> str:
    """The words in lower case, without the marks for noises, breath, names and unclear words."""
    said = re.sub(r"\{[^}]*\}?|\[[^\]]*\]+|</?\w+>", " ", transcription.lower())
    return " ".join(re.findall(r"[a-z]+(?:'[a-z]+)*", said))


def noise_esc50(files: Files, _speakers: frozenset[str]) -> Iterator[Line]:
    """Clips of further kinds than ESC-10, each under a free licence of its own."""
    free = dict(re.findall(r"^- \[(.+?)\.ogg\]:.*\[(CC0|CC-BY)\]\s*$", files.text("LICENSE"), re.MULTILINE))
    for row in csv.DictReader(io.StringIO(files.text("meta/esc50.csv"))):
        licence = free.get(row["filename"].rsplit("-", 1)[0])
        if row["esc10"] != "True" and licence:
            label = row["category"].replace("_", " ")
            yield Line(
                f"audio/{row['filename']}",
                label=label,
                licence=LICENCES[licence.lower().replace("-", " ")],
                origin=f"freesound-{row['src_file']}",
                extra={"fold": int(row["fold"])},
            )


def noise_noisekun(files: Files, _speakers: frozenset[str]) -> Iterator[Line]:
    """Ambient sounds, with the licences of the table in the README."""
    return _ambient(files, ".github/assets/sounds/", credited(files.text("README.md")), NOISEKUN_NAMES)


def noise_blanket(files: Files, _speakers: frozenset[str]) -> Iterator[Line]:
    """Ambient sounds, with the licences of their table."""
    return _ambient(files, "data/resources/sounds/", credited(files.text("SOUNDS_LICENSING.md")), {})


def _ambient(files: Files, folder: str, table: Mapping[str, tuple[str, str]], names: Mapping[str, str]) -> Iterator[Line]:
    for path in files.paths:
        stem = PurePosixPath(path).stem
        if path.startswith(folder) and path.endswith(".ogg") and stem not in UNFREE:
            label = names.get(stem, stem.replace("-", " "))
            if label not in table:
                raise ManifestError(f"{path} is not in the table of licences.")
            origin, licence = table[label]
            yield Line(path, label=label, licence=licence, origin=origin)


def credited(text: str) -> dict[str, tuple[str, str]]:
    """Origin (link, or author) and licence of every free sound in a Markdown table of credits, by its name in lower case."""
    found = {}
    for row in text.splitlines():
        cells = [cell.strip(" *") for cell in row.strip().strip("|").split("|")]
        licence = next((LICENCES[name] for cell in cells[1:] if (name := re.sub(r"[\s-]+", " ", cell.lower()).strip()) in LICENCES), None)
        link = re.search(r"https?://[^\s)]+", row)
        if licence:
            found[re.sub(r"\[(.+?)\].*", r"\1", cells[0]).lower()] = (_origin(link[0]) if link else cells[1], licence)
    return found


def _origin(link: str) -> str:
    """One name for a sound, whoever copied it."""
    number = re.search(r"freesound\.org/(?:s|.*sounds)/(\d+)", link)
    return f"freesound-{number[1]}" if number else link


def noise_machines(files: Files, _speakers: frozenset[str]) -> Iterator[Line]:
    """Household machines and a street."""
    for path in files.paths:
        found = re.fullmatch(r"noise_data/resampled/(([a-z]+)_\d+)\.wav", path)
        if found:
            yield Line(path, label=found[2], origin=found[1])


def noise_effects(files: Files, _speakers: frozenset[str]) -> Iterator[Line]:
    """Effects and weather of a game, without its spoken lines; variants of one sound share their origin."""
    tables: dict[str, dict[str, tuple[str, str]]] = {}
    for path in files.paths:
        if not re.fullmatch(r"sound/CC-Sounds/(?!speech/).*\.ogg", path):
            continue
        folder, name = path.rsplit("/", 1)
        if folder not in tables:
            credits = f"{folder}/credits.md"
            tables[folder] = credited(files.text(credits)) if credits in files.paths else {}
        origin, licence = tables[folder].get(name.lower()) or tables[folder].get(PurePosixPath(name).stem.lower()) or (None, None)
        label = folder.removeprefix("sound/CC-Sounds/").replace("_", " ")
        free = licence and PurePosixPath(name).stem not in UNFREE
        yield Line(path, label=label, origin=origin, unusable=None if free else "not credited with a free licence")


def rir_halls(files: Files, _speakers: frozenset[str]) -> Iterator[Line]:
    """Impulse responses of halls, without those of a park; in B-format, whose first channel is that of a microphone for all directions."""
    for path in files.paths:
        if re.fullmatch(r"impulseFiles/reverb/(?!Koli).*\.wav", path):
            yield Line(path, label=PurePosixPath(path).stem, channel=1)


CORPORA = {
    "mini_librispeech": Corpus(
        "zhangrui0712/Voice-Age", "c13f844098b754edb9c60b8deb1aa586bc461d8a", "CC-BY-4.0", mini_librispeech, validation=0.1
    ),
    "common_voice": Corpus(
        "omnilingo/rsample-100-cv-corpus-6.1-2020-12-11",
        "6785f863fec9770151abfe50a5e3e3787fd20ba2",
        "CC0-1.0",
        common_voice,
        validation=0.1,
    ),
    "wuw_calls": Corpus(
        "wake-up-word/wuw-corpus-ii", "edd16fe0e8c861daef05e6778016764e20b3d628", "CC-BY-SA-4.0", wuw_calls, validation=0.1
    ),
    "noise_esc50": Corpus("caitlinnguyen0/ESC-50", "7085beb71d02eb515b8bad56ad2a29e8fa0dcd08", "CC-BY-3.0", noise_esc50),
    "noise_noisekun": Corpus("mateusfg7/Noisekun", "d32024c67aba7c0577e1609944af00b9df1b7775", "CC0-1.0", noise_noisekun),
    "noise_blanket": Corpus("rafaelmardojai/blanket", "8b1c27aedde1d6ad8053ce5ad351a2924bcdb766", "CC0-1.0", noise_blanket),
    "noise_machines": Corpus("Timgrau/Projektarbeit-1", "576dbfeaa7c236521965107400e9d24cca7f0ceb", "CC0-1.0", noise_machines),
    "rir_halls": Corpus("rerdavies/ToobAmp", "e1c7b03395afc3ba39d60c1b2b59ccb73f802828", "CC-BY-4.0", rir_halls, test=1.0),
    "noise_effects": Corpus("Fris0uman/CDDA-Soundpacks", "88586bb600eae4b053a8928bddbd5371d0b1ecc6", "CC-BY-SA-4.0", noise_effects),
}
