"""Statistics of manifests: clips, hours, speakers, labels and licences of every split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from speechtl.audio.data.manifest import Clip, PathLike, distinct, read_manifest


@dataclass(frozen=True)
class SplitStats:
    """One split of one manifest; `split` is None for lines that name none, `on_disk` counts the clips found on this machine."""

    manifest: Path
    split: str | None
    clips: int
    on_disk: int
    hours: float
    speakers: int
    without_speaker: int
    with_word_limits: int
    labels: dict[str, int]
    licences: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        """The counts as JSON."""
        return asdict(self) | {"manifest": str(self.manifest), "hours": round(self.hours, 4)}


def stats(paths: Iterable[PathLike]) -> list[SplitStats]:
    """Statistics of every split of every manifest, in the order given; raises `ManifestError` if one cannot be read."""
    rows = []
    for path in distinct(paths):
        clips = read_manifest(path)
        splits = sorted({clip.split for clip in clips}, key=lambda split: (split is None, split))
        rows += [_count(path, split, [clip for clip in clips if clip.split == split]) for split in splits]
    return rows


def _count(manifest: Path, split: str | None, clips: Sequence[Clip]) -> SplitStats:
    return SplitStats(
        manifest=manifest,
        split=split,
        clips=len(clips),
        on_disk=sum(clip.path is not None for clip in clips),
        hours=sum(clip.duration for clip in clips) / 3600,
        speakers=len({clip.person for clip in clips if clip.person is not None}),
        without_speaker=sum(clip.person is None for clip in clips),
        with_word_limits=sum(clip.word_start is not None for clip in clips),
        labels=dict(Counter(clip.label for clip in clips if clip.label is not None).most_common()),
        licences=dict(Counter(clip.license or "unknown" for clip in clips).most_common()),
    )
