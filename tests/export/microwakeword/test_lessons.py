import numpy as np
import pytest
import torch

from speechtl.export.microwakeword import lessons as module
from speechtl.export.microwakeword.lessons import LessonBatches, LessonLoss, Lessons
from speechtl.export.microwakeword.student import as_input, step_times


@pytest.fixture
def lessons(heard) -> Lessons:
    times = step_times(heard.shape[1]).numpy()
    words = np.array([[1.0, 1.6], [np.nan] * 2, [1.2, 1.8], [np.nan] * 2], np.float32)
    taught = np.where(np.abs(times - words[:, 1:]) < 0.1, 6.0, -6.0)
    taught[:, 0] = np.nan
    return Lessons(heard, words, taught.astype(np.float16))


def test_the_teacher_is_asked_at_the_students_times(tiny_network, bursts, front_end):
    samples = bursts((0.7, 3.0), seconds=4.0)
    times = np.array([0.05, 1.2, 2.0, 3.2], np.float32)
    taught = module._taught(samples, tiny_network, times)
    assert np.isnan(taught[0])  # before its first score
    assert taught[1] > taught[2] < taught[3]
    own = tiny_network.step_times(398).numpy()
    assert module._taught(samples, tiny_network, own[5:6]) == pytest.approx(module._taught(samples, tiny_network, own)[5], abs=1e-4)


def test_hard_lessons_are_the_stretches_with_the_highest_scores(student, recording_of, front_end, monkeypatch):
    random = np.random.default_rng(0)
    negatives = [recording_of(random.normal(0, loudness, 32_000)) for loudness in (0.3, 0.001, 0.1, 0.02, 0.3, 0.01)]
    monkeypatch.setattr(module, "STRETCHES", 4)
    everything = module.hard_lessons(student, negatives, 200)
    monkeypatch.setattr(module, "HARD", 3)
    hardest = module.hard_lessons(student, negatives, 200)
    assert len(everything.features) > 3
    np.testing.assert_array_equal(hardest.features, everything.features[:3])
    scores = student(as_input(everything.features)).flatten(1).amax(dim=1)
    assert (scores.diff() <= 1e-4).all()
    assert np.isnan(hardest.words).all()
    assert hardest.taught.shape == (3, len(step_times(200)))


def test_half_of_a_batch_has_the_word_and_masks_differ(lessons, monkeypatch):
    monkeypatch.setattr(module, "BATCH", 8)
    batches = LessonBatches(lessons, 3, 0)
    epoch = list(batches.epoch(0))
    assert len(epoch) == len(batches) == 3
    for inputs, words, taught in epoch:
        assert inputs.shape == (8, 40, 200, 1)
        assert torch.isnan(words[:, 0]).sum() == 4
        assert torch.isnan(taught[:, 0]).all()
    again = next(iter(batches.epoch(0)))[0]
    assert torch.equal(epoch[0][0], again)
    assert not torch.equal(again, next(iter(batches.epoch(1)))[0])
    assert (lessons.features.min(), lessons.features.max()) == (-128, 99)  # masks touch no lesson


def test_the_loss_is_least_where_the_student_says_what_its_teacher_does(lessons):
    loss = LessonLoss(step_times(lessons.features.shape[1]))
    words, taught = torch.from_numpy(lessons.words), torch.from_numpy(lessons.taught).float()
    own = taught.nan_to_num(-6.0)[:, None, :, None].clone().requires_grad_()
    best = loss(own, words, taught)
    assert best < loss(torch.zeros_like(own), words, taught) < loss(-own, words, taught)
    best.backward()
    assert torch.isfinite(own.grad).all()
