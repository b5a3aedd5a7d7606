"""Which recordings are mined: those of the training split that no one is tested, validated or trained on."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from speechtl.audio.data.clips import says
from speechtl.audio.data.manifest import Clip
from speechtl.audio.evaluation.hours.listed import Listed
from speechtl.audio.evaluation.hours.listing import Missing, each_clip
from speechtl.errors import ManifestError
from speechtl.files import sha256_of
from speechtl.progress import Log, duration, progress
from speechtl.text import counted

HELD_OUT_SPLITS = ("validation", "test")


class Listing:
    """The lines of manifests that are on this machine: those of the training split in a file, the others in memory."""

    def __init__(self, paths: Sequence[Path], log: Log) -> None:
        self.paths = paths
        self.held_out: list[Clip] = []
        self._seen: set[int] = set()
        folder = Path(tempfile.mkdtemp(prefix="speechtl-"))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self.listed = Listed(folder / "mine.jsonl")
        missing = Missing()
        with progress("listing recordings to mine"):
            clips = filter(self._is_for_training, each_clip(paths, log))
            self.listed.write(clip for clip in clips if missing.passes(clip) and self._is_new(clip))
        self._seen.clear()
        if not missing.looked_at:
            raise ManifestError(f"There is nothing to mine: {', '.join(map(str, paths))} have no line of the training split.")
        missing.report(log, anything=len(self.listed) > 0)

    def _is_for_training(self, clip: Clip) -> bool:
        if clip.split in HELD_OUT_SPLITS:
            self.held_out.append(clip)
        return clip.split not in HELD_OUT_SPLITS

    def _is_new(self, clip: Clip) -> bool:
        """Whether the recording was not listed by another manifest; of half a million, hashes take little memory."""
        key = hash((clip.sha256 or clip.path, clip.offset, clip.channel))
        is_new = key not in self._seen
        self._seen.add(key)
        return is_new


@dataclass(frozen=True)
class Mine:
    """The recordings of a listing that may be mined, and their number; `fold_of` gives the fold that one belongs to."""

    listing: Listing
    fold_of: Callable[[Clip], int]
    why_not: Callable[[Clip], str | None]
    number: int

    @classmethod
    def of(cls, listing: Listing, fold_of: Callable[[Clip], int], reasons: Reasons, log: Log) -> Mine:
        """All recordings without a reason against it; those that are left out are logged. Raises `ManifestError` if none is left."""

        def why_not(clip: Clip) -> str | None:
            return next((reason for reason, holds in reasons.items() if holds(clip)), None)

        left_out: Counter[str] = Counter()
        number, seconds = 0, 0.0
        for clip in listing.listed:
            if (reason := why_not(clip)) is not None:
                left_out[reason] += 1
            else:
                number, seconds = number + 1, seconds + clip.duration
        sentences = [f"{counted(count, 'recording')} to mine {reason}" for reason, count in left_out.items()]
        if not number:
            raise ManifestError(f"Nothing of {', '.join(map(str, listing.paths))} is left to mine. Left out: {', '.join(sentences)}.")
        for sentence in sentences:
            log(f"Left out {sentence}.")
        log(f"After a third of the epochs {counted(number, 'recording')} ({duration(seconds)}) will be heard for the hardest minutes.")
        return cls(listing, fold_of, why_not, number)

    def __len__(self) -> int:
        return self.number

    def __iter__(self) -> Iterator[Clip]:
        """The clips, one at a time."""
        return (clip for clip in self.listing.listed if self.why_not(clip) is None)

    @property
    def key(self) -> str:
        """A hash of what a training that is resumed must find again."""
        return sha256_of(self.listing.listed.path)


Reasons = Mapping[str, Callable[[Clip], bool]]  # by the words that follow "recordings"


def reasons_against(held_out: Sequence[Clip], given: Iterable[Clip], phrases: Sequence[str]) -> Reasons:
    """Why a recording is not mined: someone is tested or validated on it or its speaker, it is given as another kind, or has a phrase."""
    people = {clip.person for clip in held_out if clip.person}
    apart = {name for clip in held_out for name in clip.names}
    known = {name for clip in given for name in clip.names}
    return {
        "whose speaker or recording is also in split 'validation' or 'test'": (
            lambda clip: clip.person in people or not apart.isdisjoint(clip.names)
        ),
        "that the training has anyway": lambda clip: not known.isdisjoint(clip.names),
        f"whose text contains {' or '.join(map(repr, phrases))}": lambda clip: says(clip, phrases),
    }
