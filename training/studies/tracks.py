"""Long tracks of a wake word by the published procedure of Picovoice/wake-word-benchmark; read by picovoice.py.

A track plays every clip once, in random order, between stretches of equal length. A stretch is a row of utterances, drawn with replacement;
one in five sounds, the others are as much silence. Noise runs through the whole track: recordings drawn with replacement, each at its own
peak, without a pause. Each utterance and clip is 10 dB above the noise under it, measured by the largest energy of 512 samples.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise

import numpy as np

from speechtl.audio.data.recordings import Recording
from speechtl.progress import tracked
from speechtl.runtime.samples import SAMPLE_RATE, Int16, Samples, to_int16

SOUNDING = 0.2  # of the utterances
SNR_DB = 10.0
FRAME = 512  # samples
PIECE = 1800 * SAMPLE_RATE  # samples of a piece, at least


@dataclass(frozen=True)
class Part:
    """An utterance, as much silence, or a clip of the word; `start` and `end` are samples of the track."""

    recording: Recording
    start: int
    end: int
    sounds: bool = True
    has_word: bool = False


@dataclass(frozen=True)
class Track:
    """A plan of a track; its samples are made in pieces."""

    parts: Sequence[Part]
    noises: Sequence[Recording]  # one after the other

    @property
    def hours(self) -> float:
        """The length of the track."""
        return self.parts[-1].end / SAMPLE_RATE / 3600.0

    @property
    def speech_hours(self) -> float:
        """The length of all utterances that sound, without the clips."""
        return sum(part.end - part.start for part in self.parts if part.sounds and not part.has_word) / SAMPLE_RATE / 3600.0

    @property
    def clips(self) -> list[Part]:
        """The parts with the word."""
        return [part for part in self.parts if part.has_word]

    @cached_property
    def pieces(self) -> list[Sequence[Part]]:
        """Consecutive parts of half an hour or a little more; the two parts before a cut are without the word."""
        cuts = [0]
        for index, part in enumerate(self.parts, 1):
            begun = self.parts[cuts[-1]].start
            if part.end - begun >= PIECE and not any(one.has_word for one in self.parts[max(index - 2, 0) : index]):
                cuts.append(index)
        return [self.parts[first:last] for first, last in pairwise(dict.fromkeys([*cuts, len(self.parts)]))]

    @cached_property
    def peak(self) -> float:
        """The largest sample of the track before it is scaled to full scale."""
        pieces = tracked("mixing the track, piece", self.pieces, len(self.pieces))
        return max(float(np.abs(self._mixed(piece)).max()) for piece in pieces)

    def samples(self, piece: Sequence[Part]) -> Int16:
        """The samples of a piece; the peak of the whole track is full scale."""
        return to_int16(self._mixed(piece) / np.float32(self.peak))

    def _mixed(self, piece: Sequence[Part]) -> Samples:
        begin = piece[0].start
        mixed = self._noise(begin, piece[-1].end)
        for part in piece:
            if part.sounds:
                under = mixed[part.start - begin : part.end - begin]
                under += louder(part.recording.samples(), under)
        return mixed

    @cached_property
    def _noise_ends(self) -> list[int]:
        return list(accumulate(len(noise.pcm) for noise in self.noises))

    def _noise(self, begin: int, end: int) -> Samples:
        first, last = (int(np.searchsorted(self._noise_ends, place, "right")) for place in (begin, end - 1))
        played = [noise.samples() for noise in self.noises[first : last + 1]]
        joined = np.concatenate([noise / np.abs(noise).max() for noise in played])
        begin_of_first = self._noise_ends[first] - len(played[0])
        return joined[begin - begin_of_first : end - begin_of_first]


def make_track(
    clips: Sequence[Recording], utterances: Sequence[Recording], noises: Sequence[Recording], hours: float, seed: int = 0
) -> Track:
    """A random track of at least `hours`; the recordings of noise must not be silent."""
    random = np.random.default_rng(seed)
    parts = list(_drawn(clips, utterances, int(hours * 3600 * SAMPLE_RATE) // (len(clips) + 1), random))
    drawn: list[Recording] = []
    length = 0
    while length < parts[-1].end:
        drawn.append(noises[int(random.integers(len(noises)))])
        length += len(drawn[-1].pcm)
    return Track(parts, drawn)


def _drawn(clips: Sequence[Recording], utterances: Sequence[Recording], stretch: int, random: np.random.Generator) -> Iterator[Part]:
    place = 0
    for index in [None, *random.permutation(len(clips)).tolist()]:
        if index is not None:
            yield (part := Part(clips[index], place, place + len(clips[index].pcm), has_word=True))
            place = part.end
        end = place + stretch
        while place < end:
            utterance = utterances[int(random.integers(len(utterances)))]
            yield (part := Part(utterance, place, place + len(utterance.pcm), sounds=bool(random.random() < SOUNDING)))
            place = part.end


def louder(speech: Samples, noise: Samples) -> Samples:
    """The speech at 10 dB above the noise; silence where the speech is silent."""
    energy = largest_energy(speech)
    return speech * np.float32(np.sqrt(largest_energy(noise) * 10.0 ** (SNR_DB / 10.0) / energy)) if energy > 0.0 else speech


def largest_energy(samples: Samples) -> float:
    """The largest energy of a frame of 512 samples; 0 for less than a frame."""
    frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME).astype(np.float64)
    return float((frames**2).sum(axis=1).max(initial=0.0))
