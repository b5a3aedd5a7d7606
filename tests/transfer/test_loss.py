import math

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from speechtl.transfer import Task, TaskLoss, balance

NAN = math.nan
TASKS = (Task("kind", ("a", "b", "c")), Task("loud"), Task("near"))


def test_with_all_labels_it_is_the_mean_of_the_cross_entropies():
    logits = torch.randn(6, 5)
    labels = torch.tensor([[0.0, 1, 0], [2, 0, 1], [1, 1, 1], [0, 0, 0], [2, 1, 0], [1, 0, 1]])
    expected = (
        cross_entropy(logits[:, :3], labels[:, 0].long(), reduction="sum")
        + binary_cross_entropy_with_logits(logits[:, 3:], labels[:, 1:], reduction="sum")
    ) / 18
    torch.testing.assert_close(TaskLoss(TASKS)(logits, labels), expected)


def test_a_missing_label_has_no_gradient_and_does_not_change_the_others():
    logits = torch.randn(3, 5, requires_grad=True)
    labels = torch.tensor([[0.0, NAN, 1], [NAN, 0, NAN], [NAN, NAN, NAN]])
    loss = TaskLoss(TASKS)(logits, labels)
    loss.backward()
    known = torch.tensor([[1, 1, 1, 0, 1], [0, 0, 0, 1, 0], [0, 0, 0, 0, 0]]).bool()
    assert torch.equal(logits.grad != 0, known)
    changed = logits.detach().masked_fill(~known, 1e9)
    torch.testing.assert_close(TaskLoss(TASKS)(changed, labels), loss.detach())


def test_a_batch_without_any_label_teaches_nothing():
    logits = torch.randn(2, 5, requires_grad=True)
    loss = TaskLoss(TASKS)(logits, torch.full((2, 3), NAN))
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert not logits.grad.any()


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_sure_and_right_costs_nothing(value):
    logits = torch.full((4, 1), 40.0 * (2 * value - 1))
    assert TaskLoss([Task("x")])(logits, torch.full((4, 1), value)) < 1e-6


def test_a_task_of_few_labels_counts_as_much_as_one_of_many():
    labels = torch.ones(100, 3)
    labels[:, 0], labels[5:, 2] = 0, NAN
    logits = torch.randn(100, 5)
    loss = TaskLoss(TASKS, balance(labels))(logits, labels)
    alone = [
        TaskLoss([task])(part, labels[:, [index]]) for index, (task, part) in enumerate(zip(TASKS, logits.split([3, 1, 1], 1), strict=True))
    ]
    torch.testing.assert_close(loss, torch.stack(alone).mean())


def test_tasks_of_as_many_labels_are_not_weighted():
    labels = torch.tensor([[0.0, 1, NAN], [NAN, 0, 1]])
    assert balance(labels[:, [0, 2]]) == [1.0, 1.0]


def test_a_task_without_labels_has_no_weight():
    assert balance(torch.tensor([[NAN, 1.0], [NAN, 0.0]])) == [0.0, 1.0]
    assert balance(torch.full((2, 2), NAN)) == [0.0, 0.0]
