import math

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from speechtl.transfer import Standardize, Task, TaskHead, TaskLoss, balance

TASKS = (Task("kind", ("a", "b", "c")), Task("loud"))


def test_one_head_answers_tasks_of_different_kinds():
    head = TaskHead(5, TASKS).eval()
    logits = head(torch.randn(4, 5))
    assert logits.shape == (4, 4)
    kind, loud = head.scores(logits)
    torch.testing.assert_close(kind.sum(dim=1), torch.ones(4))
    torch.testing.assert_close(loud, torch.sigmoid(logits[:, 3:]))


@pytest.mark.parametrize("places", [(), (7,), (7, 1), (3, 4)])
def test_places_are_averaged_whatever_their_number(places):
    head = TaskHead(5, TASKS).eval()
    embeddings = torch.randn(2, 5, *places)
    expected = head(embeddings.flatten(2).mean(dim=2) if places else embeddings)
    torch.testing.assert_close(head(embeddings), expected)


def test_a_grid_tells_where_something_is_and_a_mean_does_not():
    left, right = torch.zeros(1, 2, 4, 4), torch.zeros(1, 2, 4, 4)
    left[..., 0], right[..., 3] = 1.0, 1.0
    torch.testing.assert_close(TaskHead(2, TASKS).pool(left), TaskHead(2, TASKS).pool(right))
    assert not torch.allclose(TaskHead(2, TASKS, grid=2).pool(left), TaskHead(2, TASKS, grid=2).pool(right))


def test_standardized_numbers_have_mean_0_and_deviation_1():
    embeddings = torch.randn(200, 3, 5, 1) * torch.tensor([1.0, 10.0, 0.1])[None, :, None, None] + 4
    layer = Standardize(3, axes=2)
    layer.measure(embeddings)
    out = layer(embeddings)
    torch.testing.assert_close(out.mean(dim=(0, 2, 3)), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(out.std(dim=(0, 2, 3)), torch.ones(3), atol=1e-4, rtol=0)


def test_a_number_that_was_always_zero_in_training_does_not_drown_the_others_later():
    embeddings = torch.randn(50, 4)
    embeddings[:, 2] = 0.0
    head = TaskHead(4, TASKS)
    head.measure(embeddings)
    assert head.standardize(torch.ones(1, 4))[0, 2].abs() < 10


def test_tasks_survive_json():
    assert [Task.from_json(task.to_json()) for task in TASKS] == list(TASKS)


NAN = math.nan
TASKS_OF_LOSS = (Task("kind", ("a", "b", "c")), Task("loud"), Task("near"))


def test_with_all_labels_it_is_the_mean_of_the_cross_entropies():
    logits = torch.randn(6, 5)
    labels = torch.tensor([[0.0, 1, 0], [2, 0, 1], [1, 1, 1], [0, 0, 0], [2, 1, 0], [1, 0, 1]])
    expected = (
        cross_entropy(logits[:, :3], labels[:, 0].long(), reduction="sum")
        + binary_cross_entropy_with_logits(logits[:, 3:], labels[:, 1:], reduction="sum")
    ) / 18
    torch.testing.assert_close(TaskLoss(TASKS_OF_LOSS)(logits, labels), expected)


def test_a_missing_label_has_no_gradient_and_does_not_change_the_others():
    logits = torch.randn(3, 5, requires_grad=True)
    labels = torch.tensor([[0.0, NAN, 1], [NAN, 0, NAN], [NAN, NAN, NAN]])
    loss = TaskLoss(TASKS_OF_LOSS)(logits, labels)
    loss.backward()
    known = torch.tensor([[1, 1, 1, 0, 1], [0, 0, 0, 1, 0], [0, 0, 0, 0, 0]]).bool()
    assert torch.equal(logits.grad != 0, known)
    changed = logits.detach().masked_fill(~known, 1e9)
    torch.testing.assert_close(TaskLoss(TASKS_OF_LOSS)(changed, labels), loss.detach())


def test_a_batch_without_any_label_teaches_nothing():
    logits = torch.randn(2, 5, requires_grad=True)
    loss = TaskLoss(TASKS_OF_LOSS)(logits, torch.full((2, 3), NAN))
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
    loss = TaskLoss(TASKS_OF_LOSS, balance(labels))(logits, labels)
    alone = [
        TaskLoss([task])(part, labels[:, [index]])
        for index, (task, part) in enumerate(zip(TASKS_OF_LOSS, logits.split([3, 1, 1], 1), strict=True))
    ]
    torch.testing.assert_close(loss, torch.stack(alone).mean())


def test_tasks_of_as_many_labels_are_not_weighted():
    labels = torch.tensor([[0.0, 1, NAN], [NAN, 0, 1]])
    assert balance(labels[:, [0, 2]]) == [1.0, 1.0]


def test_a_task_without_labels_has_no_weight():
    assert balance(torch.tensor([[NAN, 1.0], [NAN, 0.0]])) == [0.0, 1.0]
    assert balance(torch.full((2, 2), NAN)) == [0.0, 0.0]
