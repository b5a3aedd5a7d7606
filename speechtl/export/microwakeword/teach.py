"""Teach a student: lessons of the run's recordings, and then the moments that it gets wrong."""

from __future__ import annotations

import torch

from speechtl.audio.network.model import WakeWordNetwork
from speechtl.audio.recipe import Recipe
from speechtl.audio.training.selection import Data
from speechtl.export.microwakeword.features import Int8
from speechtl.export.microwakeword.lessons import LessonBatches, LessonLoss, maker_of, prepare_lessons
from speechtl.export.microwakeword.student import make_student, step_times
from speechtl.progress import progress
from speechtl.transfer import AllLayers, FitSettings, TransferNetwork, fit

ROUNDS = 4  # of newly augmented examples
EPOCHS, STEPS = 12, 150
LEARNING_RATE = 2e-3
MEASURED = 512  # examples on which the ranges of int8 are measured


def teach(recipe: Recipe, data: Data, teacher: WakeWordNetwork) -> tuple[TransferNetwork, Int8]:
    """A student, and examples of what it heard."""
    seed = recipe.train.seed
    lessons = prepare_lessons(maker_of(recipe, data, teacher), teacher, ROUNDS)
    torch.manual_seed(seed)
    student = make_student()
    settings = FitSettings(epochs=EPOCHS, learning_rate=LEARNING_RATE, seed=seed)
    loss = LessonLoss(step_times(lessons.features.shape[1]))
    with progress("training the student, step") as advance:
        fit(student, LessonBatches(lessons, STEPS, seed), loss, AllLayers(rate_decay=1.0), settings, on_step=advance)
    spread = torch.linspace(0, len(lessons.features) - 1, min(MEASURED, len(lessons.features))).long().numpy()
    return student, lessons.features[spread]
