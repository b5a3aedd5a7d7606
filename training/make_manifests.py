"""python training/make_manifests.py RECORDINGS [--out data_manifests] [--readme data_manifests/README.md] [--ages spk2age]

Make the manifests that are shipped from a folder of recordings (RECORDINGS/manifests/*.jsonl beside the recordings): paths
relative to that folder, the address of every original, splits for the sets that have none, the limits of wake words.
A recording that is listed twice is kept once; if the two lines disagree about the text, both are dropped.
--ages takes what speechocean762 says of its speakers (data_manifests/README.md has the address): a number and an age a line.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

from speechtl.arguments import output_file, output_folder
from speechtl.audio.data.align import align
from speechtl.audio.data.manifest import Clip, read_manifest, write_manifest
from speechtl.audio.data.stats import SplitStats, stats
from speechtl.errors import ManifestError, reported
from speechtl.text import counted

SOURCE = re.compile(r"github:(?P<owner>[^/:@]+)/(?P<name>[^/:@]+)@(?P<commit>[0-9a-f]{40}):(?P<path>.+)")
ONE_WORD = re.compile(r"wake_.*|precise_(?!not_wake).*")  # sets in which every recording says the wake word once
AGED = "speechocean762"  # the set of whose speakers ages are known
AGE = re.compile(r"(\S+)\s+([0-9]{1,3})")
MUSIC = {  # pieces of music_librosa: licence, as its text files say it, and split; those that forbid commercial use are for testing
    "Hungarian_Dance": ("LicenseRef-PublicDomain", "train"),
    "Karissa_Hobbs": ("CC-BY-3.0", "train"),
    "Sugar_Plum_Fairy": ("CC-BY-3.0", "train"),
    "Vibe_Ace": ("CC-BY-3.0", "train"),
    "sweet-waltz": ("CC-BY-NC-3.0", "test"),
    "pistachio": ("CC-BY-NC-3.0", "test"),
    "Choice": ("CC-BY-NC-4.0", "test"),
    "solo-trumpet": ("CC-BY-3.0", "test"),
}
TABLE = re.compile(r"(<!-- table -->\n).*?(<!-- end of table -->)", re.DOTALL)


def main(argv: Sequence[str] | None = None) -> int:
    """Read the manifests of a folder of recordings and write those that are shipped."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", type=Path, help="folder that holds the recordings and manifests/*.jsonl")
    parser.add_argument("--out", type=output_folder, default="data_manifests", help="where to write the manifests (data_manifests)")
    parser.add_argument("--readme", type=output_file, help="a text whose table of sets is to be renewed")
    parser.add_argument("--ages", type=Path, help="ages of the speakers of speechocean762")
    options = parser.parse_args(argv)
    manifests = sorted((options.recordings / "manifests").glob("*.jsonl"))
    if not manifests:
        raise ManifestError(f"{options.recordings / 'manifests'} holds no manifest (*.jsonl).")
    sets = without_repeats({path.stem: read_manifest(path) for path in manifests})
    if options.ages is not None:
        if AGED not in sets:
            raise ManifestError(f"{options.recordings} holds no set {AGED}, which --ages is for.")
        sets[AGED] = with_ages(sets[AGED], read_ages(options.ages))
    for name, clips in sets.items():
        write_manifest(options.out / f"{name}.jsonl", shipped(name, clips, options.recordings))
        print(f"{name}: {counted(len(clips), 'clip')}", file=sys.stderr)
    if options.readme is not None:
        renew_table(options.readme, sorted(Path(options.out).glob("*.jsonl")))
    return 0


def shipped(name: str, clips: Iterable[Clip], recordings: Path) -> list[Clip]:
    """The shipped lines of one set, in the order of their paths."""
    named = [dataclasses.replace(clip, audio_filepath=relative(clip, recordings), url=address(clip)) for clip in clips]
    named.sort(key=lambda clip: clip.audio_filepath)
    if ONE_WORD.fullmatch(name):
        named, done = align(named)
        for clip, reason in done.not_found:
            print(f"{clip.audio_filepath}: no limits of the word: {reason}", file=sys.stderr)
    if name == "music_librosa":
        named = list(with_licences(named))
    splits = split_of(name, [Path(clip.audio_filepath).name for clip in named])
    return [dataclasses.replace(clip, split=clip.split or split) for clip, split in zip(named, splits, strict=True)]


def read_ages(path: Path) -> dict[str, int]:
    """The age in years of every speaker in a file."""
    ages = {}
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        found = AGE.fullmatch(line.strip())
        if found is None:
            raise ManifestError(f"{path}:{number}: a line must be a speaker's number and an age in years, such as '0003 6'; got {line!r}.")
        ages[f"so-{found[1]}"] = int(found[2])
    return ages


def with_ages(clips: Iterable[Clip], ages: dict[str, int]) -> list[Clip]:
    """The clips, with the key `age` for speakers whose age is known."""
    made = [dataclasses.replace(clip, extra=clip.extra | {"age": ages[clip.speaker]}) if clip.speaker in ages else clip for clip in clips]
    if not any("age" in clip.extra for clip in made):
        raise ManifestError(f"None of the {len(ages)} speakers whose age is given is in the set.")
    return made


def with_licences(clips: Iterable[Clip]) -> Iterator[Clip]:
    """The pieces of music with licence and split; read sentences and animals of that set are left out."""
    for clip in clips:
        for part, (licence, split) in MUSIC.items():
            if part in clip.audio_filepath:
                yield dataclasses.replace(clip, license=licence, split=split)


def relative(clip: Clip, recordings: Path) -> str:
    """The clip's path relative to the folder of recordings, with forward slashes."""
    path = os.path.normpath(clip.manifest.parent / clip.audio_filepath)
    return Path(os.path.relpath(path, recordings)).as_posix()


def address(clip: Clip) -> str:
    """The address of the original, from `github:OWNER/NAME@COMMIT:PATH`."""
    found = SOURCE.fullmatch(clip.source or "")
    if found is None:
        raise ManifestError(f"{clip.where}: 'source' must read github:OWNER/NAME@COMMIT:PATH, got {clip.source!r}.")
    return f"https://raw.githubusercontent.com/{found['owner']}/{found['name']}/{found['commit']}/{quote(found['path'])}"


def split_of(name: str, files: Sequence[str]) -> list[str | None]:
    """The split of each file of a set without splits; speech is left for the user to divide."""
    if name in ("noise_kitchen", "rir"):
        return ["test"] * len(files)
    if name == "noise_gsc":
        return ["test" if re.search("running_tap|dude_miaowing", file) else "train" for file in files]
    if name == "noise_esc10":  # the fifth of the five folds that the set's author made, so that no source is in two of them
        return ["test" if re.search(r"(^|_)5-\d+-[A-Z]\.", file) else "train" for file in files]
    return [None] * len(files)


def without_repeats(sets: dict[str, list[Clip]]) -> dict[str, list[Clip]]:
    """Keep the first of the lines that name one original; keep none of them where one set contradicts itself."""
    lines = defaultdict(list)
    for name, clips in sets.items():
        for clip in clips:
            lines[clip.source_sha256].append((name, clip))
    dropped = {clip.where for same in lines.values() for clip in _repeats(same)}
    if dropped:
        print(f"dropped {counted(len(dropped), 'line')} whose recording is listed twice", file=sys.stderr)
    return {name: [clip for clip in clips if clip.where not in dropped] for name, clips in sets.items()}


def table(rows: Iterable[SplitStats]) -> str:
    """The counts as a Markdown table."""
    lines = ["| set | split | clips | hours | speakers | licence |", "|---|---|---:|---:|---:|---|"]
    for row in rows:
        licences = ", ".join(row.licences)
        speakers = str(row.speakers) if row.speakers else ""
        lines.append(f"| {row.manifest.stem} | {row.split or ''} | {row.clips} | {row.hours:.2f} | {speakers} | {licences} |")
    return "\n".join(lines) + "\n"


def renew_table(readme: Path, manifests: Iterable[Path]) -> None:
    """Put the counts of the manifests between the marks of a text."""
    text = readme.read_text(encoding="utf-8")
    readme.write_text(TABLE.sub(lambda found: found[1] + table(stats(manifests)) + found[2], text), encoding="utf-8")


def _repeats(same: Sequence[tuple[str, Clip]]) -> list[Clip]:
    if len(same) == 1 or same[0][1].source_sha256 is None:
        return []
    said: dict[str, set[tuple[object, ...]]] = defaultdict(set)
    for name, clip in same:
        said[name].add((clip.text, clip.label, clip.extra.get("prompt")))
    contradiction = any(len(versions) > 1 for versions in said.values())
    return [clip for _, clip in (same if contradiction else same[1:])]


if __name__ == "__main__":
    sys.exit(reported(main))
