"""How well a pretrained network recognises phones."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from speechtl.audio.augment import at_level
from speechtl.audio.phones import BLANK, PHONES, edits
from speechtl.audio.pretraining.network import PretrainingNetwork
from speechtl.audio.pretraining.utterances import Utterance
from speechtl.runtime.front_end import front_end
from speechtl.runtime.samples import SAMPLE_RATE, Samples

LEVEL_DBFS = -26.0
BEHIND = 0.6  # seconds of quiet behind an utterance: the network writes a phone some time after it was said


@dataclass(frozen=True)
class Recognition:
    """Insertions, deletions and replacements against what was said."""

    utterances: int
    phones: int
    edits: int

    @property
    def error_rate(self) -> float:
        """Edits a phone said."""
        return self.edits / max(self.phones, 1)


def recognise(network: PretrainingNetwork, samples: Samples) -> list[int]:
    """Return the phones of a recording: the most probable class of every frame, repeats and blanks left out."""
    features = network.encoder.features
    lead = features.samples(network.encoder.receptive_field)
    speech = at_level(samples, LEVEL_DBFS)
    padded = np.concatenate([np.zeros(lead, np.float32), speech, np.zeros(int(BEHIND * SAMPLE_RATE), np.float32)])
    frames = front_end(features).compute(padded)
    with torch.no_grad():
        best = network(torch.from_numpy(frames)[None, None])[0][:, 0].argmax(dim=1).tolist()
    return [one for one, before in zip(best, [BLANK, *best[:-1]], strict=True) if one not in (before, BLANK)]


def recognition(network: PretrainingNetwork, utterances: Sequence[Utterance], workers: int = 2) -> Recognition:
    """Return how far a network is off on utterances whose phones are known."""
    network.eval()
    with ThreadPoolExecutor(workers) as pool:
        given = list(pool.map(lambda utterance: recognise(network, utterance.pcm()), utterances))
    wrong = sum(edits(utterance.phones or (), said) for utterance, said in zip(utterances, given, strict=True))
    return Recognition(len(utterances), sum(len(utterance.phones or ()) for utterance in utterances), wrong)


def written(phones: Sequence[int]) -> str:
    """Return phones as text."""
    return " ".join(PHONES[phone - 1] for phone in phones)
