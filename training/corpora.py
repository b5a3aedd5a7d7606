"""python training/corpora.py SET REPOSITORY.git [--out data_manifests] [--speakers FILE] [--readme data_manifests/README.md]

Make the manifest of a public corpus from a clone of its repository (git clone --bare), and put its recordings into the cache, where
`speechtl data pull` would put them. Every recording is decoded. Those that another manifest of the folder lists are left out, and
a speaker whom another manifest lists keeps the split; the others are divided by the hash of the speaker or source.
--speakers names the speakers of common_voice that may be used: 12 hexadecimal digits a line, or the shipped manifest.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from corpus_lines import CLIENT_DIGITS, CORPORA, Corpus, Line
from make_manifests import renew_table

from speechtl.arguments import output_file, output_folder
from speechtl.audio.data.manifest import Clip, cache_path, read_manifest, read_manifests, write_manifest
from speechtl.errors import AudioError, ManifestError, reported
from speechtl.files import cache_folder, sha256_of, writing
from speechtl.progress import tracked
from speechtl.runtime.samples import SAMPLE_RATE
from speechtl.runtime.sound.files import read_blocks
from speechtl.text import counted

WORKERS = 2
GENERIC = ("audio", "calls", "clips", "sounds", "resources", "assets", "noise_data", "resampled", "impulseFiles", "CC-Sounds")
ESC_NAME = re.compile(r"(?:^|[_/])\d-(\d+)-[A-Z]\.")  # fold, number at Freesound, and take of a clip of ESC-10


class MissingError(Exception):
    """A file that the clone does not contain."""


class Snapshot:
    """The files of one commit of a clone."""

    def __init__(self, clone: Path, commit: str) -> None:
        self._clone = clone
        try:
            listed = self._git("ls-tree", "-r", "-z", commit)
        except subprocess.CalledProcessError as error:
            reason = error.stderr.decode(errors="replace").strip().splitlines()[:1]
            raise ManifestError(f"{clone} is no clone that has the commit {commit}: {' '.join(reason)}") from error
        entries = (entry.split("\t", 1) for entry in listed.decode(errors="surrogateescape").split("\0") if entry)
        self._blobs = {path: about.split()[2] for about, path in entries if about.split()[1] == "blob"}
        self.paths = sorted(self._blobs)

    def read(self, path: str) -> bytes:
        """The bytes of a file; raises `MissingError`."""
        if path not in self._blobs:
            raise MissingError(path)
        try:
            return self._git("cat-file", "blob", self._blobs[path])
        except subprocess.CalledProcessError as error:
            raise MissingError(path) from error

    def text(self, path: str) -> str:
        """The text of a file; raises `ManifestError` without one."""
        try:
            return self.read(path).decode("utf-8-sig", errors="replace")
        except MissingError as error:
            raise ManifestError(f"{self._clone} does not contain {path}, which describes the recordings.") from error

    def _git(self, *arguments: str) -> bytes:
        return subprocess.run(["git", f"--git-dir={self._clone}", *arguments], capture_output=True, check=True).stdout


def main(argv: Sequence[str] | None = None) -> int:
    """Write the manifest of one corpus."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", choices=sorted(CORPORA), help="which corpus")
    parser.add_argument("clone", type=Path, help="a clone of its repository: git clone --bare")
    parser.add_argument("--out", type=output_folder, default="data_manifests", help="where to write the manifest (data_manifests)")
    parser.add_argument("--speakers", type=Path, help="the speakers of common_voice that may be used")
    parser.add_argument("--readme", type=output_file, help="a text whose table of sets is to be renewed")
    options = parser.parse_args(argv)
    speakers = read_speakers(options.speakers) if options.speakers else frozenset()
    others = read_manifests(path for path in sorted(Path(options.out).glob("*.jsonl")) if path.stem != options.set)
    clips = list_corpus(options.set, options.clone, speakers, others)
    if speakers:
        check_speakers(clips, speakers)
    write_manifest(Path(options.out) / f"{options.set}.jsonl", clips)
    if options.readme is not None:
        renew_table(options.readme, sorted(Path(options.out).glob("*.jsonl")))
    return 0


def list_corpus(name: str, clone: Path, speakers: frozenset[str], others: Iterable[Clip]) -> list[Clip]:
    """The clips of a corpus, whose recordings are then in the cache; what is left out is counted and printed."""
    corpus = CORPORA[name]
    files = Snapshot(clone, corpus.commit)
    lines = list({line.path: line for line in corpus.lines(files, speakers)}.values())
    cache_folder()  # raises if there is no place for one
    known = {digest for clip in others for digest in (clip.sha256, clip.source_sha256) if digest}
    splits = divide(map(_origin, lines), corpus) | {origin: clip.split or "train" for clip in others if (origin := _known_origin(clip))}

    def make(line: Line) -> Clip | str:
        return _kept(name, corpus, line, files)

    left_out: Counter[str] = Counter()
    clips: dict[str, Clip] = {}
    with ThreadPoolExecutor(WORKERS) as pool:
        for line, made in zip(lines, tracked(name, pool.map(make, lines), len(lines)), strict=True):
            if isinstance(made, str):
                left_out[made] += 1
            elif made.sha256 in known or made.sha256 in clips:
                left_out["listed already"] += 1
            else:
                split = "test" if _restricts(name, made) else splits.get(_origin(line), "train")
                clips[made.sha256 or ""] = dataclasses.replace(made, split=split)
    if not clips:
        raise ManifestError(f"{clone} contains no recording of {name} that can be used.")
    _tell(name, clips.values(), left_out)
    return sorted(clips.values(), key=lambda clip: clip.audio_filepath)


def _restricts(name: str, clip: Clip) -> bool:
    """Whether a noise would put a condition of its licence on networks that hear it in training."""
    return name.startswith("noise") and "-SA-" in (clip.license or "")


def divide(origins: Iterable[str], corpus: Corpus) -> dict[str, str]:
    """The split of every speaker or source, by the order of their hashes; an empty one is for training."""
    ordered = sorted(set(origins) - {""}, key=lambda origin: hashlib.sha256(origin.encode()).hexdigest())
    tests = round(corpus.test * len(ordered))
    held = tests + round(corpus.validation * len(ordered))
    return {origin: "test" if place < tests else "validation" if place < held else "train" for place, origin in enumerate(ordered)}


def read_speakers(path: Path) -> frozenset[str]:
    """The speakers in a list, or in a manifest of common_voice."""
    if path.suffix == ".jsonl":
        names = [(clip.speaker or "").removeprefix("cv-") for clip in read_manifest(path)]
    else:
        names = path.read_text(encoding="utf-8").split()
    wrong = [name for name in names if not re.fullmatch(rf"[0-9a-f]{{{CLIENT_DIGITS}}}", name)]
    if wrong or not names:
        raise ManifestError(f"{path} must have {CLIENT_DIGITS} hexadecimal digits on every line, got {wrong[0] if wrong else 'nothing'!r}.")
    return frozenset(names)


def check_speakers(clips: Iterable[Clip], speakers: frozenset[str]) -> None:
    """Raise `ManifestError` when a clip is of a speaker who is not listed."""
    others = {clip.speaker for clip in clips} - {f"cv-{name}" for name in speakers}
    if others:
        raise ManifestError(f"{counted(len(others), 'speaker')} must not be used, such as {min(map(str, others))}: not in the list.")


def _kept(name: str, corpus: Corpus, line: Line, files: Snapshot) -> Clip | str:
    """The clip, whose recording is then in the cache, or why there is none."""
    if line.unusable:
        return line.unusable
    try:
        data = files.read(line.path)
    except MissingError:
        return "not in the clone"
    digest = sha256_of(data)
    path = line.path
    clip = Clip(
        f"{name}/{_flat(path)}",
        duration=0.0,
        channel=line.channel,
        text=line.text,
        label=line.label,
        speaker=line.speaker,
        source=f"github:{corpus.repository}@{corpus.commit}:{path}",
        url=f"https://raw.githubusercontent.com/{corpus.repository}/{corpus.commit}/{quote(path)}",
        license=line.licence or corpus.licence,
        sha256=digest,
        source_sha256=digest,
        extra=dict(line.extra) | ({"origin": line.origin} if line.origin and not line.speaker else {}),
    )
    target = cache_path(clip)
    assert target is not None
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with writing(target) as beside:
            beside.write_bytes(data)
    try:
        seconds = round(sum(map(len, read_blocks(target, channel=line.channel))) / SAMPLE_RATE, 4)
    except AudioError as error:
        print(f"{path}: {error}", file=sys.stderr)
        target.unlink()
        return "broken"
    start, end = line.word if line.word and line.word[1] <= seconds else (None, None)
    return dataclasses.replace(clip, duration=seconds, word_start=start, word_end=end)


def _origin(line: Line) -> str:
    return (line.speaker or line.path) if line.origin is None else line.origin


def _known_origin(clip: Clip) -> str | None:
    found = ESC_NAME.search(clip.audio_filepath)
    return clip.extra.get("origin") or clip.speaker or (f"freesound-{found[1]}" if found else None)


def _flat(path: str) -> str:
    """A short path of its own in the folder of the set, without spaces."""
    *folders, name = PurePosixPath(path).parts[-3:]
    return re.sub(r"[^\w.-]+", "_", "_".join([*(part for part in folders if part not in name and part not in GENERIC), name]))


def _tell(name: str, clips: Iterable[Clip], left_out: Counter[str]) -> None:
    clips = list(clips)
    hours = sum(clip.duration for clip in clips) / 3600
    speakers = len({clip.person for clip in clips} - {None})
    print(f"{name}: {counted(len(clips), 'clip')}, {hours:.2f} h, {counted(speakers, 'speaker')}", file=sys.stderr)
    untold = sum(clip.text is None and clip.speaker is not None for clip in clips)
    for reason, number in [*sorted(left_out.items()), *([("without a transcript, kept", untold)] if untold else [])]:
        print(f"  {reason}: {number}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(reported(main))
