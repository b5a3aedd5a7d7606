"""What a student learns from: augmented examples of the run's recordings, with the teacher's score at every step.

The examples are those of the run's own training, without the people who are held out for the choice of a threshold.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from speechtl.audio.augment import mask
from speechtl.audio.data.recordings import Recording
from speechtl.audio.network.loss import WakeWordLoss
from speechtl.audio.network.model import WakeWordNetwork
from speechtl.audio.recipe import Recipe
from speechtl.audio.training.examples import ExampleMaker, Round
from speechtl.audio.training.selection import HELD_OUT, Data
from speechtl.audio.training.train import example_maker, rooms_of
from speechtl.audio.training.validation import NO_FOLD
from speechtl.export.microwakeword import features as micro
from speechtl.export.microwakeword.student import CONTEXT, STRIDE, as_input, step_times
from speechtl.progress import tracked
from speechtl.runtime.features import front_end
from speechtl.runtime.samples import Floats, Samples
from speechtl.runtime.trigger import log_odds
from speechtl.transfer import Batch, TransferNetwork

BANDS_MASKED, FRAMES_MASKED = 5, 8  # at most
BATCH = 128  # half of it with the word
TAUGHT = 2.0  # weight of the teacher's scores beside the recordings' own words
HARDEST = 5  # steps of an example whose difference from the teacher counts again
HARD = 1000  # stretches of the negatives that a student gets most wrong
STRETCHES = 64  # that it hears at a time


@dataclass(frozen=True)
class Lessons:
    """Examples with the limits of their words, as in `Round`, and the teacher's scores."""

    features: micro.Int8  # (examples, frames, 40)
    words: Floats
    taught: npt.NDArray[np.float16]  # log-odds (examples, steps), NaN where it has none

    @classmethod
    def joined(cls, parts: Sequence[Lessons]) -> Lessons:
        """Lessons one after the other."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))


def maker_of(recipe: Recipe, data: Data, teacher: WakeWordNetwork) -> ExampleMaker:
    """What renders the examples of a training as samples, without the held-out people."""
    learned = replace(
        data,
        positives=[one for one in data.positives if one.fold != HELD_OUT],
        negatives=[one for one in data.negatives if one.fold != HELD_OUT],
    )
    context = max(teacher.context_seconds, micro.seconds(CONTEXT))
    return example_maker(recipe, learned, rooms_of(recipe, data), micro.AUDIO, context)


def prepare_lessons(maker: ExampleMaker, teacher: WakeWordNetwork, rounds: int) -> Lessons:
    """The examples of some rounds."""
    parts = []
    for number in tracked("preparing lessons, round", range(rounds), rounds):
        rendered = [maker.render_positives(number), maker.render_negatives(number)]
        rendered += [maker.render_spoken(number)] if maker.spoken else []
        parts += [_lessons(one, teacher) for one in rendered]
    return Lessons.joined(parts)


def _lessons(rendered: Round, teacher: WakeWordNetwork) -> Lessons:
    features, taught = [], []
    for samples in tracked("asking the teacher, example", rendered.features.reshape(len(rendered.features), -1), len(rendered.features)):
        features.append(micro.compute(samples))
        taught.append(_taught(samples, teacher, step_times(len(features[-1])).numpy()))
    return Lessons(np.stack(features), rendered.words, np.stack(taught).astype(np.float16))


def _taught(samples: Samples, teacher: WakeWordNetwork, times: Floats) -> npt.NDArray[np.float64]:
    """The teacher's log-odds at these times, between its own steps; NaN before its first one."""
    log_mel = front_end(teacher.encoder.features).compute(samples)
    own = teacher.step_times(len(log_mel)).numpy()
    return np.where(times < own[0], np.nan, np.interp(times, own, log_odds(teacher.score(log_mel))))


@torch.no_grad()
def hard_lessons(student: TransferNetwork, negatives: Iterable[Recording], frames: int) -> Lessons:
    """The stretches of all negatives with the highest scores of a student, each of so many frames; of these the teacher is not asked."""
    front_end = micro.MicroFeatures()
    held, found, scores = np.zeros((0, micro.BANDS), np.int8), np.zeros((0, frames, micro.BANDS), np.int8), np.zeros(0, np.float32)
    hop = frames - CONTEXT + STRIDE
    for recording in negatives:
        held = np.concatenate([held, front_end.feed(recording.samples())])
        if len(held) < frames + hop * (STRETCHES - 1):
            continue
        stretches = sliding_window_view(held, frames, axis=0)[::hop].transpose(0, 2, 1).copy()
        held = held[hop * len(stretches) :]
        found = np.concatenate([found, stretches])
        scores = np.concatenate([scores, student(as_input(stretches)).flatten(1).amax(dim=1).numpy()])
        highest = np.argsort(-scores)[:HARD]
        found, scores = found[highest], scores[highest]
    steps = len(step_times(frames))
    return Lessons(found, np.full((len(found), 2), np.nan, np.float32), np.full((len(found), steps), np.nan, np.float16))


class LessonBatches:
    """Balanced batches `(frames, words, the teacher's log-odds)`, masked anew in every epoch."""

    def __init__(self, lessons: Lessons, steps: int, seed: int) -> None:
        self.lessons, self.steps, self.seed = lessons, steps, seed

    def __len__(self) -> int:
        return self.steps

    def epoch(self, number: int) -> Iterator[Batch]:
        """Yield the batches of an epoch; half of each are examples of the word."""
        random = np.random.default_rng([self.seed, number, 10])
        without = np.isnan(self.lessons.words[:, 0])
        kinds = np.flatnonzero(~without), np.flatnonzero(without)
        for _ in range(self.steps):
            chosen = np.concatenate([random.choice(kind, BATCH // 2) for kind in kinds])
            inputs = as_input(self.lessons.features[chosen])
            mask(inputs[..., 0].transpose(1, 2), random, bands=BANDS_MASKED, frames=FRAMES_MASKED)
            yield inputs, torch.from_numpy(self.lessons.words[chosen]), torch.from_numpy(self.lessons.taught[chosen]).float()


class LessonLoss:
    """The loss of a wake word, and the distance to the teacher's scores (Hinton et al. 2015)."""

    def __init__(self, times: Tensor) -> None:
        self._of_words = WakeWordLoss(times, [NO_FOLD])

    def __call__(self, logits: Tensor, words: Tensor, taught: Tensor) -> Tensor:
        """The loss of logits `(examples, 1, steps, 1)`."""
        known = ~torch.isnan(taught)
        costs = binary_cross_entropy_with_logits(logits[:, 0, :, 0], torch.sigmoid(taught.nan_to_num()), reduction="none") * known
        hardest = costs.topk(min(HARDEST, costs.shape[1]), dim=1).values.mean()
        folds = torch.zeros(len(words), dtype=torch.long, device=words.device)
        return self._of_words(logits, words, folds) + TAUGHT * (costs.sum() / known.sum().clamp(min=1) + hardest)
