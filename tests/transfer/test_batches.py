import torch
from torch import nn

from speechtl.transfer import ExampleBatches, FitSettings, HeadOnly, LastLayers, Task, TaskHead, TaskLoss, attach, cut, fit, group_outputs

INPUTS = torch.randn(50, 6, generator=torch.Generator().manual_seed(0))
LABELS = (INPUTS[:, :1] > 0).float()


def noise(inputs: torch.Tensor, seed: int) -> torch.Tensor:
    return inputs + torch.randn(inputs.shape, generator=torch.Generator().manual_seed(seed))


def test_an_epoch_has_every_example_once_in_an_order_of_its_own(network):
    batches = ExampleBatches(INPUTS, LABELS, network, 0, batch_size=10)
    first, again, second = (torch.cat([inputs for inputs, _ in batches.epoch(number)]) for number in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    assert torch.equal(first.sort(dim=0).values, INPUTS.sort(dim=0).values)


def test_batches_behind_a_frozen_front_are_what_the_front_gives(network):
    network.eval()
    batches = ExampleBatches(INPUTS, LABELS, network, 3, batch_size=50)
    (inputs, labels), (plain, same) = next(batches.epoch(4)), next(ExampleBatches(INPUTS, LABELS, network, 0, batch_size=50).epoch(4))
    assert torch.equal(labels, same)
    torch.testing.assert_close(inputs, network.run_first(plain, 3).detach())


def test_the_front_runs_once_for_each_guise(network):
    calls = []
    network.groups()[0][1].register_forward_hook(lambda *_: calls.append(1))
    batches = ExampleBatches(INPUTS, LABELS, network, 4, batch_size=10, render=noise, copies=3)
    for epoch in range(9):
        list(batches.epoch(epoch))
    assert len(calls) == 3 * 4  # four parts of 16 examples at most


def test_augmentation_without_a_frozen_front_is_new_in_every_epoch_and_repeatable(network):
    batches = ExampleBatches(INPUTS, LABELS, network, 0, batch_size=50, render=noise, copies=1)
    sums = [float(next(batches.epoch(epoch))[0].sum()) for epoch in (0, 1, 0)]
    assert sums[0] != sums[1]
    assert sums[0] == sums[2]


def test_the_front_is_computed_in_evaluation_mode_and_the_mode_is_given_back(network):
    network.train()
    before = [buffer.clone() for buffer in network.buffers()]
    group_outputs(network, INPUTS, 4)
    assert all(torch.equal(old, new) for old, new in zip(before, network.buffers(), strict=True))
    assert all(module.training for module in network.modules())


def test_a_task_is_learned_from_batches_behind_a_frozen_front(source):
    torch.manual_seed(0)
    network = attach(cut(source), TaskHead(5, [Task("positive")]))
    labels = (network.run_first(INPUTS, 4)[:, :1] > 0.2).float()
    policy, settings = LastLayers(2), FitSettings(epochs=40, learning_rate=1e-2)
    batches = ExampleBatches(INPUTS, labels, network, policy.frozen_groups(network, settings.epochs), batch_size=10)
    batches.measure_embeddings()
    history = fit(network, batches, TaskLoss(network.head.tasks), policy, settings)
    assert history[-1]["loss"] < 0.5 * history[0]["loss"]
    right = (torch.sigmoid(network(INPUTS)) > 0.5) == (labels > 0.5)
    assert right.float().mean() > 0.85


def test_a_head_that_measures_nothing_is_left_alone(source):
    network = attach(cut(source), nn.Linear(5, 1))
    ExampleBatches(INPUTS, LABELS, network, HeadOnly().frozen_groups(network, 1)).measure_embeddings()
