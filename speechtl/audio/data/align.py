"""Locate a single spoken word in a short clip: end-pointing by energy with an adaptive noise floor."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from speechtl.audio.data.manifest import Clip, PathLike, fault, is_table, read_manifest, write_manifest
from speechtl.audio.phrases import name_key, words
from speechtl.errors import AudioError, ManifestError
from speechtl.progress import Advance
from speechtl.runtime.samples import SAMPLE_RATE, Doubles, Samples
from speechtl.runtime.sound.files import read_audio

WINDOW = 400  # samples, 25 ms
HOP = 80  # samples, 5 ms
FRAMES_AT_A_TIME = 2048  # limits the memory of a long recording to about 20 MB
BANDS = (200.0, 500.0, 1000.0, 2000.0, 3500.0, 5000.0, 7000.0)  # hertz, borders: above mains hum, up to the fricatives
EVENNESS = 1000.0  # largest ratio between the backgrounds of two bands (30 dB)
FLOOR_PERCENTILE = 15  # of frame levels: the background, if the word leaves a sixth of the clip free
DIGITAL_SILENCE = 1e-8  # mean power of a bin (one bit of 16 gives 1e-8); windows below are padding, not background
CONTRAST = 9.0  # dB of the loudest part above the background, at least
DIP = 0.04  # seconds between two sounds, such as "s" and "m", over which a weak one is joined to a strong one
GAP = 0.3  # seconds of a pause within a word or phrase ("smart mirror")
REACH = 0.9  # seconds from the loudest frame; beyond that is background
FEWEST = 15  # frames needed to estimate a background level
LONG_FROM_START = 0.9  # seconds; a longer "word" at the start of the clip includes background
OPENING = 0.25  # seconds of the clip that are background in that case
CLICK = 0.05  # seconds of a click of a mouse or a switch, at most
SHORTEST = 0.2  # seconds of a word, at least
LONGEST_CLIP = 10.0  # seconds; a longer recording contains more than one word
NOT_WORDS = ("silence", "unknown", "noise", "background")


@dataclass(frozen=True)
class Aligned:
    """Result of `align_manifest`: numbers of lines with new limits and of unchanged lines, and lines without limits, with the reason."""

    found: int
    kept: int
    not_found: list[tuple[Clip, str]]


def find_word(samples: Samples) -> tuple[float, float] | None:
    """Start and end (seconds) of the single spoken word in 16 kHz mono samples, None if nothing exceeds the background."""
    if len(samples) < WINDOW:
        return None
    levels = frame_levels(samples)
    sounding = levels[np.isfinite(levels)]
    if len(sounding) == 0:
        return None
    floor, peak = np.percentile(sounding, [FLOOR_PERCENTILE, 98])
    if peak - floor < CONTRAST:
        return None
    low, high = _thresholds(levels, floor, peak)
    word = _strongest(levels, low, high)
    if word is not None and word[0] * HOP < CLICK * SAMPLE_RATE and word[1] * HOP > LONG_FROM_START * SAMPLE_RATE:
        opening = levels[: round(OPENING * SAMPLE_RATE / HOP)]
        low[: levels.argmax()] = np.maximum(low[: levels.argmax()], min(float(np.median(opening)) + 5.0, peak - 8.0))
        word = _strongest(levels, low, high)
    if word is None:
        return None
    return seconds_of(word[0], len(samples)), seconds_of(word[1], len(samples))


def frame_levels(samples: Samples) -> Doubles:
    """Level of every 25 ms window, one every 5 ms, above the background in dB: `(frames,)`.

    The energy of each band is relative to the background of that band, so that a vowel is detected in hiss and an "s" in hum.
    Windows of digital silence are minus infinity.
    """
    energy, sounding = band_energies(samples)
    if not sounding.any():
        return np.full(len(energy), -np.inf)
    background = np.percentile(energy[sounding], FLOOR_PERCENTILE, axis=0)
    # No band may dominate: codecs remove the upper bands to save bits.
    background = np.maximum(background, background.max() / EVENNESS)
    levels: Doubles = np.where(sounding, 10 * np.log10((energy / background).mean(axis=1) + 1e-9), -np.inf)
    return levels


def band_energies(samples: Samples) -> tuple[Doubles, npt.NDArray[np.bool_]]:
    """Energy of every frame in each band, `(frames, bands)`, and whether each frame is above digital silence."""
    windows = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::HOP]
    edges = np.searchsorted(np.fft.rfftfreq(WINDOW, 1 / SAMPLE_RATE), BANDS)
    energy = np.empty((len(windows), len(BANDS) - 1))
    for start in range(0, len(windows), FRAMES_AT_A_TIME):
        spectrum = np.abs(np.fft.rfft(windows[start : start + FRAMES_AT_A_TIME] * np.hanning(WINDOW), axis=1)) ** 2
        energy[start : start + FRAMES_AT_A_TIME] = np.add.reduceat(spectrum, edges, axis=1)[:, :-1] / np.diff(edges)
    return energy, energy.mean(axis=1) > DIGITAL_SILENCE


def align_manifest(path: PathLike, progress: Advance | None = None) -> Aligned:
    """Write `word_start` and `word_end` into the lines of a manifest with one word and no limits."""
    clips = read_manifest(path)
    if is_table(path):
        raise ManifestError(f"{path} is a table, not a manifest (JSON lines), and would be overwritten; align writes to manifests only.")
    aligned = align(clips, progress)
    write_manifest(path, aligned[0])
    return aligned[1]


def align(clips: list[Clip], progress: Advance | None = None) -> tuple[list[Clip], Aligned]:
    """The clips with the limits that were found, and the counts."""
    result = []
    not_found: list[tuple[Clip, str]] = []
    found = 0
    for number, clip in enumerate(clips, 1):
        if says_one_word(clip) and clip.word_start is None:
            limits, reason = _limits(clip)
            if limits is None:
                not_found.append((clip, reason))
            else:
                found += 1
                clip = dataclasses.replace(clip, word_start=round(limits[0], 3), word_end=round(limits[1], 3))
        result.append(clip)
        if progress is not None:
            progress(number, len(clips))
    return result, Aligned(found, len(clips) - found - len(not_found), not_found)


def says_one_word(clip: Clip) -> bool:
    """Whether nothing but the label is spoken in the clip."""
    if clip.label is None or name_key(clip.label) in NOT_WORDS:
        return False
    return clip.text is None or words(clip.text) == words(clip.label)


def _limits(clip: Clip) -> tuple[tuple[float, float] | None, str]:
    if (reason := fault(clip)) is not None:
        return None, reason
    if clip.path is None or clip.duration > LONGEST_CLIP:
        return None, f"it is {clip.duration:.1f} s long; a single word is looked for in clips of up to {LONGEST_CLIP:.0f} s."
    try:
        limits = find_word(read_audio(clip.path, clip.offset, clip.duration, clip.channel))
    except AudioError as error:
        return None, str(error)
    return limits, "nothing stands out from the background."


def _strongest(levels: Doubles, low: Doubles, high: float) -> tuple[int, int] | None:
    """First and last frame of the segment with the largest area above its threshold."""
    long_enough = [segment for segment in segments(levels, low, high) if (segment[1] - segment[0]) * HOP >= SHORTEST * SAMPLE_RATE]
    return max(long_enough, key=lambda segment: float(np.sum(np.maximum(levels - low, 0)[slice(*segment)])), default=None)


def seconds_of(frame: int, samples: int) -> float:
    """The time of a frame's border; a level belongs to the middle of its window."""
    return min(frame * HOP + (WINDOW - HOP) / 2, samples) / SAMPLE_RATE


def _thresholds(levels: Doubles, floor: float, peak: float) -> tuple[Doubles, float]:
    """The threshold of a word's frames, for each frame, and that of its loudest frame."""
    low = np.full(len(levels), max(floor + 5.0, peak - 40.0))
    loudest, reach = int(levels.argmax()), int(REACH * SAMPLE_RATE / HOP)
    # Noise suppression often makes the background before a word louder or softer than the one after it.
    for side, far in ((slice(0, loudest), slice(0, max(loudest - reach, 0))), (slice(loudest, None), slice(loudest + reach, None))):
        background = levels[far][np.isfinite(levels[far])]
        if len(background) >= FEWEST:
            low[side] = np.maximum(low[side], min(float(np.median(background)) + 5.0, peak - 8.0))
    return low, max(floor + 8.0, peak - 20.0)


def segments(levels: Doubles, low: Doubles, high: float) -> list[tuple[int, int]]:
    """Runs of frames that exceed `low` and somewhere `high`; short pauses are bridged, clicks left out."""
    above = np.concatenate([[False], levels > low, [False]])
    edges = np.flatnonzero(above[1:] != above[:-1]).reshape(-1, 2)
    runs = _bridge([(int(start), int(end)) for start, end in edges], DIP)
    return _bridge([run for run in runs if (run[1] - run[0]) * HOP > CLICK * SAMPLE_RATE and levels[slice(*run)].max() > high], GAP)


def _bridge(segments: list[tuple[int, int]], gap: float) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for start, end in segments:
        if joined and (start - joined[-1][1]) * HOP <= gap * SAMPLE_RATE:
            start = joined.pop()[0]
        joined.append((start, end))
    return joined
