"""Teach a student: lessons of the run's recordings, and then the moments that it gets wrong."""

from __future__ import annotations

import torch

from speechtl.audio.network.model import WakeWordNetwork
from speechtl.audio.recipe import Recipe
from speechtl.audio.training.selection import Data
from speechtl.export.microwakeword.features import Int8
from speechtl.export.microwakeword.lessons import LessonBatches, LessonLoss, Lessons, hard_lessons, maker_of, prepare_lessons
from speechtl.export.microwakeword.student import make_student, step_times
from speechtl.progress import progress, tracked
from speechtl.transfer import AllLayers, FitSettings, TransferNetwork, fit

ROUNDS = 4  # of newly augmented examples
EPOCHS, STEPS = (8, 8), 150  # before and after the search for what the student gets wrong
LEARNING_RATES = (2e-3, 1e-3)
MEASURED = 512  # examples on which the ranges of int8 are measured


def teach(recipe: Recipe, data: Data, teacher: WakeWordNetwork) -> tuple[TransferNetwork, Int8]:
    """A student, and examples of what it heard."""
    teacher.to_accelerator()
    maker = maker_of(recipe, data, teacher)
    lessons = prepare_lessons(maker, teacher, ROUNDS)
    frames = lessons.features.shape[1]
    torch.manual_seed(recipe.train.seed)
    student = make_student()
    _fit(student, lessons, 0, recipe.train.seed)
    negatives = tracked("looking for hard negatives, recording", maker.negatives, len(maker.negatives))
    lessons = Lessons.joined([lessons, hard_lessons(student, negatives, frames)])
    _fit(student, lessons, 1, recipe.train.seed)
    spread = torch.linspace(0, len(lessons.features) - 1, min(MEASURED, len(lessons.features))).long().numpy()
    return student, lessons.features[spread]


def _fit(student: TransferNetwork, lessons: Lessons, stage: int, seed: int) -> None:
    settings = FitSettings(epochs=EPOCHS[stage], learning_rate=LEARNING_RATES[stage], seed=seed + stage)
    loss = LessonLoss(step_times(lessons.features.shape[1]))
    with progress(f"training the student ({stage + 1} of {len(EPOCHS)}), step") as advance:
        fit(student, LessonBatches(lessons, STEPS, settings.seed), loss, AllLayers(rate_decay=1.0), settings, on_step=advance)
