"""Whether a take says the word: takes of one word are near each other to a speech network, and a wrong one is far from all.

The embeddings of two takes are compared along their best alignment (dynamic time warping; Sakoe and Chiba 1978).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from speechtl.audio.data.takes import aligned_distance
from speechtl.audio.encoders.base import AudioEncoder, silence
from speechtl.progress import tracked
from speechtl.runtime.features import front_end
from speechtl.runtime.samples import SAMPLE_RATE, Doubles, Samples

REFERENCES = 24  # takes that every take is compared with, over all of them
NEAR = 0.25  # quantile of the distances to them that counts: people who speak alike are enough
FAR = 3.0  # deviations (median absolute, as in a normal distribution) above the median: one in a thousand by chance
FEWEST = 8  # takes from which a deviation can be told
DEVIATION = 1.4826


def odd_takes(words: Sequence[Samples], encoder: AudioEncoder) -> list[int]:
    """The indices of words (16 kHz, cut to the word) that sound unlike the others; none where there are few."""
    if len(words) < FEWEST:
        return []
    said = [_embedded(word, encoder) for word in tracked("checking takes", words, len(words))]
    mean, deviation = np.concatenate(said).mean(axis=0), np.concatenate(said).std(axis=0) + 1e-6
    said = [(one - mean) / deviation for one in said]
    chosen = np.linspace(0, len(said) - 1, min(REFERENCES, len(said))).round().astype(int)
    distances = np.array([np.quantile([_distance(one, said[index]) for index in chosen if said[index] is not one], NEAR) for one in said])
    median = np.median(distances)
    limit = median + FAR * DEVIATION * np.median(np.abs(distances - median))
    return [int(index) for index in np.flatnonzero(distances > limit)]


@torch.no_grad()
def _embedded(word: Samples, encoder: AudioEncoder) -> Doubles:
    """The embeddings `(steps, size)` of a word at one level, from its beginning to just after its end."""
    samples = word * np.float32(0.1 / max(float(np.abs(word).max()), 1e-6))
    frames = front_end(encoder.features).compute(np.pad(samples, (0, SAMPLE_RATE // 8)))
    before = silence(encoder.features, 1, encoder.receptive_field - encoder.stride)
    inputs = torch.cat([before, torch.from_numpy(frames)[None, None]], dim=2)
    embedded: Doubles = encoder.eval()(inputs)[0, :, :, 0].T.double().numpy()
    return embedded


def _distance(one: Doubles, other: Doubles) -> float:
    """The mean distance of steps along the best alignment."""
    return aligned_distance(np.sqrt(np.maximum((one**2).sum(1)[:, None] + (other**2).sum(1)[None] - 2 * one @ other.T, 0.0)))
