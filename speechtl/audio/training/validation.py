"""Cross-validation: the fold that each member of the ensemble is held out from, and the scores of held-out recordings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from speechtl.audio.augment import Sound, simulate_rooms
from speechtl.audio.backgrounds import BABBLE, mixtures
from speechtl.audio.data.recordings import Recording, sounds_of
from speechtl.audio.evaluation.scoring import ScoredStream, score_stream
from speechtl.audio.evaluation.streams import Condition, Passage, without_words, words_in_background
from speechtl.audio.network.heads import MEMBERS
from speechtl.audio.network.model import WakeWordNetwork, scorer_of
from speechtl.audio.spelling.material import CONFUSABLE
from speechtl.audio.synthetic_music import with_synthetic_music
from speechtl.audio.synthetic_noise import synthetic_noises
from speechtl.audio.training.calibrate import Copies
from speechtl.audio.training.kinds import by_kind, drawn, kind_names
from speechtl.audio.training.selection import FOLDS, HELD_OUT, VALIDATED_SECONDS, Data
from speechtl.audio.training.surroundings import enough_talkers
from speechtl.progress import Tally, progress
from speechtl.transfer import HeadOnly, Policy

ROOMS = 8
SNR = 10.0  # dB
CHANGED_SECONDS = 3600.0  # of negatives in each of the other conditions
BABBLE_MIXTURES = 6  # of 20 s, in a fold
NO_FOLD = -1  # of a member that learns from all folds


def held_out_folds(policy: Policy, data: Data, *, validated: bool = True) -> list[int]:
    """The fold that each member of the ensemble does not learn from; only the shipped members unless the network is `validated`.

    With a frozen encoder, an out-of-fold head for every fold is trained beside the shipped head, from all other folds, so that
    all recordings can be validated on, while the shipped head learns from all of them (cross-validation). An encoder that
    learns would memorise its recordings, so in that case one fold is held out from everything.
    """
    if data.marked or (validated and not isinstance(policy, HeadOnly)):
        return [HELD_OUT] * MEMBERS
    return [fold for fold in (*(range(FOLDS) if validated else ()), NO_FOLD) for _ in range(MEMBERS)]


def shipped_members(held_out: list[int]) -> list[int]:
    """The members of the head that is shipped."""
    return [member for member, fold in enumerate(held_out) if fold == NO_FOLD] or list(range(len(held_out)))


@dataclass(frozen=True)
class Validation:
    """Scores of held-out recordings: of the words, and of the negatives by kind and condition, as in "librispeech, in rooms"."""

    words: list[ScoredStream]
    others: dict[str, list[ScoredStream]]
    copies: Copies

    @property
    def negatives(self) -> list[ScoredStream]:
        """The streams of all kinds."""
        return [stream for streams in self.others.values() for stream in streams]


def validate(network: WakeWordNetwork, held_out: list[int], data: Data, seed: int) -> Validation:
    """Score every held-out fold with the members that have not learned from it, in several conditions."""
    scenes = Scenes(data, sorted(set(held_out) - {NO_FOLD}), seed)
    threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))  # a thread for each stream: its steps are short
    words: list[Future[ScoredStream]] = []
    others: dict[str, list[Future[ScoredStream]]] = {}
    with progress("calibrating, recording") as advance:
        tally = Tally(advance, scenes.passages)
        try:
            for fold in scenes.folds:
                head = network.head.only([member for member, out in enumerate(held_out) if out == fold]).to(network.device)
                listening = WakeWordNetwork(network.encoder, head)
                for passages in scenes.words(fold):
                    words.append(pool.submit(_score, listening, tally(passages)))
                for name, passages in scenes.others(fold):
                    others.setdefault(name, []).append(pool.submit(_score, listening, tally(passages)))
            scored = {name: [stream.result() for stream in streams] for name, streams in others.items()}
            return Validation([stream.result() for stream in words], scored, scenes.copies)
        finally:
            pool.shutdown(cancel_futures=True)
            torch.set_num_threads(threads)


class Scenes:
    """The conditions of held-out recordings, with noise, music, rooms and talk that training has not heard."""

    def __init__(self, data: Data, folds: Sequence[int], seed: int) -> None:
        self.folds = folds
        self._seed = seed
        words = _real(data.positives)
        self._words = {fold: [recording for recording in words if recording.fold == fold] for fold in folds}
        negatives = _real([*data.negatives, *data.unlearned])
        others = {fold: [recording for recording in negatives if recording.fold == fold] for fold in folds}
        self._people = {fold: enough_talkers(recordings) for fold, recordings in others.items()}
        self._plain = {fold: self._some(recordings, VALIDATED_SECONDS) for fold, recordings in others.items()}
        self._changed = {fold: self._some(recordings, CHANGED_SECONDS) for fold, recordings in self._plain.items()}
        self._kinds = kind_names(recording.clip.manifest for recording in negatives)
        noise: list[Sound] = [*sounds_of(data.validation_noise), *synthetic_noises(seed + 1)]
        self._noise = Condition("noise", SNR, noise)
        self._behind_others = [Condition(), self._noise, Condition("rooms", rooms=simulate_rooms(ROOMS, seed + 1_000_000))]
        self._behind_others.append(Condition("music", SNR, with_synthetic_music(sounds_of(data.validation_music), seed + 1)))

    @property
    def copies(self) -> Copies:
        """The number of conditions of words, and of everything else."""
        plain, changed = (sum(recording.seconds for own in fold.values() for recording in own) for fold in (self._plain, self._changed))
        return Copies(3 if self._babbles else 2, 1 + (len(self._behind_others) - 1) * changed / plain)

    @property
    def passages(self) -> int:
        """The number of recordings in all conditions."""
        words, plain, changed = (sum(map(len, kind.values())) for kind in (self._words, self._plain, self._changed))
        return round(words * self.copies.words) + plain + changed * (len(self._behind_others) - 1)

    @property
    def _babbles(self) -> bool:
        return all(len(people) >= BABBLE[0] for people in self._people.values())

    def words(self, fold: int) -> Iterator[Iterator[Passage]]:
        """Yield the words of a fold in each condition: clean, in noise, and in babble if the fold has two talkers."""
        conditions = [Condition(), self._noise]
        if self._babbles:
            babble = mixtures(self._people[fold], BABBLE, BABBLE_MIXTURES, np.random.default_rng([self._seed, fold, 6]))
            conditions.append(Condition("babble", SNR, babble))
        for condition in conditions:
            yield words_in_background(self._words[fold], condition, self._seed)

    def others(self, fold: int) -> Iterator[tuple[str, Iterator[Passage]]]:
        """Yield the negatives of a fold by kind and condition, with the name of both."""
        for condition in self._behind_others:
            is_plain = condition.name == Condition.name
            for kind, recordings in by_kind((self._plain if is_plain else self._changed)[fold]).items():
                name = self._kinds[kind] if is_plain else f"{self._kinds[kind]}, {condition.name}"
                yield name, without_words(recordings, condition, self._seed)

    def _some(self, recordings: list[Recording], most: float) -> list[Recording]:
        """All recordings of a fold, or some of every kind where they are more than its part of `most` seconds."""
        if sum(recording.seconds for recording in recordings) <= most / len(self.folds):
            return recordings
        order = np.random.default_rng([self._seed, 7]).permutation(len(recordings))
        return drawn(recordings, order, most / len(self.folds))


def _real(recordings: Sequence[Recording]) -> list[Recording]:
    """The recordings of people; where there are none, all but the words that sound like the wake word, which are no everyday speech."""
    real = [recording for recording in recordings if not recording.synthesised]
    return real or [recording for recording in recordings if recording.clip.label != CONFUSABLE] or list(recordings)


def _score(network: WakeWordNetwork, passages: Iterable[Passage]) -> ScoredStream:
    return score_stream(scorer_of(network), passages)


def shift_scores(shift: float, streams: Iterable[ScoredStream]) -> None:
    """Lower the logits of scored streams, as `Head.shift` lowers those of a head."""
    for stream in streams:
        scores = np.clip(stream.scores.astype(np.float64), 1e-12, 1.0 - 1e-7)
        stream.scores = (1.0 / (1.0 + (1.0 - scores) / scores * np.exp(shift))).astype(np.float32)
