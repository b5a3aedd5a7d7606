"""Rounding that makes up for itself: whole levels, less error of the output, the places that a convolution sees."""

import numpy as np
import pytest
import torch

from speechtl.export.rounding import Moments, patches, rounded

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
    ("height", "kernel", "stride", "dilation", "groups", "padded"),
    [
        (6, (3, 1), (1, 1), (1, 1), 1, False),
        (9, (4, 3), (2, 2), (1, 1), 1, False),
        (9, (3, 2), (1, 1), (2, 1), 4, False),
        (5, (1, 3), (1, 1), (1, 1), 1, True),
        (6, (5, 3), (1, 1), (1, 1), 8, True),
    ],
)
def test_patches_are_what_a_convolution_sees(height, kernel, stride, dilation, groups, padded):
    random = np.random.default_rng(1)
    inputs = random.normal(size=(1, height, 10, 8)).astype(np.float32)
    weights = random.normal(size=(16, *kernel, 8 // groups)).astype(np.float32)
    seen = patches(inputs, kernel, stride, dilation, groups, padded=padded)
    answers = np.einsum("pgi,goi->pgo", seen, weights.reshape(groups, 16 // groups, -1)).reshape(len(seen), 16)
    expected = torch.nn.functional.conv2d(
        torch.from_numpy(inputs).permute(0, 3, 1, 2),
        torch.from_numpy(weights).permute(0, 3, 1, 2),
        stride=stride,
        dilation=dilation,
        groups=groups,
        padding="same" if padded else 0,
    )
    assert np.allclose(answers, expected[0].permute(1, 2, 0).reshape(-1, 16).numpy(), atol=1e-4)


def test_moments_are_gathered_over_all_rows():
    rows = np.random.default_rng(2).normal(size=(Moments.ROWS * 2 + 5, 3, 4)).astype(np.float32)
    moments = Moments()
    for part in np.array_split(rows, 40):
        moments.add(part)
    assert np.allclose(moments.sum(), np.einsum("rgi,rgj->gij", rows, rows), rtol=1e-4, atol=1e-2)
