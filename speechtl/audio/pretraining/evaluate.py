"""How well a pretrained network recognises phones, and tells single words apart."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from speechtl.audio.augment import at_level
from speechtl.audio.data.align import find_word
from speechtl.audio.pretraining.network import AFTER, Answers, PretrainingNetwork
from speechtl.audio.pretraining.phones import BLANK, edits
from speechtl.audio.pretraining.utterances import Utterance
from speechtl.runtime.features import front_end
from speechtl.runtime.samples import SAMPLE_RATE, Samples

LEVEL_DBFS = -26.0
BEHIND = 0.6  # seconds of quiet behind an utterance: the network writes a phone some time after it was said


@dataclass(frozen=True)
class Recognition:
    """Insertions, deletions and replacements against what was said."""

    utterances: int
    phones: int
    edits: int

    def __add__(self, other: Recognition) -> Recognition:
        return Recognition(self.utterances + other.utterances, self.phones + other.phones, self.edits + other.edits)

    @property
    def error_rate(self) -> float:
        """Edits a phone said."""
        return self.edits / max(self.phones, 1)


@dataclass(frozen=True)
class WordAccuracy:
    """How many single words were the most probable of all classes shortly after their end."""

    words: int
    right: int

    @property
    def accuracy(self) -> float:
        """The share of words that were right."""
        return self.right / max(self.words, 1)


def recognise(network: PretrainingNetwork, samples: Samples) -> list[int]:
    """Return the phones of a recording: the most probable class of every frame, repeats and blanks left out."""
    best = _answers(network, samples).phones[:, 0].argmax(dim=1).tolist()
    return [one for one, before in zip(best, [BLANK, *best[:-1]], strict=True) if one not in (before, BLANK)]


def tell_word(network: PretrainingNetwork, samples: Samples) -> int | None:
    """Return the most probable class of the one word in a recording, None where no word stands out."""
    limits = find_word(samples)
    layer = network.head.words
    if limits is None or layer is None:
        return None
    features = network.encoder.features
    end = _lead(network) / features.hop + limits[1] * features.sample_rate / features.hop
    step = int(network.steps_after(torch.tensor(round(end)), AFTER[-1]))
    with torch.no_grad():
        return int(layer(_answers(network, samples).embeddings[0, step]).argmax())


def _lead(network: PretrainingNetwork) -> int:
    """How many samples of silence stand before a recording, so that the first output hears its beginning."""
    return network.encoder.features.samples(network.encoder.receptive_field)


@torch.no_grad()
def _answers(network: PretrainingNetwork, samples: Samples) -> Answers:
    """Return what a network says of a recording, with silence before and behind it."""
    speech = at_level(samples, LEVEL_DBFS)
    padded = np.concatenate([np.zeros(_lead(network), np.float32), speech, np.zeros(int(BEHIND * SAMPLE_RATE), np.float32)])
    frames = front_end(network.encoder.features).compute(padded)
    answers: Answers = network(torch.from_numpy(frames)[None, None].to(network.device))
    return answers


def recognition(network: PretrainingNetwork, utterances: Sequence[Utterance], workers: int = 2) -> Recognition:
    """Return how far a network is off on utterances whose phones are known."""
    network.eval()
    with ThreadPoolExecutor(workers) as pool:
        given = list(pool.map(lambda utterance: recognise(network, utterance.pcm()), utterances))
    wrong = sum(edits(utterance.phones or (), said) for utterance, said in zip(utterances, given, strict=True))
    return Recognition(len(utterances), sum(len(utterance.phones or ()) for utterance in utterances), wrong)


def word_accuracy(network: PretrainingNetwork, utterances: Sequence[Utterance], workers: int = 2) -> WordAccuracy:
    """Return how often a network is right about utterances of a single word that it knows."""
    network.eval()
    known = [utterance for utterance in utterances if utterance.word is not None]
    with ThreadPoolExecutor(workers) as pool:
        right = list(pool.map(lambda utterance: tell_word(network, utterance.pcm()) == utterance.word, known))
    return WordAccuracy(len(known), sum(right))
