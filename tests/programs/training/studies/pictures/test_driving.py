import math

import pytest
import torch
from scenes import scenes

from speechtl.transfer import TaskLoss, balance

TARGET = 3


@pytest.fixture
def program(load_program):
    torch.set_num_threads(1)
    return load_program("training/studies/pictures/driving")


def weights(encoder) -> int:
    return sum(values.numel() for values in encoder.parameters())


def test_four_networks_of_the_smaller_size_are_together_as_large_and_as_much_work_as_the_shared_one(program):
    small, large = program.QUARTER.widths[0], program.SHARED.widths[0]
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


def test_every_setup_learns_from_the_same_labels_of_the_target(program):
    training = scenes(40, 16)
    columns = []
    for setup in program.SETUPS + program.CONTROLS:
        _, known = program.labelled(training, setup, TARGET, 10, seed=1)
        column = known[:, TARGET if setup.shared else 0]
        columns.append(column[~torch.isnan(column)].tolist())
    assert all(len(column) == 10 and column == columns[0] for column in columns)


def test_the_labels_of_the_other_tasks_stay_unless_they_are_shuffled(program):
    training = scenes(40, 16)
    before = training[1].clone()
    pixels, known = program.labelled(training, program.SHARED, TARGET, 10, seed=1)
    _, shuffled = program.labelled(training, program.SHUFFLED, TARGET, 10, seed=1)
    assert len(pixels) == len(known) == 40
    assert torch.equal(known[:, :3].sum(dim=0), before[:, :3].sum(dim=0))
    assert torch.equal(shuffled[:, :3].sum(dim=0), before[:, :3].sum(dim=0))
    assert not torch.equal(shuffled[:, :3], known[:, :3])
    assert torch.equal(training[1], before)


def test_missing_labels_of_the_target_give_its_output_no_gradient(program):
    pixels, known = program.labelled(scenes(24, 32), program.SHARED, TARGET, 0, seed=0)
    network = program.new_network(program.build(2), program.TASKS)
    TaskLoss(program.TASKS, balance(known))(network(pixels), known).backward()
    gradient = network.head.layers[-1].weight.grad.abs().sum(dim=1)
    assert gradient[TARGET] == 0
    assert (gradient[:TARGET] > 0).all()


@pytest.mark.parametrize(("shared", "tried"), [(False, 5), (True, 6)])
def test_steps_rate_width_and_weighting_are_chosen_on_validation_for_each_number_of_labels(program, tmp_path, monkeypatch, shared, tried):
    study = program.Study(tmp_path, TARGET)
    wanted = program.Hyperparameters(program.STEPS[2], program.RATES[1], program.WIDTHS[1], balanced=shared)
    seen = []

    def train(world, setup, labels, seed, hyperparameters):
        seen.append((labels, seed))
        right = sum(getattr(hyperparameters, name) == getattr(wanted, name) for name in ("steps", "rate", "width", "balanced"))
        return trained(program, setup, seed, hyperparameters=hyperparameters, validation=0.5 + 0.1 * right, test=-right)

    monkeypatch.setattr(study, "train", train)
    assert study.tune("parts", program.SHARED if shared else program.ALONE, 25).hyperparameters == wanted
    assert seen == [(25, program.TUNING_SEED)] * tried


def trained(program, setup, seed, hyperparameters=None, **values):
    hyperparameters = hyperparameters or program.Hyperparameters(150, 0.01, 8)
    values = {"validation": 0.0, "test": 0.0, "within": 0.0} | values
    return program.Result("parts", setup.name, 25, seed, *program.astuple(hyperparameters), **values)


def test_a_gain_has_the_limits_of_the_paired_differences(program):
    mine = [trained(program, program.SHARED, seed, test=0.8 + 0.01 * seed) for seed in range(3)]
    alone = [trained(program, program.ALONE, seed, test=0.6 + 0.01 * seed) for seed in range(3)]
    values = {(result.setup, result.labels, result.seed): result for result in [*mine, *alone]}
    assert program.gain(mine, values) == "0.810 (+0.20; +0.20 to +0.20)"
    assert program.gain(alone, values) == "0.610"


def test_scores_that_only_know_the_context_are_chance_among_scenes_with_as_many_others(program):
    others = torch.arange(40).numpy() % 4
    there = others + torch.arange(40).numpy() // 4 % 2 > 2
    assert program.auc(others.astype(float), there) > 0.8
    assert program.auc_within(others.astype(float), there, others) == 0.5
    assert program.auc_within(there.astype(float), there, others) == 1.0


def test_the_work_counts_the_pictures_that_a_training_really_sees(program):
    one = trained(program, program.ALONE, 0)
    assert program.work(program.ALONE, one) == 150 * 25 * 3 * program.multiply_adds(8) * 4
    assert program.work(program.SHARED, one) == 2 * 62 * 32 * 3 * program.multiply_adds(8)


@pytest.mark.slow
def test_the_study_is_written_and_drawn_and_goes_on_where_it_was_interrupted(program, tmp_path, monkeypatch):
    for name, value in {"TRAIN_SCENES": 40, "VALIDATION_SCENES": 24, "TEST_SCENES": 24, "STEPS": (1, 2, 3)}.items():
        monkeypatch.setattr(program, name, value)
    monkeypatch.setattr(program, "SETUPS", (program.ALONE, program.SHARED_PRETRAINED))
    arguments = ["--out", str(tmp_path), "--seeds", "2", "--labels", "20", "--worlds", "context and parts", "--processes", "1"]
    panels = program.main(arguments)
    assert [len(panel.points) for panel in panels] == [4]
    assert {path.name for path in tmp_path.iterdir()} == {"driving.csv", "driving.png", "trainings.jsonl"}
    monkeypatch.setattr(program, "fit_network", lambda *_: pytest.fail("trained twice"))
    again = program.main(arguments)
    assert again == panels
    assert not any(math.isnan(point.value) for point in again[0].points)
