import pytest

from speechtl.errors import RecipeError
from speechtl.transfer import AllLayers, GradualUnfreeze, HeadOnly, LastLayers, parse_policy

NAMES = ["one", "two", "three", "four", "head"]


def learning(network) -> list[str]:
    return [name for name, group in network.groups() if all(weights.requires_grad for weights in group.parameters())]


def collecting(network) -> list[str]:
    return [name for name, group in network.groups() if all(module.training for module in group.modules())]


@pytest.mark.parametrize(
    ("policy", "trained"),
    [
        (HeadOnly(), ["head"]),
        (LastLayers(n=1), ["four", "head"]),
        (LastLayers(n=3), ["two", "three", "four", "head"]),
        (LastLayers(n=99), NAMES),
        (AllLayers(), NAMES),
    ],
    ids=repr,
)
def test_a_policy_sets_gradients_and_mode_together(network, policy, trained):
    policy.apply(network)
    assert learning(network) == collecting(network) == trained
    assert policy.frozen_groups(network, 5) == len(NAMES) - len(trained)
    frozen = set(NAMES) - set(trained)
    assert not any(weights.requires_grad for name, group in network.groups() if name in frozen for weights in group.parameters())


def test_gradual_unfreezing_goes_from_the_head_to_the_front(network):
    policy = GradualUnfreeze(groups_per_epoch=1)
    order = []
    for epoch in range(6):
        policy.apply(network, epoch)
        assert learning(network) == collecting(network)
        order.append(learning(network))
    assert order == [NAMES[4:], NAMES[3:], NAMES[2:], NAMES[1:], NAMES, NAMES]
    assert [policy.frozen_groups(network, epochs) for epochs in (1, 3, 5, 9)] == [4, 2, 0, 0]


def test_several_groups_may_be_unfrozen_with_every_epoch(network):
    policy = GradualUnfreeze(groups_per_epoch=3)
    policy.apply(network, 1)
    assert learning(network) == NAMES[1:]


def test_learning_rates_fall_geometrically_toward_the_front(network):
    groups = AllLayers(rate_decay=0.5).parameter_groups(network, 0.16)
    assert {group["name"]: group["lr"] for group in groups} == pytest.approx(
        {"one": 0.01, "two": 0.02, "three": 0.04, "four": 0.08, "head": 0.16}
    )


def test_only_groups_that_are_trained_at_some_time_get_a_rate(network):
    assert [group["name"] for group in LastLayers(n=1).parameter_groups(network, 0.1)] == ["four", "head"]
    assert [group["name"] for group in GradualUnfreeze(groups_per_epoch=1).parameter_groups(network, 0.1, epochs=3)] == NAMES[2:]


@pytest.mark.parametrize(
    ("text", "policy"), [("head", HeadOnly()), ("all", AllLayers()), ("gradual", GradualUnfreeze()), ("last:3", LastLayers(n=3))]
)
def test_a_policy_is_read_from_its_name(text, policy):
    assert parse_policy(text) == policy


@pytest.mark.parametrize("text", ["", "heads", "last", "last:", "last:0", "last:-1", "last:two", "last:²"])
def test_an_unknown_policy_is_an_error_that_lists_the_known(text):
    with pytest.raises(RecipeError, match="head, last:2"):
        parse_policy(text)


def test_what_is_large_inside_an_encoder_is_computed_again_and_not_kept(network):
    network.encoder.small_inside = False
    assert LastLayers(n=2).frozen_groups(network, 5) == 0
    assert HeadOnly().frozen_groups(network, 5) == 4
    assert [group["name"] for group in LastLayers(n=2).parameter_groups(network, 1.0)] == ["three", "four", "head"]
