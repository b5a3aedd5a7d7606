import copy
from itertools import pairwise

import pytest
import torch

from speechtl.errors import RunError, SpeechtlError
from speechtl.transfer import AllLayers, FitSettings, GradualUnfreeze, HeadOnly, LastLayers, attach, cut, fit

SETTINGS = FitSettings(epochs=4, learning_rate=0.01)
FROZEN = {"head": ("one", "two", "three", "four"), "last two": ("one", "two"), "all": ()}
POLICIES = {"head": HeadOnly(), "last two": LastLayers(n=2), "all": AllLayers()}

loss = torch.nn.functional.mse_loss


def of_group(state: dict, group: str) -> dict:
    return {name: value for name, value in state.items() if group in name.split(".")}


def assert_same(first: dict, second: dict) -> None:
    assert first.keys() == second.keys()
    for name in first:
        assert torch.equal(first[name], second[name]), name


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.mark.parametrize("policy", POLICIES)
def test_frozen_groups_keep_weights_and_statistics_bit_for_bit_and_trained_ones_change(network, toy_batches, policy):
    before = copy.deepcopy(network.state_dict())
    chosen = POLICIES[policy]
    front = chosen.frozen_groups(network, SETTINGS.epochs)
    fit(network, toy_batches(front=lambda inputs: network.run_first(inputs, front)), loss, chosen, SETTINGS)
    after = network.state_dict()
    for name, _ in network.groups():
        old, new = of_group(before, name), of_group(after, name)
        if name in FROZEN[policy]:
            assert_same(old, new)
        else:
            assert all(not torch.equal(old[key], new[key]) for key in old), name


def test_frozen_groups_without_a_cache_keep_their_statistics_too(network, toy_batches):
    before = copy.deepcopy(network.state_dict())
    network.train()
    HeadOnly().apply(network)
    for inputs, _ in toy_batches().epoch(0):
        network(inputs)
    for name in FROZEN["head"]:
        assert_same(of_group(before, name), of_group(network.state_dict(), name))


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_the_loss_falls(network, toy_batches, precision):
    outputs = []
    network.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
    history = fit(network, toy_batches(20), loss, AllLayers(), FitSettings(epochs=6, learning_rate=0.02, precision=precision))
    assert all(weights.dtype == torch.float32 for weights in network.parameters())
    assert {output.dtype for output in outputs} == {torch.bfloat16 if precision == "bf16-mixed" else torch.float32}
    assert [record["epoch"] for record in history] == [1, 2, 3, 4, 5, 6]
    assert history[-1]["loss"] < 0.5 * history[0]["loss"]


@pytest.mark.parametrize("policy", [HeadOnly(), LastLayers(n=2), AllLayers(), GradualUnfreeze(groups_per_epoch=1)], ids=repr)
@pytest.mark.parametrize("fail_in", [1, 3])
def test_interrupted_and_resumed_is_uninterrupted_bit_for_bit(network, toy_batches, tmp_path, policy, fail_in):
    whole, broken, fresh = network, copy.deepcopy(network), copy.deepcopy(network)
    fresh.head[1].weight.data.zero_()  # what a resumed run starts from does not matter
    front = policy.frozen_groups(network, SETTINGS.epochs)

    def batches(of, **options):
        return toy_batches(front=lambda inputs: of.run_first(inputs, front), **options)

    history = fit(whole, batches(whole), loss, policy, SETTINGS, checkpoint=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        fit(broken, batches(broken, fail_in=fail_in), loss, policy, SETTINGS, checkpoint=tmp_path / "c")
    torch.rand(17)  # other randomness in between
    seen = []
    resumed = fit(
        fresh, batches(fresh), loss, policy, SETTINGS, checkpoint=tmp_path / "c", resume=True, on_epoch=lambda epoch, _: seen.append(epoch)
    )
    assert seen == list(range(fail_in, SETTINGS.epochs))
    assert resumed == history
    assert_same(whole.state_dict(), fresh.state_dict())
    assert (tmp_path / "whole").read_bytes() == (tmp_path / "c").read_bytes()


def test_a_finished_run_resumed_stays_as_it_is(network, toy_batches, tmp_path):
    other = copy.deepcopy(network)
    history = fit(network, toy_batches(), loss, AllLayers(), SETTINGS, checkpoint=tmp_path / "c")
    again = fit(other, toy_batches(fail_in=0), loss, AllLayers(), SETTINGS, checkpoint=tmp_path / "c", resume=True)
    assert again == history
    assert_same(network.state_dict(), other.state_dict())


def test_without_resume_a_checkpoint_is_not_looked_at(network, toy_batches, tmp_path):
    other = copy.deepcopy(network)
    fit(network, toy_batches(), loss, AllLayers(), SETTINGS)
    (tmp_path / "c").write_bytes(b"nonsense")
    fit(other, toy_batches(), loss, AllLayers(), SETTINGS, checkpoint=tmp_path / "c")
    assert_same(network.state_dict(), other.state_dict())


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(source, toy_batches):
    def trained(seed: int) -> torch.Tensor:
        torch.manual_seed(0)
        network = attach(cut(copy.deepcopy(source)), torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.Linear(5, 1)))
        fit(network, toy_batches(), loss, AllLayers(), FitSettings(epochs=1, learning_rate=0.01, seed=seed))
        return network.head[1].weight.detach()

    assert torch.equal(trained(0), trained(0))
    assert not torch.equal(trained(0), trained(1))


@pytest.mark.parametrize(
    ("settings", "policy", "steps", "what"),
    [
        (FitSettings(epochs=4, learning_rate=0.02), AllLayers(), 4, "settings"),
        (SETTINGS, LastLayers(n=1), 4, "policy"),
        (SETTINGS, AllLayers(), 5, "steps"),
    ],
)
def test_a_checkpoint_of_other_settings_is_refused(network, toy_batches, tmp_path, settings, policy, steps, what):
    fit(network, toy_batches(), loss, AllLayers(), SETTINGS, checkpoint=tmp_path / "c")
    with pytest.raises(RunError, match=f"made with another {what}"):
        fit(network, toy_batches(steps), loss, policy, settings, checkpoint=tmp_path / "c", resume=True)


def test_a_checkpoint_of_another_architecture_is_refused(network, source, toy_batches, tmp_path):
    fit(network, toy_batches(), loss, AllLayers(), SETTINGS, checkpoint=tmp_path / "c")
    other = attach(cut(source), torch.nn.Sequential(torch.nn.Linear(5, 3), torch.nn.Linear(3, 1)))
    with pytest.raises(RunError, match="another architecture"):
        fit(other, toy_batches(), loss, AllLayers(), SETTINGS, checkpoint=tmp_path / "c", resume=True)


@pytest.mark.parametrize("damage", [lambda content: b"", lambda content: content[: len(content) // 2], lambda content: b"x" * 500])
def test_a_damaged_checkpoint_is_refused(network, toy_batches, tmp_path, damage):
    fit(network, toy_batches(), loss, AllLayers(), SETTINGS, checkpoint=tmp_path / "c")
    (tmp_path / "c").write_bytes(damage((tmp_path / "c").read_bytes()))
    with pytest.raises(RunError, match="damaged"):
        fit(network, toy_batches(), loss, AllLayers(), SETTINGS, checkpoint=tmp_path / "c", resume=True)


def test_a_loss_that_is_no_number_stops_with_advice(network, toy_batches):
    with pytest.raises(SpeechtlError, match=r"not a number in epoch 1; try a smaller learning rate than 0\.01"):
        fit(network, toy_batches(), lambda logits, targets: logits.sum() * torch.nan, AllLayers(), SETTINGS)


def test_no_batches_are_an_error(network, toy_batches):
    with pytest.raises(SpeechtlError, match=r"batch.*give more examples"):
        fit(network, toy_batches(0), loss, AllLayers(), SETTINGS)


class Recorder(torch.optim.AdamW):
    """AdamW that keeps the rates of every step, by the group's name."""

    rates: list[dict[str, float]]

    def step(self, closure=None):
        Recorder.rates.append({group["name"]: group["lr"] for group in self.param_groups})
        return super().step(closure)


def test_every_group_learns_at_its_rate_through_warm_up_and_cosine(network, toy_batches, monkeypatch):
    Recorder.rates = []
    monkeypatch.setattr(torch.optim, "AdamW", Recorder)
    fit(network, toy_batches(10), loss, AllLayers(rate_decay=0.5), FitSettings(epochs=2, learning_rate=0.08, warmup=0.1))
    assert len(Recorder.rates) == 20
    for rates in Recorder.rates:
        head = rates["head"]
        assert [rates[name] for name in ("four", "three", "two", "one")] == pytest.approx([head / 2, head / 4, head / 8, head / 16])
    heads = [rates["head"] for rates in Recorder.rates]
    assert heads[0] == pytest.approx(0.04)
    assert max(heads) == pytest.approx(0.08)
    assert heads.index(max(heads)) in (1, 2)
    assert heads[11] == pytest.approx(0.04)  # half of the way down the cosine: (11 - 2) / 18
    assert all(later <= earlier for earlier, later in pairwise(heads[2:]))
    assert heads[-1] < 0.001


def test_the_network_is_left_with_averaged_weights_in_evaluation_mode(network, toy_batches):
    plain = copy.deepcopy(network)
    settings = FitSettings(epochs=3, learning_rate=0.01, averaging=0.0)
    fit(plain, toy_batches(), loss, AllLayers(), settings)
    fit(network, toy_batches(), loss, AllLayers(), FitSettings(epochs=3, learning_rate=0.01, averaging=0.9))
    assert not any(module.training for module in network.modules())
    assert not torch.equal(plain.head[1].weight, network.head[1].weight)
