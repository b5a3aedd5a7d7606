"""Whether a clip sounds like the word itself: by its highest score, and by where that moment lies among those of the training.

The score alone cannot tell, since that of a false alarm is high as well, and a new speaker's words are lower than those of the training.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from speechtl.adapt.layer import Layer
from speechtl.adapt.memory import Memory, best, highest
from speechtl.adapt.solve import Example
from speechtl.runtime.samples import Doubles, Floats

NEAREST = 5  # moments of each kind that a moment is compared with
OTHERS = 1_000  # moments without the word, at most
ALIKE = 0.2  # distance to the words, in distances to anything else, below which a moment is one of the word
HIGH = 2.0  # log-odds above the threshold that a score must have, and be as high as most words, to be one of the word


@dataclass(frozen=True)
class Known:
    """The moments of a training `(moments, size)` in units of their `spread`: of words, and of anything else that came near the word."""

    layer: Layer
    high: float  # log-odds
    spread: Floats = field(repr=False)
    words: Floats = field(repr=False)
    others: Floats = field(repr=False)

    @classmethod
    def of(cls, memory: Memory, layer: Layer, threshold: float, step_seconds: float) -> Known:
        """The best moment of every remembered word, and the highest ones of anything else; `threshold` in log-odds."""
        words = np.concatenate([best(layer, bag) for bag in memory.words])
        others = np.concatenate(highest(layer, memory.others, step_seconds, OTHERS))
        spread = np.concatenate([words, others]).std(axis=0) + 1e-6
        return cls(layer, max(float(np.median(layer.logits(words))), threshold + HIGH), spread, words / spread, others / spread)

    def is_word(self, example: Example) -> bool:
        """Whether a clip's highest score is as high as that of most words, or its moment far closer to words than to anything else."""
        steps = np.concatenate([best(self.layer, copy) for copy in example.copies[: example.clean]])
        moment = best(self.layer, steps)
        if self.layer.logits(moment)[0] >= self.high:
            return True
        to_words, to_others = (_distance(moment / self.spread, known) for known in (self.words, self.others))
        return bool(to_words < ALIKE * to_others)


def _distance(moment: Floats, known: Floats) -> float:
    """The mean distance to the nearest of some moments."""
    distances: Doubles = np.sort(np.linalg.norm(known.astype(np.float64) - moment, axis=1))
    return float(distances[:NEAREST].mean())
