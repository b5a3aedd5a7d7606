"""Manifests of pictures: JSON lines with a file and its label or labels, or folders with a sub-folder for each class."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from speechtl.errors import ManifestError, did_you_mean
from speechtl.files import expanded
from speechtl.folders import PICTURES, Folder, conversion, is_passed_over, look_into
from speechtl.progress import say
from speechtl.runtime.pictures import ENDINGS
from speechtl.text import counted, decode, json_lines
from speechtl.transfer import Task

SPLITS = ("train", "validation", "test")
RESERVED = ("file", "error")  # other keys of a prediction
_TEXTS = ("image_filepath", "label", "group", "split", "source", "url", "license", "sha256", "source_sha256")


@dataclass(frozen=True)
class Picture:
    """One line of a manifest: a file with one `label`, or with several `labels`, each true, false or None for unknown."""

    image_filepath: str
    label: str | None = None
    labels: dict[str, bool | None] = field(default_factory=dict)
    group: str | None = None  # such as a patient or a drive; never in two splits
    split: str | None = None
    license: str | None = None
    sha256: str | None = None
    path: Path = Path()
    where: str = ""


def read_pictures(sources: Iterable[Path | str]) -> list[Picture]:
    """Pictures of manifests and folders of classes; raises `ManifestError` that lists all problems."""
    pictures: list[Picture] = []
    problems: list[str] = []
    for source in map(Path, sources):
        pictures += _read_folder(source, problems) if source.is_dir() else _read_lines(source, problems)
    problems += _across_splits(pictures)
    if problems:
        raise ManifestError(f"{counted(len(problems), 'problem')} in manifests of pictures:", problems)
    return pictures


def tasks_of(pictures: Sequence[Picture], classes: Sequence[str] = ()) -> list[Task]:
    """Tasks of the pictures: one class of several, or yes or no for each of the `labels`.

    `classes` fixes the classes and their order; an unknown or empty class is an error.
    """
    labelled = [picture for picture in pictures if picture.label is not None]
    if labelled and len(labelled) == len(pictures):
        return [Task("label", _classes(labelled, classes))]
    if labelled:
        without = next(picture for picture in pictures if picture.label is None)
        raise ManifestError(f"Some pictures have one 'label' and others 'labels' or none, such as {without.where}; use the same for all.")
    names = list(dict.fromkeys(name for picture in pictures for name in picture.labels))
    if not names:
        raise ManifestError("None of the pictures has a label; give 'label' or 'labels' in the manifest, or a folder for each class.")
    if reserved := [name for name in names if name in RESERVED]:
        raise ManifestError(f"One of the 'labels' is named {reserved[0]!r}, which is reserved for predictions; give it another name.")
    tasks = [Task(name) for name in names]
    for task in tasks:
        known = {value for picture in pictures if (value := picture.labels.get(task.name)) is not None}
        if not known:
            raise ManifestError(f"All labels of {task.name!r} are missing; label some pictures, or take {task.name!r} out of the manifest.")
        if len(known) == 1:
            raise ManifestError(
                f"All known labels of {task.name!r} are {str(*known).lower()}; pictures of both kinds are needed to learn it."
            )
    return tasks


def targets_of(pictures: Sequence[Picture], tasks: Sequence[Task]) -> list[list[float]]:
    """Labels `(pictures, tasks)` as numbers: 0 or 1, or the index of the class; NaN where a label is missing."""
    return [[_target(picture, task) for task in tasks] for picture in pictures]


def _target(picture: Picture, task: Task) -> float:
    if not task.classes:
        value = picture.labels.get(task.name)
        return float("nan") if value is None else float(value)
    if picture.label not in task.classes:
        raise ManifestError(
            f"{picture.where}: the class {picture.label!r} is not known{did_you_mean(str(picture.label), task.classes)}; "
            f"the classes are: {', '.join(task.classes)}."
        )
    return float(task.classes.index(picture.label))


def _classes(pictures: Sequence[Picture], wanted: Sequence[str]) -> tuple[str, ...]:
    found = {str(picture.label) for picture in pictures}
    empty = [name for name in wanted if name not in found]
    if empty:
        raise ManifestError(f"There is no picture of the class {empty[0]!r}; the pictures are of: {', '.join(sorted(found))}.")
    if len(found) < 2:
        raise ManifestError(f"All pictures are of one class, {next(iter(found))!r}; at least two classes are needed.")
    return tuple(wanted) or tuple(sorted(found))


def _read_folder(folder: Path, problems: list[str]) -> list[Picture]:
    kinds = sorted(inside for inside in folder.iterdir() if inside.is_dir() and not is_passed_over(inside))
    pictures = []
    for kind in kinds:
        found = look_into(kind, ENDINGS, PICTURES - set(ENDINGS))
        if found.left_out:
            say(f"{kind}: {counted(len(found.files), 'picture')} used; skipped: {', '.join(found.left_out)}.{_convert(found)}")
        pictures += [Picture(str(file.relative_to(folder)), label=kind.name, path=file, where=str(file)) for file in found.files]
    if not pictures:
        problems.append(f"{folder} has no pictures in sub-folders; give one sub-folder for each class, or a manifest (.jsonl).")
    problems += [f"{kind} has no pictures of that class." for kind in kinds if pictures and not any(p.label == kind.name for p in pictures)]
    return pictures


def _convert(found: Folder) -> str:
    return f" Convert pictures of other kinds with: {conversion(found.path, found.unread, '.png')}" if found.unread else ""


def _read_lines(path: Path, problems: list[str]) -> list[Picture]:
    try:
        data = path.read_bytes()
        text = decode(data)
    except FileNotFoundError:
        problems.append(f"{path} does not exist; give a manifest (a .jsonl file) or a folder of classes.")
        return []
    except (UnicodeDecodeError, OSError):
        what = (
            "a zip archive; unpack it, and give the folder" if _is_zip(path) else "not UTF-8 text; a manifest has one JSON object per line"
        )
        problems.append(f"{path} is {what}.")
        return []
    if not text.strip():
        problems.append(f"{path} is empty; a manifest has one JSON object per line.")
    elif "{" not in text:
        problems.append(
            f"{path} is a text without JSON; a manifest has one JSON object per line: " + '{"image_filepath": "a.jpg", "label": "cat"}'
        )
        return []
    pictures = []
    for number, entry in json_lines(text):
        found: list[str] = []
        picture = _read_entry(entry, path, f"{path}:{number}", found)
        problems += [f"{path}:{number}: {problem}" for problem in found]
        pictures += [picture] if picture else []
    return pictures


def _is_zip(path: Path) -> bool:
    return path.is_file() and zipfile.is_zipfile(path)


def _read_entry(entry: Any, manifest: Path, where: str, problems: list[str]) -> Picture | None:
    if isinstance(entry, ValueError | RecursionError):
        problems.append(f"not JSON ({entry}); one JSON object is expected on every line.")
        return None
    if not isinstance(entry, dict):
        problems.append("a JSON object is expected.")
        return None
    entry = {key: value for key, value in entry.items() if value is not None}
    if "image_filepath" not in entry:
        problems.append(f"the key 'image_filepath' is missing{did_you_mean('image_filepath', entry)}.")
    problems += [f"{key!r} must be text, got {entry[key]!r}." for key in _TEXTS if not isinstance(entry.get(key, ""), str)]
    problems += [f"{key!r} is empty." for key in ("image_filepath", "label") if entry.get(key) == ""]
    if isinstance(entry.get("split", "train"), str) and entry.get("split", "train") not in SPLITS:
        problems.append(f"'split' must be one of {', '.join(SPLITS)}, got {entry['split']!r}.")
    labels = entry.get("labels", {})
    if not isinstance(labels, dict) or any(value not in (0, 1, None) for value in labels.values()):
        problems.append(f"'labels' must give each name 1, 0 or null (unknown), got {labels!r}.")
    if "label" in entry and labels:
        problems.append("a picture has one 'label' or several 'labels', not both.")
    if problems:
        return None
    known = {key: entry[key] for key in ("image_filepath", "label", "group", "split", "license", "sha256") if key in entry}
    values = {name: None if value is None else bool(value) for name, value in labels.items()}
    return Picture(**known, labels=values, path=_resolve(manifest, entry["image_filepath"]), where=where)


def _resolve(manifest: Path, name: str) -> Path:
    folder = image_data()
    names = [expanded(name)]
    if "\\" in names[0]:
        names.append(names[0].replace("\\", "/"))  # written on Windows
    places = [place / spelled for place in (manifest.parent, folder) if place for spelled in names]
    return next((place for place in places if place.exists()), places[0])


def _across_splits(pictures: Iterable[Picture]) -> list[str]:
    splits: dict[str, set[str]] = {}
    for picture in pictures:
        if picture.group is not None:
            splits.setdefault(picture.group, set()).add(picture.split or "train")
    return [
        f"The group {group!r} is in several splits ({', '.join(sorted(found))}); keep a group together."
        for group, found in splits.items()
        if len(found) > 1
    ]


def image_data() -> Path | None:
    """The folder of pictures: $SPEECHTL_IMAGES, or `image` beside the recordings ($SPEECHTL_DATA), or None."""
    if own := os.environ.get("SPEECHTL_IMAGES"):
        return Path(expanded(own))
    if recordings := os.environ.get("SPEECHTL_DATA"):
        beside = Path(recordings).resolve().parent / "image"
        return beside if beside.is_dir() else None
    return None
