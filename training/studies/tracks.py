"""Long tracks of a wake word by the published procedure of Picovoice/wake-word-benchmark, and what engines hear; read by picovoice.py.

A track plays every clip once, in random order, between stretches of equal length. A stretch is a row of utterances, drawn with replacement;
one in five sounds, the others are as much silence. Noise runs through the whole track: recordings drawn with replacement, each at its own
peak, without a pause. Each utterance and clip is 10 dB above the noise under it, measured by the largest energy of 512 samples.
"""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np

from speechtl.audio.data.recordings import Recording
from speechtl.audio.evaluation.model import Model
from speechtl.audio.evaluation.scoring import PlayedWord, ScoredStream
from speechtl.audio.run import WEIGHTS
from speechtl.errors import SpeechtlError
from speechtl.files import sha256_of, writing
from speechtl.progress import tracked
from speechtl.runtime import ready
from speechtl.runtime.detector import Scorer
from speechtl.runtime.samples import SAMPLE_RATE, Floats, Int16, Samples, to_int16
from speechtl.runtime.trigger import TriggerSettings, smooth

SOUNDING = 0.2  # of the utterances
SNR_DB = 10.0
FRAME = 512  # samples
PIECE = 1800 * SAMPLE_RATE  # samples of a piece, at least
BLOCK = 10 * SAMPLE_RATE  # samples that are scored at a time
PEER_STEP = 1280  # samples
REFRACTORY = 2.0  # seconds, of peers and when counting as published

Listen = Callable[[Int16], Floats]  # the samples of a piece, which begins after silence, to scores


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


@dataclass(frozen=True)
class Engine:
    """A detector to measure: how it scores, and what its scores are kept under."""

    name: str
    trigger: TriggerSettings
    listen: Listen
    times: Callable[[int], float]  # from the number of a score to the second at which it is complete
    digest: str


def own_engine(model: Model, name: str) -> Engine:
    """A model as an engine."""
    file = model.path / WEIGHTS if model.path.is_dir() else model.path if model.path.exists() else ready.BUNDLE
    digest = short_hash(f"{sha256_of(file)} {model.name} {model.graph}".encode())
    return Engine(name, model.trigger, partial(_listen, model.scorer, model.column), model.scorer.time, digest)


def _listen(scorer: Scorer, column: int, samples: Int16) -> Floats:
    scorer.reset()
    scores = [scorer.feed(samples[first : first + BLOCK]) for first in range(0, len(samples), BLOCK)]
    return np.concatenate(scores)[:, column]


def peer_engine(name: str, threshold: str, command: str) -> Engine:
    """Another program as an engine."""
    trigger = TriggerSettings(float(threshold), refractory=REFRACTORY)
    return Engine(name, trigger, partial(_ask, command), lambda step: (step + 1) * PEER_STEP / SAMPLE_RATE, short_hash(command.encode()))


def _ask(command: str, samples: Int16) -> Floats:
    done = subprocess.run(shlex.split(command), input=samples.tobytes(), capture_output=True, check=False)
    try:
        answer = json.loads(done.stdout.strip().rpartition(b"\n")[2])
    except ValueError:
        reason = (done.stderr.decode(errors="replace").strip().splitlines() or ["it printed no JSON"])[-1]
        raise SpeechtlError(f"{command} failed: {reason}") from None
    scores = np.asarray(answer["scores"] if isinstance(answer, dict) else answer, np.float32)
    if scores.shape != (len(samples) // PEER_STEP,):
        raise SpeechtlError(f"{command} printed scores of the shape {scores.shape}, not {len(samples) // PEER_STEP}: one for every 80 ms.")
    return scores


def short_hash(content: bytes) -> str:
    """What files are told apart by."""
    return sha256_of(content)[:12]


def hear(engine: Engine, track: Track, kept: Path) -> ScoredStream:
    """The smoothed scores of an engine on a track, of which finished pieces are kept in a folder."""
    scores, times = [], []
    for number, piece in enumerate(tracked(f"playing to {engine.name}, piece", track.pieces, len(track.pieces))):
        path = kept / engine.digest / f"{number:03d}.npy"
        if not path.exists():
            heard = engine.listen(track.samples(piece))
            with writing(path) as beside, beside.open("wb") as file:
                np.save(file, heard)
        scores.append(np.load(path))
        times.append(piece[0].start / SAMPLE_RATE + np.linspace(engine.times(0), engine.times(len(scores[-1]) - 1), len(scores[-1])))
    words = [_played(part, index) for index, part in enumerate(track.clips)]
    smoothed = smooth(np.concatenate(scores), engine.trigger.smoothing).astype(np.float32)
    return ScoredStream(smoothed, np.concatenate(times), engine.times(1) - engine.times(0), 3600.0 * track.hours, words)


def _played(part: Part, index: int) -> PlayedWord:
    start, end = (part.start / SAMPLE_RATE + limit for limit in part.recording.word)
    return PlayedWord(start, end, index)
