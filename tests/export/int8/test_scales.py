import numpy as np
import pytest

from speechtl.export.int8.scales import weight_scales

LEVELS = 7


@pytest.mark.parametrize("axis", [0, 3])
def test_a_scale_holds_the_largest_weight_of_its_channel_and_is_an_eighth_of_an_octave(axis):
    weights = np.random.default_rng(3).normal(size=(5, 3, 2, 6)).astype(np.float32)
    scales = weight_scales(weights, axis, LEVELS)
    assert scales.shape == tuple(size if place == axis else 1 for place, size in enumerate(weights.shape))
    levels = np.abs(weights / scales).max(axis=tuple({0, 1, 2, 3} - {axis}))
    assert (levels <= LEVELS * (1 + 1e-6)).all()
    assert (levels > LEVELS * 0.91).all()
    np.testing.assert_allclose(8 * np.log2(scales), np.rint(8 * np.log2(scales)), atol=1e-5)


@pytest.mark.parametrize("faint", [0.0, 1e-9])
def test_a_channel_of_hardly_anything_has_a_scale_beside_which_its_bias_fits_into_32_bits(faint):
    weights = np.ones((3, 4), np.float32)
    weights[1] = faint
    scales = weight_scales(weights, 0, LEVELS)
    assert scales[1] > 1e-6
    assert not np.rint(weights[1] / scales[1]).any()


def test_a_layer_of_zeros_has_scales_above_zero():
    assert (weight_scales(np.zeros((2, 3), np.float32), 0, LEVELS) > 0).all()
