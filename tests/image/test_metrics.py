import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from speechtl.image.metrics import auc, auc_limits, measure_tasks
from speechtl.transfer import Task


def test_the_auc_is_that_of_scikit_learn_with_ties():
    random = np.random.default_rng(0)
    scores, positive = random.integers(0, 6, 200).astype(float), random.random(200) < 0.3
    assert auc(scores, positive) == pytest.approx(roc_auc_score(positive, scores))


def test_the_auc_of_one_kind_is_not_a_number():
    assert np.isnan(auc(np.ones(3), np.array([True] * 3)))


def test_limits_over_groups_are_wider_where_groups_repeat_themselves():
    random = np.random.default_rng(1)
    positive = np.repeat(random.random(30) < 0.5, 10)
    scores = positive + np.repeat(random.normal(0, 1.5, 30), 10)
    alone = auc_limits(scores, positive)
    grouped = auc_limits(scores, positive, np.repeat(np.arange(30), 10).tolist())
    assert grouped[0] < alone[0] < auc(scores, positive) < alone[1] < grouped[1]


def test_missing_labels_are_not_counted():
    scores = [torch.tensor([[0.9], [0.2], [0.8]]), torch.tensor([[0.7, 0.3], [0.1, 0.9], [0.5, 0.5]])]
    labels = torch.tensor([[1.0, 0.0], [float("nan"), 1.0], [0.0, float("nan")]])
    yes, kind = measure_tasks([Task("yes"), Task("kind", ("a", "b"))], scores, labels)
    assert (yes["examples"], yes["accuracy"], yes["auc"]) == (2, 0.5, 1.0)
    assert (kind["examples"], kind["accuracy"]) == (2, 1.0)
    assert kind["low"] < 1.0


def test_a_task_without_a_known_label_has_no_accuracy():
    (result,) = measure_tasks([Task("yes")], [torch.tensor([[0.9], [0.2]])], torch.tensor([[float("nan")], [float("nan")]]))
    assert (result["examples"], result["accuracy"], result["auc"]) == (0, None, None)
