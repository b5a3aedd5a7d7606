"""Check manifests: recordings that are missing, broken, changed or duplicate, and speakers in several splits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from speechtl.audio.data.manifest import TOLERANCE, Clip, PathLike, fault, read_manifests, workers_by_default
from speechtl.files import sha256_of
from speechtl.progress import Advance
from speechtl.runtime.sound.files import describe
from speechtl.text import counted

# A broken file costs one clip, which is skipped; these would invalidate a result without notice.
FATAL = ("hash", "duplicate", "speaker")


@dataclass(frozen=True)
class Problem:
    """A problem of one line; `kind` is missing, broken, duration, hash, duplicate or speaker."""

    kind: str
    manifest: Path
    line: int
    message: str

    @property
    def fatal(self) -> bool:
        """Whether the data set is wrong, not just one file broken (which training skips and reports)."""
        return self.kind in FATAL

    def __str__(self) -> str:
        return f"{self.manifest}:{self.line}: {self.message}" if self.line else self.message

    def to_json(self) -> dict[str, Any]:
        """The problem as JSON."""
        return {"kind": self.kind, "fatal": self.fatal, "manifest": str(self.manifest), "line": self.line, "message": self.message}


@dataclass(frozen=True)
class Report:
    """Result of `validate`; `clips` is the number of lines checked."""

    clips: int
    problems: list[Problem] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether there are no problems."""
        return not self.problems

    @property
    def fatal(self) -> list[Problem]:
        """The problems that make the data set wrong."""
        return [problem for problem in self.problems if problem.fatal]

    @property
    def broken(self) -> list[Problem]:
        """The problems of single files."""
        return [problem for problem in self.problems if not problem.fatal]


def validate(paths: Iterable[PathLike], *, hashes: bool = True, workers: int | None = None, progress: Advance | None = None) -> Report:
    """All problems of manifests and their recordings, in the order of the lines.

    `hashes=False` does not read whole files: hashes are not compared, and only the end of a recording is decoded.
    Raises `ManifestError` when a manifest itself cannot be read.
    """
    clips = read_manifests(paths)
    problems, digests = _look_at_files(clips, hashes, workers or workers_by_default(), progress or _quiet)
    problems += [_problem("missing", clip, fault(clip) or "") for clip in clips if clip.path is None]
    problems += duplicates(clips, digests) + split_leaks(clips)
    order = {(clip.manifest, clip.line): number for number, clip in enumerate(clips)}
    return Report(len(clips), sorted(problems, key=lambda problem: order[problem.manifest, problem.line]))


def duplicates(clips: Iterable[Clip], digests: Mapping[Path, str] | None = None) -> list[Problem]:
    """A problem for every clip whose recording is also in an earlier line; `digests` adds the hashes of the files."""
    first: dict[tuple[str, float, int | None], Clip] = {}
    problems = []
    for clip in clips:
        digest = (digests or {}).get(clip.path) if clip.path else None
        names = clip.names | ({digest} if digest else set())
        earlier = next((first[part] for name in sorted(names) if (part := (name, clip.offset, clip.channel)) in first), None)
        if earlier is not None:
            message = f"{clip.audio_filepath} is the same recording as {earlier.audio_filepath} at {earlier.where}."
            problems.append(_problem("duplicate", clip, message))
        for name in names:
            first.setdefault((name, clip.offset, clip.channel), clip)
    return problems


def split_leaks(clips: Iterable[Clip]) -> list[Problem]:
    """A problem for every speaker in more than one split; lines without a split count as training."""
    speakers: dict[str, dict[str, list[Clip]]] = defaultdict(lambda: defaultdict(list))
    for clip in clips:
        if clip.person is not None:
            speakers[clip.person][clip.split or "train"].append(clip)
    problems = []
    for splits in speakers.values():
        (first_split, first), *others = splits.items()
        for split, theirs in others:
            message = (
                f"the speaker {first[0].speaker!r} is in split {split!r} here ({_lines(theirs)})"
                f" and in split {first_split!r} at {first[0].where} ({_lines(first)})."
            )
            problems.append(_problem("speaker", theirs[0], message))
    return problems


def _look_at_files(
    clips: Sequence[Clip], hashes: bool, workers: int, progress: Callable[[int, int], None]
) -> tuple[list[Problem], dict[Path, str]]:
    by_path: dict[Path, list[Clip]] = defaultdict(list)
    for clip in clips:
        if clip.path is not None:
            by_path[clip.path].append(clip)
    problems: list[Problem] = []
    digests: dict[Path, str] = {}
    with ThreadPoolExecutor(workers) as pool:
        jobs = {pool.submit(_look_at_file, path, theirs, hashes): path for path, theirs in by_path.items()}
        for done, job in enumerate(as_completed(jobs), 1):
            found, digest = job.result()
            problems += found
            if digest is not None:
                digests[jobs[job]] = digest
            progress(done, len(jobs))
    return problems, digests


def _look_at_file(path: Path, clips: Sequence[Clip], hashes: bool) -> tuple[list[Problem], str | None]:
    digest = None
    problems = []
    parts = any(clip.offset for clip in clips)  # lines that divide one long recording
    if hashes:
        try:
            digest = sha256_of(path)
        except OSError as error:
            return [_problem("broken", clip, f"{path} cannot be read: {error.strerror}.") for clip in clips], None
        problems = [_problem("hash", clip, message) for clip in clips if (message := _wrong_hash(clip, digest))]
    reason = fault(clips[0], whole=hashes)
    if reason is not None:
        problems.append(_problem("broken", clips[0], reason))
        clips = clips[1:]
    for clip in clips:
        if (reason := fault(clip)) is not None:
            problems.append(_problem("broken", clip, reason))
        elif not parts and (message := _wrong_duration(clip)):
            problems.append(_problem("duration", clip, message))
    return problems, digest


def _wrong_hash(clip: Clip, digest: str) -> str | None:
    expected = [known for known in (clip.sha256, clip.source_sha256) if known]
    if not expected or digest in expected:
        return None
    return f"{clip.path} is not the recording described: its SHA-256 is {digest}, expected {' or '.join(expected)}."


def _wrong_duration(clip: Clip) -> str | None:
    if clip.path is None:
        return None
    length = describe(clip.path)[2]
    if abs(length - clip.duration) <= TOLERANCE:
        return None
    return f"{clip.path} is {length:.2f} s long, the manifest says {clip.duration:.2f} s."


def _problem(kind: str, clip: Clip, message: str) -> Problem:
    return Problem(kind, clip.manifest, clip.line, message)


def _lines(clips: Sequence[Clip]) -> str:
    return counted(len(clips), "line")


def _quiet(done: int, total: int) -> None:
    """Show nothing."""
