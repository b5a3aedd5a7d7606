"""Compare takes by embeddings of the shipped encoder `conv-ctc`, to find the take in which something else is said.

A take's embedding is the mean of the encoder's outputs over the word, which is nearly independent of the voice. A take disagrees if its
cosine distance from the others is large compared with their distances from each other.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from speechtl.audio.data.manifest import Clip
from speechtl.audio.encoders import load_encoder
from speechtl.audio.phrases import name_key
from speechtl.audio.recording.checks import TakeProblem
from speechtl.audio.recording.folder import TakeFolder
from speechtl.errors import AudioError
from speechtl.runtime.features import LogMel, LogMelSettings
from speechtl.runtime.samples import SAMPLE_RATE, Floats, Samples
from speechtl.runtime.sound.files import read_audio

ENCODER = "conv-ctc"
FEWEST, MOST = 3, 12  # takes to compare with
LEAD, LAG = 0.05, 0.1  # seconds after the start and the end of the word between which an output ends: it hears nothing of the future
# Measured by training/studies/takes.py: of the same speaker's takes, and where there are too few of them of others'.
OWN_LIMIT, OTHERS_LIMIT = 0.12, 0.14


class TakeEncoder:
    """Embeddings of takes; loads the encoder's weights."""

    def __init__(self) -> None:
        self._encoder = load_encoder(ENCODER).eval()
        features = self._encoder.features
        assert isinstance(features, LogMelSettings)
        self._features = features

    def embed(self, samples: Samples, word: tuple[float, float]) -> Floats:
        """The embedding `(192,)`, of length 1, of the word from start to end (seconds) in 16 kHz mono samples."""
        padding = self._features.samples(self._encoder.receptive_field)  # silence before: an output for every moment of the take
        after = np.zeros(round(2 * LAG * SAMPLE_RATE), np.float32)
        mel = LogMel(self._features).compute(np.clip(np.concatenate([np.zeros(padding, np.float32), samples, after]), -1.0, 1.0))
        with torch.inference_mode():
            outputs = self._encoder(torch.from_numpy(mel)[None, None])[0, :, :, 0].T.numpy()
        frames = np.arange(len(outputs)) * self._encoder.stride + self._encoder.receptive_field
        ends = (frames * self._features.hop - padding) / SAMPLE_RATE
        during = (ends > word[0] + LEAD) & (ends < max(word[1], word[0] + 2 * LEAD) + LAG)
        mean = outputs[during].mean(axis=0)
        return np.asarray(mean / (np.linalg.norm(mean) + 1e-9), np.float32)


def disagreement(take: Floats, others: Sequence[Floats]) -> float:
    """How much farther an embedding is from the others than half their own spread: medians of cosine distances, 0 to 2."""
    together = np.stack(others)
    among = (1.0 - together @ together.T)[np.triu_indices(len(together), 1)]
    return float(np.median(1.0 - together @ take) - 0.5 * np.median(among)) if len(among) else float(1.0 - together[0] @ take)


def disagreement_problem(take: Floats, own: Sequence[Floats], others: Sequence[Floats] = ()) -> TakeProblem | None:
    """The problem of a take that disagrees with takes of its speaker, or if there are fewer than three, with those of other speakers.

    None where it agrees, or where there is too little to compare it with.
    """
    compared, limit = (own, OWN_LIMIT) if len(own) >= FEWEST else ([*own, *others], OTHERS_LIMIT)
    if len(compared) < FEWEST or disagreement(take, compared) <= limit:
        return None
    return TakeProblem(
        "different", "The take sounds different from the others.", "Listen to it: was the whole word said, and nothing else?"
    )


def disagreeing(takes: Sequence[Floats]) -> list[int]:
    """The indices of the takes of one speaker that disagree with the rest of them."""
    if len(takes) <= FEWEST:
        return []
    return [index for index, take in enumerate(takes) if disagreement(take, [*takes[:index], *takes[index + 1 :]]) > OWN_LIMIT]


class KeptTakes:
    """The takes of a folder, with which new ones are compared; embeddings of earlier ones are computed when they are needed."""

    def __init__(self, takes: TakeFolder) -> None:
        self._takes = takes
        self._encoder = TakeEncoder()
        self._known: dict[str, Floats | None] = {}

    def problem(self, samples: Samples, word: tuple[float, float], speaker: str) -> TakeProblem | None:
        """The problem of a take of a speaker that disagrees with the kept ones, as in `disagreement_problem`."""
        clips = self._takes.clips()
        own = self._embeddings([clip for clip in clips if clip.person == name_key(speaker)])
        others = [] if len(own) >= FEWEST else self._embeddings([clip for clip in clips if clip.person != name_key(speaker)])
        return disagreement_problem(self._encoder.embed(samples, word), own, others)

    def _embeddings(self, clips: Sequence[Clip]) -> list[Floats]:
        """Those of the last takes in which there is a word."""
        found = [self._embedding(clip) for clip in clips[-MOST:]]
        return [embedding for embedding in found if embedding is not None]

    def _embedding(self, clip: Clip) -> Floats | None:
        if clip.sha256 not in self._known or clip.sha256 is None:
            self._known[clip.sha256 or ""] = self._embed(clip)
        return self._known[clip.sha256 or ""]

    def _embed(self, clip: Clip) -> Floats | None:
        if clip.path is None or clip.word_start is None or clip.word_end is None:
            return None
        try:
            return self._encoder.embed(read_audio(clip.path, clip.offset, clip.duration, clip.channel), (clip.word_start, clip.word_end))
        except AudioError:
            return None  # `speechtl data verify` reports it
