import pytest
from torch import nn

from speechtl.study.advise import Advice, Target, advise, verdict
from speechtl.transfer import Encoder, EncoderInfo, InputSpec

PICTURES = InputSpec("image", {"channels": "RGB"})


def encoder(examples: int | None, given: InputSpec = PICTURES) -> Encoder:
    return Encoder({"one": nn.Linear(2, 2)}, EncoderInfo("source", given, 2, source="a corpus", source_examples=examples))


@pytest.mark.parametrize(("examples", "policy"), [(20, "head"), (600, "last:2"), (3000, "all")])
def test_more_examples_carry_more_layers(examples, policy):
    advice = advise(encoder(1_000_000), Target(PICTURES, examples, 2, "pictures"))
    assert advice.transfer
    assert advice.policy == policy
    assert "pictures for each of" in str(advice)


@pytest.mark.parametrize(
    ("source", "target", "reason"),
    [
        (encoder(1_000_000, InputSpec("audio")), Target(PICTURES, 100, 2), "another type: The encoder 'source' was pretrained on audio"),
        (encoder(300), Target(PICTURES, 1000, 2), "300 labelled examples (a corpus), no more than the 1,000"),
        (encoder(0), Target(PICTURES, 100, 2), "is not trained"),
        (encoder(10**9), Target(PICTURES, 40_000, 2), "little to gain"),
    ],
)
def test_it_is_advised_against_where_a_condition_is_not_met(source, target, reason):
    advice = advise(source, target)
    assert not advice.transfer
    assert advice.policy == "scratch"
    assert reason in str(advice)


def test_a_source_little_larger_than_the_target_promises_little():
    assert "expect a small gain" in str(advise(encoder(2000), Target(PICTURES, 1000, 2)))


def test_a_source_of_unknown_size_is_said_to_be_so():
    assert "does not say how much" in str(advise(encoder(None), Target(PICTURES, 10, 2)))


def test_the_verdict_names_what_was_best_and_what_the_advice_cost():
    advice = Advice(True, "head", ())
    assert verdict(advice, {"head": 0.9, "all": 0.8}) == "Best was 'head' with 0.900, as advised."
    assert "the advice, 'head', gave 0.800, 0.100 less" in verdict(advice, {"head": 0.8, "all": 0.9})


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ((25, 2000, 2000), "3 tasks share one network, with 25 to 2,000 labels each: a task with few labels gains if"),
        ((500, 600), "2 tasks share one network, with 500 to 600 labels each: none has many more than another"),
        ((0, 600), "with 0 to 600 labels each: a task with few labels gains if"),
    ],
)
def test_several_tasks_in_one_network_are_told_what_sharing_is_worth(labels, reason):
    assert reason in str(advise(encoder(1_000_000), Target(PICTURES, 600, 2, labels=labels)))


@pytest.mark.parametrize("labels", [(), (600,)])
def test_one_task_is_told_nothing_of_sharing(labels):
    assert "share" not in str(advise(encoder(1_000_000), Target(PICTURES, 600, 2, labels=labels)))
