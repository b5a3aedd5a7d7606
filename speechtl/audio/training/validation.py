"""Cross-validation: the fold that each member of the ensemble is held out from, and the scores of held-out recordings."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from speechtl.audio.augment import Sound, simulate_rooms
from speechtl.audio.data.recordings import sounds_of
from speechtl.audio.evaluation.scoring import ScoredStream, score_stream
from speechtl.audio.evaluation.streams import Condition, Passage, without_words, words_in_background
from speechtl.audio.network.heads import MEMBERS
from speechtl.audio.network.model import WakeWordNetwork, scorer_of
from speechtl.audio.synthetic_noise import synthetic_noises
from speechtl.audio.training.calibrate import Copies
from speechtl.audio.training.selection import FOLDS, HELD_OUT, Data
from speechtl.progress import Tally, progress
from speechtl.transfer import HeadOnly, Policy

ROOMS = 8
SNR = 10.0  # dB
COPIES = Copies(words=2, others=3)  # words are validated on clean and in noise, everything else also in rooms
NO_FOLD = -1  # held out from a member that learns from all


def held_out_folds(policy: Policy, data: Data, *, validated: bool = True) -> list[int]:
    """The fold that each member of the ensemble does not learn from; only the shipped members unless the network is `validated`.

    With a frozen encoder, an out-of-fold head for every fold is trained beside the shipped head, from all other folds, so that
    all recordings can be validated on, while the shipped head learns from all of them (cross-validation). An encoder that
    learns would carry over what it heard, so then one fold is held out from everything.
    """
    if data.marked or (validated and not isinstance(policy, HeadOnly)):
        return [HELD_OUT] * MEMBERS
    return [fold for fold in (*(range(FOLDS) if validated else ()), NO_FOLD) for _ in range(MEMBERS)]


def shipped_members(held_out: list[int]) -> list[int]:
    """The members of the head that is shipped."""
    return [member for member, fold in enumerate(held_out) if fold == NO_FOLD] or list(range(len(held_out)))


def validation_streams(
    network: WakeWordNetwork, held_out: list[int], data: Data, seed: int
) -> tuple[list[ScoredStream], list[ScoredStream]]:
    """Score every held-out fold with the members that have not learned from it: words, and everything else, in several conditions."""
    noises: list[Sound] = [*sounds_of(data.validation_noise), *synthetic_noises(seed + 1)]
    rooms = simulate_rooms(ROOMS, seed + 1_000_000)
    conditions = [Condition(), Condition("noise", SNR, noises), Condition("rooms", rooms=rooms)]
    threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))  # a thread for each stream: its steps are short
    folds = sorted(set(held_out) - {NO_FOLD})
    played = ((data.positives, COPIES.words), (data.negatives, COPIES.others))
    total = sum(copies * sum(recording.fold in folds for recording in kind) for kind, copies in played)
    positives, negatives = [], []
    with progress("calibrating, recording") as advance:
        tally = Tally(advance, total)
        try:
            for fold in folds:
                head = network.head.only([member for member, out in enumerate(held_out) if out == fold])
                listening = WakeWordNetwork(network.encoder, head)
                words = [recording for recording in data.positives if recording.fold == fold]
                others = [recording for recording in data.negatives if recording.fold == fold]
                for one in conditions[: COPIES.words]:
                    positives.append(pool.submit(_score, listening, tally(words_in_background(words, one, seed))))
                for one in conditions[: COPIES.others]:
                    negatives.append(pool.submit(_score, listening, tally(without_words(others, one, seed))))
            return [stream.result() for stream in positives], [stream.result() for stream in negatives]
        finally:
            pool.shutdown(cancel_futures=True)
            torch.set_num_threads(threads)


def _score(network: WakeWordNetwork, passages: Iterable[Passage]) -> ScoredStream:
    return score_stream(scorer_of(network), passages)


def shift_scores(shift: float, streams: Iterable[ScoredStream]) -> None:
    """Shift the logits of scored streams down, as `Head.shift` does those of a head."""
    for stream in streams:
        scores = np.clip(stream.scores.astype(np.float64), 1e-12, 1.0 - 1e-7)
        stream.scores = (1.0 / (1.0 + (1.0 - scores) / scores * np.exp(shift))).astype(np.float32)
