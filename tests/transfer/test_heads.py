import pytest
import torch

from speechtl.transfer import Standardize, Task, TaskHead

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
