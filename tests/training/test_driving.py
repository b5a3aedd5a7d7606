import math

import pytest
import torch

from speechtl.image.scenes import scenes
from speechtl.transfer import TaskLoss, balance

TARGET = 3


@pytest.fixture
def program(load_program):
    torch.set_num_threads(1)
    return load_program("driving")


def weights(encoder) -> int:
    return sum(values.numel() for values in encoder.parameters())


def test_four_networks_of_the_smaller_size_are_together_as_large_and_as_much_work_as_the_shared_one(program):
    small, large = program.QUARTER.width, program.SHARED.width
    assert 4 * weights(program.build(small)) == pytest.approx(weights(program.build(large)), rel=0.06)
    assert 1.0 < 4 * program.multiply_adds(small) / program.multiply_adds(large) < 1.3


def test_the_multiply_adds_are_those_of_the_convolutions(program):
    seen = []
    encoder = program.build(4)
    for module in encoder.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(lambda layer, _, output: seen.append(layer.weight.numel() * output[0, 0].numel()))
    network = program.new_network(encoder, program.TASKS)
    network.eval()(scenes(1, program.SIZE)[0])
    assert sum(seen) == program.multiply_adds(4)


def test_every_way_learns_from_the_same_labels_of_the_target(program):
    learned = scenes(40, 16)
    columns = []
    for way in program.WAYS:
        _, known = program.labelled(learned, way, TARGET, 10, seed=1)
        column = known[:, TARGET if way.shared else 0]
        columns.append(column[~torch.isnan(column)].tolist())
    assert all(len(column) == 10 and column == columns[0] for column in columns)


def test_the_labels_of_the_other_tasks_stay_unless_they_are_shuffled(program):
    learned = scenes(40, 16)
    before = learned[1].clone()
    pixels, known = program.labelled(learned, program.SHARED, TARGET, 10, seed=1)
    _, shuffled = program.labelled(learned, program.SHUFFLED, TARGET, 10, seed=1)
    assert len(pixels) == len(known) == 40
    assert torch.equal(known[:, :3].sum(dim=0), before[:, :3].sum(dim=0))
    assert torch.equal(shuffled[:, :3].sum(dim=0), before[:, :3].sum(dim=0))
    assert not torch.equal(shuffled[:, :3], known[:, :3])
    assert torch.equal(learned[1], before)


def test_missing_labels_of_the_target_give_its_output_no_gradient(program):
    pixels, known = program.labelled(scenes(24, 32), program.SHARED, TARGET, 0, seed=0)
    network = program.new_network(program.build(2), program.TASKS)
    TaskLoss(program.TASKS, balance(known))(network(pixels), known).backward()
    gradient = network.head.layers[-1].weight.grad.abs().sum(dim=1)
    assert gradient[TARGET] == 0
    assert (gradient[:TARGET] > 0).all()


def test_every_way_tries_the_same_steps_and_rates_and_takes_what_is_best_on_validation(program, tmp_path, monkeypatch):
    study = program.Study(tmp_path, TARGET)
    tried = []

    def train(world, way, labels, seed, steps, rate):
        tried.append((way.name, seed, steps, rate))
        best = (steps, rate) == program.GRID[2]
        return program.Trained(world, way.name, labels, seed, steps, rate, validation=0.9 if best else 0.5, test=0.1 if best else 0.99)

    monkeypatch.setattr(study, "train", train)
    for way in program.WAYS:
        chosen = study.result("parts", way, 25, seed=7)
        assert (chosen.steps, chosen.rate) == program.GRID[2]
        assert tried == [*((way.name, program.TUNING_SEED, *one) for one in program.GRID), (way.name, 7, *program.GRID[2])]
        tried.clear()


def test_a_gain_has_the_limits_of_the_paired_differences(program):
    def one(way, seed, test):
        return program.Trained("parts", way.name, 25, seed, 150, 0.01, 0.0, test)

    mine = [one(program.SHARED, seed, 0.8 + 0.01 * seed) for seed in range(3)]
    alone = [one(program.ALONE, seed, 0.6 + 0.01 * seed) for seed in range(3)]
    values = {(result.way, result.labels, result.seed): result for result in [*mine, *alone]}
    assert program.gain(mine, values) == "0.810 (+0.20; +0.20 to +0.20)"
    assert program.gain(alone, values) == "0.610"


def test_the_study_is_written_and_drawn_and_goes_on_where_it_was_interrupted(program, tmp_path, monkeypatch):
    for name, value in {"LEARNED": 40, "CHOSEN_ON": 24, "TESTED": 24, "GRID": [(1, 1e-3), (2, 1e-3)], "TUNED_WITH": 20}.items():
        monkeypatch.setattr(program, name, value)
    monkeypatch.setattr(program, "plan", lambda: {"context and parts": (program.ALONE, program.SHARED_PRETRAINED)})
    arguments = ["--out", str(tmp_path), "--seeds", "2", "--labels", "20"]
    panels = program.main(arguments)
    assert [len(panel.points) for panel in panels] == [4]
    assert {path.name for path in tmp_path.iterdir()} == {"driving.csv", "driving.png", "trainings.jsonl"}
    monkeypatch.setattr(program, "fitted", lambda *_: pytest.fail("trained twice"))
    again = program.main(arguments)
    assert again == panels
    assert not any(math.isnan(point.value) for point in again[0].points)
