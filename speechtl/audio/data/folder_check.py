"""What is wrong with the recordings of a folder: silence, clipping, length, doubles, and whether a word is found in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from speechtl.audio.data.align import LONGEST_CLIP, find_word
from speechtl.audio.data.folder import left_out, recordings_in
from speechtl.audio.data.manifest import Progress, workers_by_default
from speechtl.errors import AudioError
from speechtl.files import sha256_of
from speechtl.runtime.samples import Samples
from speechtl.runtime.sound.files import describe, read_audio, read_blocks

SILENT_DB = -70.0  # dBFS of the loudest sample: a muted microphone is at or below the last bits of 16
FULL_SCALE = 0.999
CLIPPED = 1e-3  # of all samples: more is heard
SHORTEST = 0.2  # seconds: nothing shorter holds a word


@dataclass(frozen=True)
class Look:
    """One recording: lengths in seconds, levels in dBFS; `word` is its place in a short one; `problems` are by kind."""

    path: Path
    rate: int = 0
    channels: int = 0
    seconds: float = 0.0
    peak_db: float = -np.inf
    level_db: float = -np.inf
    clipped: float = 0.0
    word: tuple[float, float] | None = None
    sha256: str | None = None
    problems: tuple[tuple[str, str], ...] = ()

    @property
    def is_short(self) -> bool:
        """Whether it is short enough to be one take of a word."""
        return self.seconds <= LONGEST_CLIP

    def to_json(self) -> dict[str, Any]:
        """The recording for a program to read; levels of digital silence are null."""
        levels = {name: round(float(value), 1) if np.isfinite(value) else None for name, value in self._levels().items()}
        word = None if self.word is None else [round(time, 3) for time in self.word]
        numbers = {"seconds": round(self.seconds, 3), "clipped": round(self.clipped, 5), "word": word, "problems": dict(self.problems)}
        return asdict(self) | {"path": str(self.path)} | levels | numbers

    def _levels(self) -> dict[str, float]:
        return {"peak_db": self.peak_db, "level_db": self.level_db}


@dataclass(frozen=True)
class FolderReport:
    """The recordings of a folder, and a sentence about what was passed over."""

    folder: Path
    looks: Sequence[Look]
    passed_over: Sequence[str]
    note: str | None

    @property
    def problems(self) -> list[tuple[str, str]]:
        """All problems: kind and sentence."""
        return [problem for look in self.looks for problem in look.problems]

    def to_json(self) -> dict[str, Any]:
        """The report for a program to read."""
        return {"folder": str(self.folder), "passed_over": list(self.passed_over), "recordings": [look.to_json() for look in self.looks]}

    def summary(self) -> dict[str, str]:
        """The numbers of the folder, by what they are."""
        read = [look for look in self.looks if look.rate]
        short = [look for look in read if look.is_short]
        lengths = [look.seconds for look in read] or [0.0]
        levels = [look.level_db for look in read if np.isfinite(look.level_db)] or [-np.inf]
        rates = Counter(look.rate for look in read)
        kinds = Counter(kind for kind, _ in self.problems)
        return {
            "recordings": f"{len(self.looks):,}",
            "hours": f"{sum(lengths) / 3600:.2f}",
            "length (s)": f"{min(lengths):.2f} to {max(lengths):.2f}, median {np.median(lengths):.2f}",
            "level (dBFS)": f"{min(levels):.0f} to {max(levels):.0f}, median {np.median(levels):.0f}",
            "sample rate (Hz)": ", ".join(f"{rate} ({number:,})" for rate, number in rates.most_common()) or "none",
            "word found": f"{sum(look.word is not None for look in short):,} of {len(short):,} that are at most {LONGEST_CLIP:.0f} s long",
            "problems": ", ".join(f"{kind} ({number:,})" for kind, number in kinds.most_common()) or "none",
        }


def look_at_folders(folders: Iterable[Path], progress: Progress | None = None) -> list[FolderReport]:
    """Look at every recording of the folders; raises `ManifestError` where one of them holds none."""
    found = [recordings_in(folder) for folder in folders]
    files = [path for folder in found for path in folder.files]
    looks: list[Look] = []
    with ThreadPoolExecutor(workers_by_default()) as pool:
        for look in pool.map(look_at, files):
            looks.append(look)
            if progress is not None:
                progress(len(looks), len(files))
    looks = _with_doubles(looks)
    reports = []
    for folder in found:
        own, looks = looks[: len(folder.files)], looks[len(folder.files) :]
        reports.append(FolderReport(folder.path, own, folder.left_out, left_out(folder) if folder.left_out else None))
    return reports


def look_at(path: Path) -> Look:
    """Decode one recording and measure it."""
    try:
        digest = sha256_of(path)
        rate, channels, seconds = describe(path)
        peak, power, clipped, samples = _measure(path)
    except (AudioError, OSError) as error:
        return Look(
            path, problems=(("broken", str(error) if isinstance(error, AudioError) else f"{path} cannot be read: {error.strerror}."),)
        )
    word = find_word(read_audio(path)) if seconds <= LONGEST_CLIP else None
    level = 10 * np.log10(power / samples) if power > 0 else -np.inf
    look = Look(path, rate, channels, seconds, 20 * np.log10(peak) if peak > 0 else -np.inf, level, clipped / samples, word, digest)
    return replace(look, problems=tuple(_problems(look)))


def _measure(path: Path) -> tuple[float, float, int, int]:
    """Peak, energy, samples at full scale, and samples."""
    peak, energy, clipped, number = 0.0, 0.0, 0, 0
    for block in read_blocks(path):
        loud: Samples = np.abs(block)
        peak = max(peak, float(loud.max()))
        energy += float(np.sum(np.square(block, dtype=np.float64)))
        clipped += int(np.count_nonzero(loud >= FULL_SCALE))
        number += len(block)
    return peak, energy, clipped, max(number, 1)


def _problems(look: Look) -> Iterable[tuple[str, str]]:
    if look.peak_db <= SILENT_DB:
        yield "silent", f"{look.path} is silent; was the microphone muted?"
        return
    if look.seconds < SHORTEST:
        yield "short", f"{look.path} is {look.seconds:.2f} s long; nothing shorter than {SHORTEST} s holds a word."
    elif look.is_short and look.word is None:
        yield "no word", f"{look.path}: no word is found, because nothing stands out from the background."
    if look.clipped > CLIPPED:
        yield "clipped", f"{look.path}: {look.clipped:.1%} of the samples are clipped; record with a lower level."


def _with_doubles(looks: Iterable[Look]) -> list[Look]:
    """Add a problem to every recording that has the content of an earlier one."""
    first: dict[str, Path] = {}
    result = []
    for look in looks:
        if look.sha256 is not None:
            earlier = first.setdefault(look.sha256, look.path)
            if earlier != look.path:
                double = ("duplicate", f"{look.path} is the same recording as {earlier}.")
                look = replace(look, problems=(*look.problems, double))
        result.append(look)
    return result
