"""The folder of a project: one folder for each wake word. It is the only state of the studio, so windows cannot disagree about it.

PROJECT/WORD/recordings/SPEAKER/*.wav   the word
PROJECT/WORD/negatives/SPEAKER/*.wav    anything else
PROJECT/WORD/kept/...                   both of what is kept for the test
PROJECT/WORD/runs/                      trainings
PROJECT/WORD/clips/                     from devices, and sorted into word, not-word and unsure
PROJECT/WORD/WORD.wake                  the bundle
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from speechtl.files import read_json, write_json
from speechtl.folders import is_passed_over, look_into
from speechtl.runtime.sound.files import readable
from speechtl.settings import name_from
from speechtl.studio.refusals import RefusedError, conflict, missing

KINDS = {"word": "recordings", "other": "negatives", "kept-word": "kept/recordings", "kept-other": "kept/negatives"}
ABOUT, PRIVATE, TRASH = "word.json", ".studio", ".trash"
LONGEST_PHRASE = 100  # characters


@dataclass(frozen=True)
class Word:
    """The folder of a wake word."""

    folder: Path

    @property
    def name(self) -> str:
        """The name of the folder, of the bundle and of events."""
        return self.folder.name

    @property
    def bundle(self) -> Path:
        """Its bundle, which may not be there yet."""
        return self.folder / f"{self.name}.wake"

    @property
    def runs(self) -> Path:
        """The folder of its trainings."""
        return self.folder / "runs"

    @property
    def clips(self) -> Path:
        """The folder of clips that devices saved."""
        return self.folder / "clips"

    @property
    def about(self) -> dict[str, Any]:
        """What is known of it: its phrases, and the threshold that was chosen."""
        path = self.folder / ABOUT
        about = read_json(path) if path.is_file() else {}
        return {"phrases": [self.name.replace("_", " ")], **(about if isinstance(about, dict) else {})}

    def update(self, **values: Any) -> None:
        """Change what is known of it; None removes a value."""
        write_json(self.folder / ABOUT, {key: value for key, value in {**self.about, **values}.items() if value is not None})

    def kind(self, kind: str) -> Path:
        """The folder of a kind of recordings."""
        if kind not in KINDS:
            raise missing(f"The kind {kind!r}")
        return self.folder / KINDS[kind]

    def speakers(self, kind: str) -> Iterator[tuple[str, list[Path]]]:
        """Speakers of a kind of recordings, each with the files; files without a folder have the speaker ''."""
        folder = self.kind(kind)
        loose = files_in(folder)
        if loose:
            yield "", loose
        for speaker in subfolders(folder):
            yield speaker.name, files_in(speaker)

    def file(self, kind: str, speaker: str, name: str) -> Path:
        """A recording that is there; raises `RefusedError` for anything else."""
        path = inside(inside(self.kind(kind), speaker) if speaker != "-" else self.kind(kind), name)
        if path.suffix.lower() not in readable() or not path.is_file():
            raise missing(f"The recording {name!r}")
        return path


@dataclass(frozen=True)
class Project:
    """The folder of all words; `negatives` are recordings elsewhere that every word is trained with."""

    folder: Path
    negatives: tuple[Path, ...] = ()

    @cached_property
    def private(self) -> Path:
        """The folder of the token, the certificate and the lock."""
        folder = self.folder / PRIVATE
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        return folder

    def words(self) -> list[Word]:
        """All words: the folders that have recordings or were made here."""
        found = subfolders(self.folder)
        return [Word(path) for path in found if (path / ABOUT).is_file() or (path / KINDS["word"]).is_dir()]

    def word(self, name: str) -> Word:
        """A word that is there."""
        for word in self.words():
            if word.name == name:
                return word
        raise missing(f"The word {name!r}")

    def add(self, phrase: str) -> Word:
        """A new word."""
        phrase = " ".join(phrase.split())
        name = name_from(phrase)
        if not name or len(phrase) > LONGEST_PHRASE or not phrase.isprintable():
            raise RefusedError(422, f"A word needs a letter or a digit, and has at most {LONGEST_PHRASE} printable characters.")
        word = Word(self.folder / name)
        if word.folder.exists():
            raise conflict(f"There is a word of the name {name} already.")
        word.kind("word").mkdir(parents=True)
        word.update(phrases=[phrase])
        return word


def inside(folder: Path, name: str) -> Path:
    """An entry of a folder that is really in it, links included; raises `RefusedError` for any other name."""
    path = folder / name
    if not name or name.startswith(".") or Path(name).name != name or "\\" in name or not name.isprintable():
        raise RefusedError(404, "No file or folder here has such a name.")
    if not path.exists() or not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
        raise missing(f"{name!r}")
    return path


def new_name(text: str, what: str) -> str:
    """A name for a new file or folder, from a text for people; raises `RefusedError` where nothing is left of it."""
    name = name_from(text)
    if not name:
        raise RefusedError(422, f"{what} needs a letter or a digit.")
    return name


def files_in(folder: Path) -> list[Path]:
    """The recordings in a folder, without those in sub-folders, by name."""
    if not folder.is_dir():
        return []
    endings = readable()
    found = (path for path in folder.iterdir() if path.suffix.lower() in endings and not path.name.startswith("."))
    return sorted(path for path in found if path.is_file())


def has_recordings(folder: Path) -> bool:
    """Whether there is any recording in a folder or below it; a manifest may outlive those that it lists."""
    return bool(look_into(folder, readable()).files)


def subfolders(folder: Path) -> list[Path]:
    """The folders in a folder, without hidden ones and those of the system, by name."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not is_passed_over(path)) if folder.is_dir() else []
