import pytest
import torch
from torch import nn

from speechtl.errors import SpeechtlError
from speechtl.study.look import compare, first_filters, middle_and_late, strongest_activations
from speechtl.transfer import Encoder, EncoderInfo, InputSpec


@pytest.fixture
def eye() -> Encoder:
    """Units that answer to a bright pixel (0), and to a bright one above a dark one (1), at a quarter of the resolution."""
    torch.manual_seed(0)
    conv = nn.Conv2d(1, 2, 3, padding=1, bias=False)
    with torch.no_grad():
        conv.weight.zero_()
        conv.weight[0, 0, 1, 1] = 1.0
        conv.weight[1, 0, 0, 1], conv.weight[1, 0, 2, 1] = 1.0, -1.0
    groups = {"one": nn.Sequential(conv, nn.ReLU()), "two": nn.MaxPool2d(4)}
    return Encoder(groups, EncoderInfo("eye", InputSpec("toy"), 2))


@pytest.fixture
def inputs() -> torch.Tensor:
    values = torch.zeros(5, 1, 16, 16)
    for example in range(5):
        values[example, 0, 3 * example, 2] = 10.0 + example
    return values


def test_the_strongest_inputs_come_first_with_the_part_that_excites(eye, inputs):
    found = strongest_activations(eye, inputs, "one", units=[0], patches=3)[0]
    assert [(each.example, each.value) for each in found] == [(4, 14.0), (3, 13.0), (2, 12.0)]
    (top, bottom), (left, right) = found[0].box
    assert top <= 12 < bottom
    assert left <= 2 < right
    assert (bottom - top, right - left) <= (3, 3)


def test_a_part_holds_all_that_a_unit_depends_on(eye, inputs):
    found = strongest_activations(eye, inputs, "two", units=[1], patches=1)[1][0]
    (top, bottom), (left, right) = found.box
    patch = torch.zeros_like(inputs[found.example])
    patch[:, top:bottom, left:right] = inputs[found.example][:, top:bottom, left:right]
    with torch.no_grad():
        assert float(eye(patch[None])[0, 1].max()) == pytest.approx(found.value)


@pytest.mark.parametrize("last", [nn.Flatten(), nn.Flatten(start_dim=2)])
def test_units_without_places_or_with_places_in_a_row_have_parts_too(eye, inputs, last):
    eye.groups["three"] = nn.Sequential(nn.AdaptiveMaxPool2d(1), last)
    found = strongest_activations(eye, inputs, "three", units=[0], patches=1)[0][0]
    assert (found.example, found.value) == (4, 14.0)
    assert found.box[0][0] <= 12 < found.box[0][1]


def test_units_that_answer_to_everything_alike_are_not_chosen_first(eye):
    values = torch.ones(20, 1, 16, 16)
    values[7, 0, 5, 5] = 9.0
    with torch.no_grad():
        eye.groups["one"][0].weight[0] = 0.0
        eye.groups["one"][0].weight[0, 0, 0, 0] = 0.1
    assert list(strongest_activations(eye, values, "one", units=1)) == [1]


def test_the_same_units_are_compared_before_and_after(eye, inputs):
    both = compare({"before": eye, "after": eye}, inputs, "one", units=2)
    assert list(both) == ["before", "after"]
    assert both["before"] == both["after"]


def test_filters_and_groups_are_found(eye):
    assert first_filters(eye).shape == (2, 1, 3, 3)
    assert middle_and_late(eye) == ["two"]
    with pytest.raises(SpeechtlError, match=r"no group 'tow' \(did you mean 'two'\?\)"):
        strongest_activations(eye, torch.zeros(1, 1, 8, 8), "tow")


def test_an_encoder_without_convolutions_has_no_filters_to_draw(source):
    with pytest.raises(SpeechtlError, match="no convolution"):
        first_filters(source.encoder)
