"""Adapt the output layer of a detector to labelled clips, and hold everything else where it was.

A score is the sigmoid of `weights @ features + bias`, where the features are what the output layer sees. Only the weights change.
Examples that are remembered from the training hold them: a word may not lose score, anything else may not gain any, and no score
may move far for no reason. Without a wrong clip the weights stay exactly as they are. The problem is convex and small: it is solved
in a second, to the same result every time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import minimize

from speechtl.adapt.layer import Layer
from speechtl.runtime.samples import Doubles, Floats

MARGIN = 1.5  # log-odds beyond the threshold that a clip is moved to
HELD, SILENT = 20.0, 60.0  # weights of the remembered words, and of everything else that is remembered
SAFE = 2.0  # log-odds above the threshold from which on a remembered word counts less
LEAST = 0.1  # weight of one far above it
STIFF = 0.02  # weight of the mean squared change of log-odds
RIDGE = 1e-4  # weight of the squared change of the weights
PASSES = 4  # of choosing the moment of each clip, which depends on the weights
STEPS = 400  # of the solver, at most


@dataclass(frozen=True)
class Example:
    """A labelled clip as features `(steps, size)`, in one or several surroundings, of which the first `clean` add nothing."""

    is_word: bool
    copies: Sequence[Floats] = field(repr=False)
    clean: int = 1


@dataclass(frozen=True)
class Held:
    """Moments of the training `(moments, size)`, of words and of anything else, whose scores are to stay."""

    words: Floats = field(repr=False)
    others: Floats = field(repr=False)


def adapted(layer: Layer, threshold: float, examples: Sequence[Example], held: Held, weight: float) -> Layer:
    """The layer after learning from examples; `threshold` is the detector's, in log-odds, `weight` that of all examples of a label."""
    words = [copy for example in examples if example.is_word for copy in example.copies]
    others = [copy for example in examples if not example.is_word for copy in example.copies]
    change = np.zeros(len(layer.weights))
    for _ in range(PASSES):
        moved = Layer(layer.weights + change, layer.bias)
        change = _solve(layer, threshold, _peaks(moved, words), _moments(moved, others, threshold), held, weight, change)
    return Layer(layer.weights + change, layer.bias)


def peak(layer: Layer, example: Example) -> float:
    """The highest log-odds of a clip as it is, at any alignment."""
    return max(float(layer.logits(copy).max()) for copy in example.copies[: example.clean])


def _peaks(layer: Layer, clips: Sequence[Floats]) -> Doubles:
    """The step of each clip with the highest score: that at which a word is found."""
    return _rows([clip[int(np.argmax(layer.logits(clip)))][None] for clip in clips], layer)


def _moments(layer: Layer, clips: Sequence[Floats], threshold: float) -> Doubles:
    """The steps of clips without the word that come near the threshold."""
    return _rows([clip[layer.logits(clip) > threshold - 2.0 * MARGIN] for clip in clips], layer)


def _rows(parts: Sequence[Floats], layer: Layer) -> Doubles:
    return np.concatenate([np.zeros((0, len(layer.weights))), *parts]).astype(np.float64)


def _solve(layer: Layer, threshold: float, words: Doubles, others: Doubles, held: Held, weight: float, start: Doubles) -> Doubles:
    """The change of the weights that minimises the loss."""
    kept_words, kept_others = held.words.astype(np.float64), held.others.astype(np.float64)
    everything = np.concatenate([kept_words, kept_others])
    endangered = np.maximum(1.0 / (1.0 + np.exp(layer.logits(kept_words) - threshold - SAFE)), LEAST)
    short, long = threshold + MARGIN - layer.logits(words), layer.logits(others) - threshold + MARGIN

    def loss(change: Doubles) -> tuple[float, Doubles]:
        terms = (
            (words, np.minimum(words @ change - short, 0.0), weight, 1.0),
            (others, np.maximum(others @ change + long, 0.0), weight, 1.0),
            (kept_words, np.minimum(kept_words @ change, 0.0), HELD, endangered),
            (kept_others, np.maximum(kept_others @ change, 0.0), SILENT, 1.0),
            (everything, everything @ change, STIFF, 1.0),
        )
        value, slope = RIDGE * float(change @ change), 2.0 * RIDGE * change
        for rows, errors, share, each in terms:
            if len(rows):
                value += share * float(np.mean(each * errors**2))
                slope = slope + 2.0 * share / len(rows) * ((each * errors) @ rows)
        return value, slope

    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": STEPS})
    return np.asarray(found.x)
