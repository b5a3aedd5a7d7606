"""Takes of the word in a recording: none, only one, or several with pauses between."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from itertools import combinations, pairwise

import numpy as np

from speechtl.audio.data.align import SHORTEST, band_energies, frame_levels, seconds_of, segments
from speechtl.runtime.features import LogMel
from speechtl.runtime.samples import SAMPLE_RATE, Doubles, Samples

# The level of steady noise, of any colour and level, varies only by chance: 500 noises of 0.25 to 5 s reach 5.7 and 5.1 dB. Each of
# 1,949 real takes, also at -50 dBFS and cut to the word, exceeds one of the two limits.
SHORT_MEAN, LONG_MEAN = 6, 20  # frames over which energy is averaged: 30 and 100 ms
SHORT_CONTRAST = 6.8  # dB of the 98th above the 10th percentile, all bands together
LONG_CONTRAST = 6.4  # dB of the 95th above the 5th percentile, in the two bands that vary most
EVENNESS = 1000.0  # largest ratio between the backgrounds of two bands
RANGE = 40.0  # dB below the loudest; anything softer is ignored

BELOW_PEAK = 30.0  # dB; anything softer is a pause
LETTER, SYLLABLE = 0.06, 0.2  # seconds of a letter of an alphabet, and of a sign for a syllable
SHORTER, LONGER = 0.6, 2.5  # limits of the length, relative to the expected one
DRAWL = 0.6  # seconds added to the longest length
UNKNOWN_LENGTH = (SHORTEST, 3.0)  # seconds, for phrases without letters
INNER_PAUSE = 0.6  # seconds between two words of one phrase, at most
ALIKE = (0.6, 1.7)  # times the median length
COMPARED = 8  # takes that are compared with each other
FEW = 4  # takes; fewer must be more similar, as any two sounds may have the same length
DISTANCE_OF_FEW, DISTANCE = 1.0, 1.5  # of cepstra along the best path; different words are about 1.5 apart, takes of one speaker 0.4 to 1.1
MOST_FIT = 0.5  # smallest share of sounds that are the word
MARGIN = 1.0  # seconds kept around a take

Limits = tuple[float, float]  # start and end, in seconds


def has_word(samples: Samples) -> bool:
    """Whether the level of 16 kHz mono samples varies like that of a voice, at any level; steady noise and silence do not."""
    if len(samples) < SHORTEST * SAMPLE_RATE:
        return False
    energy, sounding = band_energies(samples)
    energy = energy[sounding]
    if len(energy) <= LONG_MEAN + 2:
        return False
    return _contrast(_averaged(energy, SHORT_MEAN)) > SHORT_CONTRAST or _movement(_averaged(energy, LONG_MEAN)) > LONG_CONTRAST


def repetitions(samples: Samples, phrases: Sequence[str]) -> list[Limits]:
    """Start and end of each take of one of the phrases, if there are at least two and little else; otherwise nothing.

    Takes are sounds between pauses that are about as long as the phrase and as each other, and sound similar.
    """
    shortest, longest = expected_seconds(phrases)
    sounds = _joined(_sounds(samples), shortest, longest)
    fitting = [sound for sound in sounds if shortest <= sound[1] - sound[0] <= longest]
    if len(fitting) < 2:
        return []
    median = float(np.median([end - start for start, end in fitting]))
    said = [(start, end) for start, end in fitting if ALIKE[0] * median <= end - start <= ALIKE[1] * median]
    if len(said) < max(2, MOST_FIT * len(sounds)) or not _sound_alike(samples, said):
        return []
    return said


def cuts(said: Sequence[Limits], length: int) -> list[tuple[int, int]]:
    """First and last sample of each take: up to the middle of the pauses, and at most one second from the word."""
    middles = [(one[1] + other[0]) / 2 for one, other in pairwise(said)]
    starts = [max(start - MARGIN, middle) for (start, _), middle in zip(said, [0.0, *middles], strict=True)]
    ends = [min(end + MARGIN, middle) for (_, end), middle in zip(said, [*middles, length / SAMPLE_RATE], strict=True)]
    return [(round(start * SAMPLE_RATE), round(end * SAMPLE_RATE)) for start, end in zip(starts, ends, strict=True)]


def expected_seconds(phrases: Sequence[str]) -> Limits:
    """The shortest and the longest duration of the phrases."""
    lengths = [length for phrase in phrases if (length := sum(map(_seconds_of_sign, phrase)))]
    if not lengths:
        return UNKNOWN_LENGTH
    return max(SHORTER * min(lengths), SHORTEST), LONGER * max(lengths) + DRAWL


def _seconds_of_sign(sign: str) -> float:
    if not sign.isalpha():
        return 0.0
    return SYLLABLE if unicodedata.east_asian_width(sign) in "WF" and not unicodedata.name(sign, "").startswith("FULLWIDTH") else LETTER


def _averaged(energy: Doubles, frames: int) -> Doubles:
    sums = np.cumsum(np.concatenate([np.zeros((1, energy.shape[1])), energy]), axis=0)
    averaged: Doubles = (sums[frames:] - sums[:-frames]) / frames
    return averaged


def _contrast(energy: Doubles) -> float:
    background = np.percentile(energy, 10, axis=0)
    background = np.maximum(background, background.max() / EVENNESS)
    levels = 10.0 * np.log10((energy / background).mean(axis=1) + 1e-9)
    low, high = np.percentile(levels, [10, 98])
    return float(high - low)


def _movement(energy: Doubles) -> float:
    levels = 10.0 * np.log10(np.maximum(energy, energy.max() * 10.0 ** (-RANGE / 10.0)))
    low, high = np.percentile(levels, [5, 95], axis=0)
    return float(np.sort(high - low)[-2:].mean())


def _sounds(samples: Samples) -> list[Limits]:
    """Start and end of every sound between pauses."""
    levels = frame_levels(samples)
    sounding = levels[np.isfinite(levels)]
    if len(sounding) == 0:
        return []
    floor, peak = np.percentile(sounding, [15, 98])
    low = np.full(len(levels), max(floor + 5.0, peak - BELOW_PEAK))
    found = segments(levels, low, max(floor + 8.0, peak - 20.0))
    return [(seconds_of(start, len(samples)), seconds_of(end, len(samples))) for start, end in found]


def _joined(sounds: Sequence[Limits], shortest: float, longest: float) -> list[Limits]:
    """Sounds in which those too short for the phrase are joined to near neighbours, unless that is too long for the phrase."""
    joined: list[Limits] = []
    for start, end in sounds:
        if joined:
            before = joined[-1]
            short = min(before[1] - before[0], end - start) < shortest
            if short and start - before[1] < INNER_PAUSE and end - before[0] <= longest:
                start = joined.pop()[0]
        joined.append((start, end))
    return joined


def _sound_alike(samples: Samples, said: Sequence[Limits]) -> bool:
    chosen = [said[index] for index in np.linspace(0, len(said) - 1, min(COMPARED, len(said))).round().astype(int)]
    cepstra = [_cepstra(samples[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)]) for start, end in chosen]
    distances = [_distance(one, other) for one, other in combinations(cepstra, 2)]
    return float(np.median(distances)) < (DISTANCE_OF_FEW if len(said) < FEW else DISTANCE)


def _cepstra(samples: Samples) -> Doubles:
    """Mel cepstra `(frames, 12)` without the level, with mean 0 and deviation 1."""
    from scipy.fft import dct  # of the extra `train`; a device that records does not have it

    cepstra = dct(LogMel().compute(np.clip(samples, -1.0, 1.0)), type=2, norm="ortho", axis=1)[:, 1:13].astype(np.float64)
    return np.asarray((cepstra - cepstra.mean(axis=0)) / (cepstra.std() + 1e-6))


def _distance(one: Doubles, other: Doubles) -> float:
    """Distance of two series of frames along their best alignment."""
    return aligned_distance(np.sqrt(((one[:, None] - other[None]) ** 2).sum(axis=-1)))


def aligned_distance(costs: Doubles) -> float:
    """Mean distance along the best alignment of two series with these distances (dynamic time warping; Sakoe and Chiba 1978)."""
    above = [0.0] + [np.inf] * costs.shape[1]
    for row in costs.tolist():
        here = [np.inf]
        for column, cost in enumerate(row):
            here.append(cost + min(above[column], above[column + 1], here[column]))
        above = here
    return float(above[-1]) / sum(costs.shape)
