"""Cut long recordings, in which a word is said many times, into takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from speechtl.audio.data.manifest import Clip
from speechtl.audio.data.takes import cuts, has_word, repetitions
from speechtl.audio.recording.agreement import TakeEncoder, disagreeing
from speechtl.audio.recording.checks import DIFFERENT, TakeCheck, check_take
from speechtl.audio.recording.folder import Circumstances, Speaker, TakeFolder
from speechtl.errors import AudioError
from speechtl.files import sha256_of
from speechtl.progress import Log
from speechtl.runtime.samples import SAMPLE_RATE, Samples, to_int16
from speechtl.runtime.sound.files import describe, read_audio

MOST_SECONDS = 7200.0  # of a recording, which is held in memory: 460 MB


@dataclass(frozen=True)
class FoundTake:
    """A take in a long recording: its start (seconds), samples and check."""

    source: Path
    start: float
    samples: Samples
    check: TakeCheck

    @property
    def sha256(self) -> str:
        """A hash of the samples as they are written."""
        return sha256_of(to_int16(self.samples).tobytes())


def find_takes(path: Path, phrase: str, encoder: TakeEncoder | None = None) -> list[FoundTake]:
    """The takes of a phrase in a recording: sounds between pauses that are similar, or the whole recording if it has a single word.

    Each is checked, and compared with the others where an encoder is given. Raises `AudioError` if there is none.
    """
    seconds = describe(path)[2]
    if seconds > MOST_SECONDS:
        raise AudioError(f"{path} is {seconds / 3600:.1f} h long; cut it into parts of at most {MOST_SECONDS / 3600:.0f} h first.")
    samples = read_audio(path)
    said = repetitions(samples, [phrase])
    if said:
        parts = [(max(first, 0), last) for first, last in cuts(said, len(samples))]
    elif has_word(samples) and check_take(samples, [phrase]).kinds == ():
        parts = [(0, len(samples))]
    else:
        raise AudioError(
            f"{path}: no takes of {phrase!r} were found in its {seconds:.0f} s. "
            "It must be said at least twice, with pauses of half a second or more, and little else."
        )
    takes = [FoundTake(path, first / SAMPLE_RATE, samples[first:last], check_take(samples[first:last], [phrase])) for first, last in parts]
    return takes if encoder is None else _compared(takes, encoder)


def keep_takes(found: Sequence[FoundTake], folder: TakeFolder, speaker: Speaker, log: Log, *, keep_all: bool = False) -> list[Clip | None]:
    """Write the takes without problems, or all, into a folder: the clip of each, None for one that was not written.

    One that the folder has from an earlier call is not written again.
    """
    before = {clip.extra.get("samples_sha256"): clip for clip in folder.clips()}
    written: list[Clip | None] = []
    for take in found:
        if not (take.check.ok or keep_all):
            written.append(None)
        elif take.sha256 in before:
            log(f"{take.source} at {take.start:.2f} s is {before[take.sha256].audio_filepath} already.")
            written.append(before[take.sha256])
        else:
            rate = describe(take.source)[0]
            origin = {"cut_from": take.source.name, "cut_at": round(take.start, 3), "samples_sha256": take.sha256}
            written.append(folder.add(take.samples, speaker, Circumstances("", rate, origin), take.check.word))
    return written


def _compared(takes: Sequence[FoundTake], encoder: TakeEncoder) -> list[FoundTake]:
    """The takes, with a problem for each that disagrees with the rest."""
    embedded = [(index, encoder.embed(take.samples, take.check.word)) for index, take in enumerate(takes) if take.check.word is not None]
    different = {embedded[index][0] for index in disagreeing([embedding for _, embedding in embedded])}
    return [
        FoundTake(take.source, take.start, take.samples, take.check.with_problem(DIFFERENT)) if index in different else take
        for index, take in enumerate(takes)
    ]
