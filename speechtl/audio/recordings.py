"""Recordings in memory, decoded once, as int16: an hour takes 115 MB."""

from __future__ import annotations

from collections.abc import Callable, Hashable, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from speechtl.audio.align import find_word
from speechtl.audio.manifest import TOLERANCE, Clip, fault
from speechtl.counts import none_can_be_used
from speechtl.errors import AudioError, ManifestError
from speechtl.runtime.audio import read_audio
from speechtl.runtime.samples import SAMPLE_RATE, Samples


@dataclass(frozen=True)
class Recording:
    """A clip and its sound; `word` is where the word stands (seconds from the start of the sound), `fold` who is held out together."""

    clip: Clip
    pcm: npt.NDArray[np.int16]
    word: tuple[float, float]
    fold: int = 0

    def samples(self) -> Samples:
        """Return the sound as float32 in [-1, 1]."""
        return self.pcm.astype(np.float32) / np.float32(32768.0)

    @property
    def seconds(self) -> float:
        """The length of the sound."""
        return len(self.pcm) / SAMPLE_RATE


Kept = MutableMapping[Hashable, "Recording | str"]  # decoded recordings, or why there is none


def load_recordings(
    clips: Sequence[Clip], *, find_words: bool = False, on_skip: Callable[[str], None], workers: int = 2, kept: Kept | None = None
) -> list[Recording]:
    """Decode clips; a broken one is reported to `on_skip` and left out. Raises `ManifestError` when none is left.

    `find_words` looks for the word in clips whose manifest does not say where it stands. What stands in `kept` is not decoded again, and
    everything that is decoded comes to stand there.
    """
    known: Kept = {} if kept is None else kept

    def load(clip: Clip) -> Recording | str:
        key = (clip, clip.path, find_words)
        if key not in known:
            known[key] = _load(clip, find_words)
        return known[key]

    with ThreadPoolExecutor(workers) as pool:
        loaded = list(pool.map(load, clips))
    problems = [problem for problem in loaded if isinstance(problem, str)]
    recordings = [recording for recording in loaded if isinstance(recording, Recording)]
    if clips and not recordings:
        raise ManifestError(f"{none_can_be_used(len(clips), 'recording')}, of {clips[0].manifest}; the first:", problems[:1])
    for problem in problems:
        on_skip(problem)
    return recordings


def _load(clip: Clip, find_words: bool) -> Recording | str:
    if clip.path is None:
        return f"{clip.where}: {fault(clip)}"
    try:
        samples = read_audio(clip.path, clip.offset, clip.duration or None)
    except AudioError as error:
        return f"{clip.where}: {error}"
    if len(samples) / SAMPLE_RATE < clip.duration - TOLERANCE and (problem := fault(clip)):
        return f"{clip.where}: {problem}"
    word = (0.0, len(samples) / SAMPLE_RATE)
    if clip.word_start is not None and clip.word_end is not None:
        word = (clip.word_start, clip.word_end)
    elif find_words:
        word = find_word(samples) or word
    pcm = np.clip(np.round(samples * 32768.0), -32768, 32767).astype(np.int16)
    return Recording(clip, pcm, word)
