import pytest
import torch

from speechtl.image.scenes import scenes


@pytest.fixture
def program(load_program):
    torch.set_num_threads(1)
    return load_program("driving")


def weights(network) -> int:
    return sum(values.numel() for values in network.encoder.parameters())


def test_four_networks_of_half_the_width_are_together_as_large_as_one(program):
    candidates = program.candidates(program.Setting(width=16))
    one, large, quarter = (weights(network) for network in candidates.values())
    assert large == 4 * one
    assert quarter == pytest.approx(one, rel=0.05)


def test_separate_networks_begin_as_undecided_as_a_shared_one(program):
    torch.manual_seed(0)
    embeddings = torch.randn(200, 64)
    shared = program.TaskHead(64, program.TASKS)
    separate = program.SeparateHead(64, program.TASKS)
    for head in (shared, separate):
        assert 0.02 < float(head.eval()(embeddings).detach().std()) < 0.1


def test_separate_networks_learn_nothing_from_each_other(program):
    network = program.build(4, 4)
    pixels, labels = scenes(8, 32)
    labels[:, 1:] = float("nan")
    program.fit_pictures(network, pixels, labels, program.AllLayers(), program.TrainSection(steps=1, batch_size=8))
    before = program.build(4, 4)
    before.load_state_dict(network.state_dict())
    logits = network(pixels)
    logits[:, 0].sum().backward()
    gradient = network.encoder.groups["conv2"][0].weight.grad.flatten(1).abs().sum(dim=1)
    own, others = gradient[: len(gradient) // 4], gradient[len(gradient) // 4 :]
    assert own.sum() > 0
    assert others.sum() == 0


def test_a_shared_network_gives_every_task_all_of_its_layers(program):
    network = program.build(4, 1)
    network(scenes(4, 32)[0])[:, 2].sum().backward()
    assert (network.encoder.groups["conv4"][0].weight.grad.flatten(1).abs().sum(dim=1) > 0).sum() > 8


def test_the_comparison_is_written_and_drawn(program, tmp_path, monkeypatch):
    monkeypatch.setattr(program, "STEPS", 2)
    monkeypatch.setattr(program, "TESTED", 24)
    monkeypatch.setattr(program, "photographs", lambda learned: None)
    panels = program.main(["--out", str(tmp_path), "--seeds", "1", "--amounts", "40", "--missing", "0.5", "--widths", "2"])
    assert [len(panel.points) for panel in panels] == [3, 3, 3]
    assert {path.name for path in tmp_path.iterdir()} == {"driving.csv", "driving.png"}
