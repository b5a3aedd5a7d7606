"""Rounding that makes up for itself: whole levels, less error of the output, the places that a convolution sees."""

import numpy as np
import pytest
import torch

from speechtl.export.int8.rounding import Layer, patches, rounded

LEVELS = 7


@pytest.fixture
def layer():
    """Weights `(rows, inputs)`, a scale a row, and inputs `(places, inputs)` of which many move together, far from zero."""
    random = np.random.default_rng(0)
    weights = random.normal(size=(16, 24))
    inputs = random.normal(size=(4000, 6)) @ random.normal(size=(6, 24)) + 0.3 * random.normal(size=(4000, 24)) + 1.0
    return weights, np.abs(weights).max(axis=1) / LEVELS, inputs


def test_every_weight_becomes_a_whole_level(layer):
    weights, scales, inputs = layer
    levels = rounded(weights, scales, inputs.T @ inputs, LEVELS) / scales[:, None]
    assert np.allclose(levels, np.rint(levels))
    assert np.abs(levels).max() <= LEVELS + 1e-9


def test_the_output_moves_by_less_than_half_of_what_nearest_rounding_costs(layer):
    weights, scales, inputs = layer
    nearest = np.rint(weights / scales[:, None]) * scales[:, None]
    made = rounded(weights, scales, inputs.T @ inputs, LEVELS)

    def error(other):
        return np.square(inputs @ (other - weights).T).mean()

    assert error(made) < 0.5 * error(nearest)


def test_inputs_that_never_move_leave_nearest_rounding(layer):
    weights, scales, _ = layer
    made = rounded(weights, scales, np.zeros((24, 24)), LEVELS)
    assert np.allclose(made, np.rint(weights / scales[:, None]) * scales[:, None])


@pytest.mark.parametrize(
    ("height", "kernel", "stride", "dilation", "groups", "padding"),
    [
        (6, (3, 1), (1, 1), (1, 1), 1, ((0, 0), (0, 0))),
        (9, (4, 3), (2, 2), (1, 1), 1, ((0, 0), (0, 0))),
        (9, (3, 2), (1, 1), (2, 1), 4, ((0, 0), (0, 0))),
        (5, (1, 3), (1, 1), (1, 1), 1, ((0, 0), (1, 1))),
        (6, (5, 3), (1, 2), (1, 1), 8, ((2, 1), (0, 1))),
    ],
)
def test_patches_are_what_a_convolution_sees(height, kernel, stride, dilation, groups, padding):
    random = np.random.default_rng(1)
    inputs = random.normal(size=(1, height, 10, 8)).astype(np.float32)
    weights = random.normal(size=(16, *kernel, 8 // groups)).astype(np.float32)
    seen = patches(inputs, kernel, stride, dilation, groups, padding)
    answers = np.einsum("pgi,goi->pgo", seen, weights.reshape(groups, 16 // groups, -1)).reshape(len(seen), 16)
    expected = torch.nn.functional.conv2d(
        torch.nn.functional.pad(torch.from_numpy(inputs).permute(0, 3, 1, 2), (*padding[1], *padding[0])),
        torch.from_numpy(weights).permute(0, 3, 1, 2),
        stride=stride,
        dilation=dilation,
        groups=groups,
    )
    assert np.allclose(answers, expected[0].permute(1, 2, 0).reshape(-1, 16).numpy(), atol=1e-4)


def test_a_layer_rounds_each_group_by_all_that_went_into_it():
    random = np.random.default_rng(2)
    weights = random.normal(size=(3, 2, 4)).astype(np.float32)
    rows = random.normal(size=(Layer.ROWS * 2 + 5, 3, 4)).astype(np.float32) @ random.normal(size=(4, 4)).astype(np.float32)
    layer = Layer(weights, LEVELS)
    for part in np.array_split(rows, 40):
        layer.watch(part)
    expected = [
        rounded(some.astype(np.float64), scales, seen.T.astype(np.float64) @ seen, LEVELS)
        for some, scales, seen in zip(weights, layer.scales, rows.transpose(1, 0, 2), strict=True)
    ]
    assert np.allclose(layer.rounded(), expected, atol=1e-6)


def test_a_scale_holds_the_largest_weight_of_its_channel_and_is_an_eighth_of_an_octave():
    layer = Layer(np.random.default_rng(3).normal(size=(2, 5, 9)).astype(np.float32), LEVELS)
    levels = np.abs(layer._weights).max(axis=2) / layer.scales
    assert (levels <= LEVELS).all()
    assert (levels > LEVELS * 0.91).all()
    assert np.allclose(8 * np.log2(layer.scales), np.rint(8 * np.log2(layer.scales)))


@pytest.mark.parametrize("faint", [0.0, 1e-9])
def test_a_channel_of_hardly_anything_has_a_scale_beside_which_its_bias_fits_into_32_bits(faint):
    weights = np.ones((1, 3, 4), np.float32)
    weights[0, 1] = faint
    layer = Layer(weights, LEVELS)
    assert layer.scales[0, 1] > 1e-6
    assert layer.rounded()[0].tolist() == [[pytest.approx(1.0, rel=0.1)] * 4, [0.0] * 4, [pytest.approx(1.0, rel=0.1)] * 4]
