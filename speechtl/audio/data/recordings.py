"""Recordings as int16, in memory up to a limit; the others are decoded whenever they are used."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from speechtl.audio.data.align import LONGEST_CLIP, find_word
from speechtl.audio.data.manifest import TOLERANCE, Clip, fault, missing
from speechtl.audio.data.takes import Limits, cuts, has_word, repetitions
from speechtl.audio.phrases import words
from speechtl.errors import AudioError, ManifestError
from speechtl.progress import Log, tracked
from speechtl.runtime.samples import SAMPLE_RATE, Int16, Samples, from_int16, to_int16
from speechtl.runtime.sound.files import read_audio, read_blocks
from speechtl.text import counted, none_can_be_used

IN_MEMORY = 16_000.0  # seconds of the recordings of one kind: 512 MB
STEP = 640  # samples, an integer at every usual rate: parts start at a multiple, and resampling needs some on both sides
NAMED = 3  # recordings that a log line names
CACHED = 16_384  # decoded clips, for the next load of the same files


@dataclass(frozen=True)
class OnDisk:
    """Samples that are decoded when they are sliced: `length` samples of one or all channels from `offset` (seconds) on."""

    path: Path
    offset: float
    duration: float | None
    length: int
    channel: int | None = None

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, part: slice) -> Int16:
        start, end, _ = part.indices(self.length)
        if (start, end) == (0, self.length):
            return _fitted(to_int16(read_audio(self.path, self.offset, self.duration, self.channel)), self.length)
        if end <= start:
            return np.zeros(0, np.int16)
        first = max(start // STEP - 1, 0) * STEP
        last = min(end + STEP, self.length)
        samples = read_audio(self.path, self.offset + first / SAMPLE_RATE, (last - first) / SAMPLE_RATE, self.channel)
        return _fitted(to_int16(samples)[start - first :], end - start)


@dataclass(frozen=True)
class Recording:
    """A clip and its samples.

    `word` is the start and end of the word in seconds. `fold` is the group of recordings that is held out together. `heard` is false
    for silence and, if a word was looked for, for noise. A file with several takes of the word gives several recordings; `times` is
    their number.
    """

    clip: Clip
    pcm: Int16 | OnDisk
    word: tuple[float, float]
    fold: int = 0
    heard: bool = True
    times: int = 1

    def samples(self, part: slice = slice(None)) -> Samples:
        """All samples, or a part of them, as float32 in [-1, 1]."""
        return from_int16(self.pcm[part])

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return len(self.pcm) / SAMPLE_RATE


class RecordedSound:
    """The samples of a recording; only the requested part is read."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording

    def __len__(self) -> int:
        return len(self._recording.pcm)

    def __getitem__(self, part: slice) -> Samples:
        return self._recording.samples(part)


def sounds_of(recordings: Iterable[Recording]) -> list[RecordedSound]:
    """Recordings as sequences of samples."""
    return [RecordedSound(recording) for recording in recordings]


def load_recordings(
    clips: Sequence[Clip], *, find_words: bool = False, phrases: Sequence[str] = (), on_skip: Log, workers: int = 2
) -> list[Recording]:
    """Decode clips; a broken one is reported to `on_skip` and left out, the missing ones of a manifest in one sentence.

    Raises `ManifestError` if none is left.

    `find_words` locates the word in clips whose manifest does not; a clip with several takes of one of the `phrases` is cut at the
    pauses. Files that have not changed since an earlier call come from a cache.
    """

    def load(clip: Clip, in_memory: bool) -> list[Recording] | AudioError:
        try:
            return _load(clip, find_words, tuple(phrases), in_memory)
        except AudioError as error:
            return error

    clips = present(clips, on_skip)
    with ThreadPoolExecutor(workers) as pool:
        loaded = list(tracked("reading recordings", pool.map(load, clips, _fit_in_memory(clips)), len(clips)))
    problems = [f"{clip.where}: {found}" for clip, found in zip(clips, loaded, strict=True) if isinstance(found, AudioError)]
    recordings = [recording for found in loaded if not isinstance(found, AudioError) for recording in found]
    if clips and not recordings:
        raise none_left(len(clips), clips[0].manifest, problems)
    for problem in problems:
        on_skip(problem)
    return recordings


def present(clips: Sequence[Clip], on_skip: Log) -> list[Clip]:
    """The clips whose recording is on this machine; the others are reported to `on_skip`, in one sentence for each manifest.

    Raises `ManifestError` if all are missing.
    """
    absent: dict[Path, list[Clip]] = {}
    for clip in clips:
        if clip.path is None:
            absent.setdefault(clip.manifest, []).append(clip)
    reports = [are_missing(first, 1 + len(others)) for first, *others in absent.values()]
    if clips and sum(map(len, absent.values())) == len(clips):
        raise none_left(len(clips), clips[0].manifest, reports)
    for report in reports:
        on_skip(report)
    return [clip for clip in clips if clip.path is not None]


def are_missing(first: Clip, number: int) -> str:
    """The sentence for recordings of a manifest that are not on this machine."""
    if number == 1:
        return f"{first.where}: {missing(first)}"
    return f"{first.manifest}: {number:,} recordings are missing; the first: {missing(first)}"


def none_left(number: int, manifest: Path, problems: Sequence[str]) -> ManifestError:
    """The error for recordings of which none can be used."""
    return ManifestError(f"{none_can_be_used(number, 'recording')}, of {manifest}; the first:", problems[:1])


def heard_only(recordings: Sequence[Recording], what: str, log: Log) -> list[Recording]:
    """The recordings that are not silent; the others are logged as being without `what` ("a word")."""
    silent = [recording for recording in recordings if not recording.heard]
    if silent:
        log(f"Left out {_count(silent)} without {what}: {_names(silent)}.")
    return [recording for recording in recordings if recording.heard]


def log_silent(recordings: Sequence[Recording], log: Log) -> None:
    """Log the recordings in which no word was found, although they count."""
    silent = [recording for recording in recordings if not recording.heard]
    if silent:
        log(
            f"Only silence or noise was found in {_count(silent)} of the word: {_names(silent)}. "
            "Each counts as a miss unless something is detected; remove broken recordings to leave them out."
        )


def log_cuts(recordings: Sequence[Recording], log: Log) -> None:
    """Log the files that were cut into takes, and those that may contain several takes."""
    files = {(recording.clip.where, recording.clip.audio_filepath): recording for recording in recordings if recording.times > 1}
    if files:
        times = sum(recording.times for recording in files.values())
        log(f"Cut {_count(files.values())} at the pauses into {times} takes of the word: {_names(files.values())}.")
    long = [recording for recording in recordings if _is_unclear(recording)]
    if long:
        log(
            f"Recordings of the word longer than {LONGEST_CLIP:.0f} s in which no similar takes were found count as one take: "
            f"{_names(long)}. Cut them into takes, one per file."
        )


def _is_unclear(recording: Recording) -> bool:
    """Whether a recording is too long for one take, and neither the manifest nor its sound locates the word."""
    clip = recording.clip
    return recording.heard and recording.times == 1 and recording.seconds > LONGEST_CLIP and clip.word_start is None and clip.text is None


def _count(recordings: Iterable[Recording]) -> str:
    return counted(len(list(recordings)), "recording")


def _names(recordings: Iterable[Recording]) -> str:
    names = [recording.clip.audio_filepath for recording in recordings]
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")


def _fit_in_memory(clips: Sequence[Clip]) -> list[bool]:
    return [bool(end <= IN_MEMORY) for end in np.cumsum([clip.duration for clip in clips])]


def _load(clip: Clip, find_words: bool, phrases: tuple[str, ...], in_memory: bool) -> list[Recording]:
    """The recordings of a clip that is present; raises `AudioError` if it cannot be used."""
    assert clip.path is not None
    status = clip.path.stat() if clip.path.exists() else None
    state = status and (status.st_mtime_ns, status.st_size, status.st_ino)
    cached = _decoded(clip, clip.path, state, find_words, phrases, in_memory)
    return [replace(one, clip=replace(clip, offset=one.clip.offset, duration=one.clip.duration)) for one in cached]


@lru_cache(CACHED)
def _decoded(
    clip: Clip, path: Path, _state: tuple[int, int, int] | None, find_words: bool, phrases: tuple[str, ...], in_memory: bool
) -> list[Recording]:
    if in_memory or find_words:
        samples = read_audio(path, clip.offset, clip.duration or None, clip.channel)
        length, heard = len(samples), bool(to_int16(samples).any())
    else:
        length, heard = _measure(clip, path)
    if length == 0:
        raise AudioError(f"{path} is too short: at {SAMPLE_RATE} Hz nothing is left of it.")
    if length / SAMPLE_RATE < clip.duration - TOLERANCE and (problem := fault(clip)):
        raise AudioError(problem)
    on_disk = OnDisk(path, clip.offset, clip.duration or None, length, clip.channel)
    whole = Recording(clip, to_int16(samples) if in_memory else on_disk, (0.0, length / SAMPLE_RATE), heard=heard)
    if clip.word_start is not None and clip.word_end is not None:
        return [replace(whole, word=(clip.word_start, clip.word_end))]
    return _with_words(whole, samples, phrases) if find_words else [whole]


def _with_words(whole: Recording, samples: Samples, phrases: Sequence[str]) -> list[Recording]:
    """The recording with its word located, or one recording for each take of the phrase."""
    if not has_word(samples):
        return [replace(whole, heard=False)]
    said = repetitions(samples, phrases) if phrases and _may_repeat(whole.clip, phrases) else []
    if not said:
        return [replace(whole, word=find_word(samples) or whole.word)]
    return [_part(whole, samples, limits, cut, len(said)) for limits, cut in zip(said, cuts(said, len(samples)), strict=True)]


def _may_repeat(clip: Clip, phrases: Sequence[str]) -> bool:
    """Whether the clip may contain several takes: the manifest does not say that anything else is spoken."""
    return clip.text is None or words(clip.text) in map(words, phrases)


def _part(whole: Recording, samples: Samples, said: Limits, cut: tuple[int, int], times: int) -> Recording:
    """The take between two cuts; `said` is the start and end of the word in the whole recording, in seconds."""
    first, last = cut
    start, end = first / SAMPLE_RATE, last / SAMPLE_RATE
    clip = replace(whole.clip, offset=whole.clip.offset + start, duration=end - start)
    found = find_word(samples[first:last])
    if found is None or found[0] + start > said[1] or found[1] + start < said[0]:
        found = (said[0] - start, said[1] - start)
    pcm = (
        whole.pcm[first:last]
        if isinstance(whole.pcm, np.ndarray)
        else replace(whole.pcm, offset=clip.offset, duration=clip.duration, length=last - first)
    )
    return replace(whole, clip=clip, pcm=pcm, word=found, times=times)


def _measure(clip: Clip, path: Path) -> tuple[int, bool]:
    """The number of samples of a clip, and whether any of them is not zero, without holding them in memory."""
    length, heard = 0, False
    for block in read_blocks(path, clip.offset, clip.duration or None, channel=clip.channel):
        length += len(block)
        heard = heard or bool(to_int16(block).any())
    return length, heard


def _fitted(pcm: Int16, length: int) -> Int16:
    return pcm[:length] if len(pcm) >= length else np.pad(pcm, (0, length - len(pcm)))
