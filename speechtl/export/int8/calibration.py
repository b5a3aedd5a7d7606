"""Int8 calibration: recordings on which ranges are measured, and others on which int8 is compared with float.

Both are training recordings of the run, chosen by seed; those with which ranges were measured are listed in the bundle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from speechtl.audio.data.clips import read_clips, says
from speechtl.audio.data.manifest import Clip
from speechtl.audio.data.recordings import Recording, load_recordings
from speechtl.audio.evaluation.scoring import ScoredStream, count, score_stream
from speechtl.audio.evaluation.streams import Condition, Passage, without_words, words_in_background
from speechtl.audio.run import Run
from speechtl.audio.synthetic_noise import synthetic_noises
from speechtl.errors import ManifestError, SpeechtlError
from speechtl.limits import rate_high
from speechtl.progress import say
from speechtl.runtime.bundle.wake_word import Word
from speechtl.runtime.detector import Scorer
from speechtl.runtime.features import Features, front_end
from speechtl.runtime.samples import Floats
from speechtl.text import counted

SEED = 8
MEASURED = 24  # recordings of each kind whose ranges are measured
CHECKED_WORDS, CHECKED_OTHERS = 160, 240  # recordings on which the accuracy is checked
SNR_DB = (10.0, 0.0)  # of the noisy copies; at 0 dB words are barely detected
RECALL_LOSS = 0.005  # that int8 may cost
SILENT = 1e-4  # of full scale: recordings below it are silent


@dataclass(frozen=True)
class Material:
    """Recordings of one run, for calibration and for checks."""

    positives: list[Recording]
    negatives: list[Recording]
    checked_positives: list[Recording]
    checked_negatives: list[Recording]

    def to_json(self) -> dict[str, Any]:
        """The entry of `bundle.json`: seed, seconds and hashes."""
        measured = [*self.positives, *self.negatives]
        return {
            "seed": SEED,
            "seconds": round(sum(recording.seconds for recording in measured), 1),
            "recordings": [recording.clip.short_hash or recording.clip.audio_filepath for recording in measured],
        }


def choose(run: Run) -> Material:
    """Choose recordings of a run's training data by seed.

    Raises `SpeechtlError` when they are no longer on this machine, or silent.
    """
    data = run.about["recipe"].get("data", {})
    phrases = run.about["phrases"]
    positives = _clips(data.get("positives", ()), run)
    negatives = [clip for clip in _clips(data.get("negatives", ()), run) if not says(clip, phrases)]
    random = np.random.default_rng(SEED)
    words, checked_words = _divided(positives, CHECKED_WORDS, random)
    others, checked_others = _divided(negatives, CHECKED_OTHERS, random)
    material = Material(
        load_recordings(words, on_skip=say),
        load_recordings(others, on_skip=say),
        load_recordings(checked_words, find_words=True, phrases=phrases, on_skip=say),
        load_recordings(checked_others, on_skip=say),
    )
    loudest = max(np.abs(recording.samples()).max(initial=0.0) for recording in (*material.positives, *material.negatives))
    if loudest < SILENT:
        raise SpeechtlError(
            f"The recordings to calibrate int8 on, of {run.folder}, are silent; add audible recordings to its manifests, "
            "or leave int8 out with --no-int8."
        )
    return material


def streams(material: Material, features: Features) -> list[Floats]:
    """Frames on which ranges are measured: the recordings without and with noise."""
    noisy = Condition("noise", SNR_DB[0], synthetic_noises(SEED))
    passages = [
        *(passage for condition in (Condition(), noisy) for passage in words_in_background(material.positives, condition, SEED)),
        *(passage for condition in (Condition(), noisy) for passage in without_words(material.negatives, condition, SEED)),
    ]
    return [front_end(features).compute(passage.samples) for passage in passages]


def check_passages(material: Material) -> tuple[list[list[Passage]], list[list[Passage]]]:
    """Streams with the word and streams without it, as passages, clean and in noise."""
    conditions = [Condition(), *(Condition("noise", snr, synthetic_noises(SEED + 1)) for snr in SNR_DB)]
    return (
        [list(words_in_background(material.checked_positives, condition, SEED)) for condition in conditions],
        [list(without_words(material.checked_negatives, condition, SEED)) for condition in conditions[:2]],
    )


def _clips(paths: Sequence[str], run: Run) -> list[Clip]:
    learned = set(run.about["data"]["recordings"].split())
    try:
        clips = [
            clip
            for clip in read_clips([Path(path) for path in paths], lambda text: None)
            if clip.path is not None and clip.short_hash in learned
        ]
    except ManifestError as error:
        raise SpeechtlError(f"{_absent(run)} ({next(iter(error.problems), str(error))})") from error
    if not clips:
        raise SpeechtlError(_absent(run))
    return clips


def _absent(run: Run) -> str:
    return (
        f"int8 is calibrated on recordings that {run.folder} was trained on, and none of them is on this machine; "
        "set SPEECHTL_DATA to their folder, or leave int8 out with --no-int8."
    )


def _divided(clips: Sequence[Clip], checked: int, random: np.random.Generator) -> tuple[list[Clip], list[Clip]]:
    """Clips for calibration and others for checks: half each where there are few; a single one serves both."""
    mixed = [clips[index] for index in random.permutation(len(clips))]
    measured = min(MEASURED, (len(mixed) + 1) // 2)
    return mixed[:measured], mixed[measured : measured + checked] or mixed


def describe(materials: Mapping[str, Material]) -> dict[str, Any]:
    """The entry `calibration` of `bundle.json`, by word."""
    return {name: material.to_json() for name, material in materials.items()}


@dataclass(frozen=True)
class Accuracy:
    """Detections and false accepts of a graph at one word's operating point, and those of the float graph."""

    word: str
    clips: int
    detected: int
    detected_fp32: int
    hours: float
    false_accepts: int
    false_accepts_fp32: int

    @property
    def ok(self) -> bool:
        """Whether at most 0.5 points of recall are lost and false accepts stay within the float graph's 95 % limit."""
        lost = (self.detected_fp32 - self.detected) / max(self.clips, 1)
        return lost <= RECALL_LOSS and self.false_accepts <= rate_high(self.false_accepts_fp32, self.hours) * self.hours

    def __str__(self) -> str:
        return (
            f"{self.word}: {self.detected} of {counted(self.clips, 'word')} where fp32 detects {self.detected_fp32}, "
            f"{self.false_accepts} false accepts in {self.hours:.2f} h where fp32 has {self.false_accepts_fp32}"
        )

    def to_json(self) -> dict[str, Any]:
        """The counts as JSON."""
        return {**asdict(self), "ok": self.ok}


@dataclass(frozen=True)
class Check:
    """Test streams of one word, with and without it."""

    word: Word
    column: int
    positives: Sequence[Sequence[Passage]]
    negatives: Sequence[Sequence[Passage]]

    def count(self, scorer: Scorer) -> tuple[int, int, int, float]:
        """Words played, words detected, false accepts, and the hours of streams without the word."""
        spoken = [score_stream(scorer, passages, self.column) for passages in self.positives]
        silent = [score_stream(scorer, passages, self.column) for passages in self.negatives]
        counts = [count(stream, self.word.trigger) for stream in spoken]
        detected = sum(delay is not None for found in counts for delay in found.detected)
        accepts = sum(len(count(stream, self.word.trigger).false_accepts) for stream in silent)
        return sum(len(found.detected) for found in counts), detected, accepts, _hours(silent)

    def compare(self, scorer: Scorer, fp32: tuple[int, int, int, float]) -> Accuracy:
        """Accuracy of a graph, given the counts of the float graph."""
        clips, detected, accepts, hours = self.count(scorer)
        return Accuracy(self.word.name, clips, detected, fp32[1], hours, accepts, fp32[2])


def _hours(streams: Sequence[ScoredStream]) -> float:
    return sum(stream.hours for stream in streams)
