"""Does int8 cost accuracy? Play training recordings to the float graph and to the int8 one and compare what the detector makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from speechtl.audio.evaluation.scoring import ScoredStream, count, score_stream
from speechtl.audio.evaluation.streams import Passage
from speechtl.limits import rate_high
from speechtl.runtime.bundle.wake_word import Word
from speechtl.runtime.detector import Scorer
from speechtl.text import counted

RECALL_LOSS = 0.005  # that int8 may cost


@dataclass(frozen=True)
class Accuracy:
    """What a graph does at one word's operating point, beside the float graph."""

    word: str
    clips: int
    detected: int
    detected_fp32: int
    hours: float
    false_accepts: int
    false_accepts_fp32: int

    @property
    def ok(self) -> bool:
        """Whether nothing was lost beyond what is allowed: 0.5 points of recall, and false accepts within the float graph's 95 % limit."""
        lost = (self.detected_fp32 - self.detected) / max(self.clips, 1)
        return lost <= RECALL_LOSS and self.false_accepts <= rate_high(self.false_accepts_fp32, self.hours) * self.hours

    def __str__(self) -> str:
        return (
            f"{self.word}: {self.detected} of {counted(self.clips, 'word')} where fp32 hears {self.detected_fp32}, "
            f"{self.false_accepts} false accepts in {self.hours:.2f} h where fp32 has {self.false_accepts_fp32}"
        )

    def to_json(self) -> dict[str, Any]:
        """Return the counts as JSON stores them."""
        return {**asdict(self), "ok": self.ok}


@dataclass(frozen=True)
class Check:
    """The streams of one word: with it, and without it."""

    word: Word
    column: int
    positives: Sequence[Sequence[Passage]]
    negatives: Sequence[Sequence[Passage]]

    def count(self, scorer: Scorer) -> tuple[int, int, int, float]:
        """Return words played, words detected, false accepts, and the hours in which there could be any."""
        spoken = [score_stream(scorer, passages, self.column) for passages in self.positives]
        silent = [score_stream(scorer, passages, self.column) for passages in self.negatives]
        counts = [count(stream, self.word.trigger) for stream in spoken]
        detected = sum(delay is not None for found in counts for delay in found.detected)
        accepts = sum(len(count(stream, self.word.trigger).false_accepts) for stream in silent)
        return sum(len(found.detected) for found in counts), detected, accepts, _hours(silent)

    def compare(self, scorer: Scorer, fp32: tuple[int, int, int, float]) -> Accuracy:
        """Return how a graph does beside what was counted of the float graph."""
        clips, detected, accepts, hours = self.count(scorer)
        return Accuracy(self.word.name, clips, detected, fp32[1], hours, accepts, fp32[2])


def _hours(streams: Sequence[ScoredStream]) -> float:
    return sum(stream.hours for stream in streams)
