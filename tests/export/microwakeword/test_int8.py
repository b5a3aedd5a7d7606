import numpy as np

from speechtl.export.microwakeword.int8 import LOGIT, quantise
from speechtl.export.microwakeword.student import as_input, folded


def test_integers_stand_for_the_weights_within_half_a_step(student, heard):
    layers = folded(student)
    for layer, integers in zip(layers, quantise(layers, heard), strict=True):
        values = integers.weights * integers.scales[:, None, None]
        assert np.abs(values - layer.weights[..., 0].numpy()).max() <= integers.scales.max() * 0.501
        steps = integers.before.scale * integers.scales
        assert (np.abs(integers.bias * steps - layer.bias.numpy()) <= steps * 0.501 + 1e-6).all()


def test_the_range_of_a_layer_covers_what_was_measured_and_that_of_the_scores_is_fixed(student, heard):
    flow, layers = as_input(heard), folded(student)
    made = quantise(layers, heard)
    for layer, integers in zip(layers, made, strict=True):
        flow = layer(flow)
        low, high = ((limit - integers.after.zero) * integers.after.scale for limit in (-128, 127))
        if layer is layers[-1]:
            np.testing.assert_allclose((low, high), (-LOGIT, LOGIT), atol=integers.after.scale)
        else:
            assert low - integers.after.scale <= flow.min()
            assert flow.max() <= high + integers.after.scale
            assert integers.after.zero == -128 or not integers.relu
    assert [one.before for one in made[1:]] == [one.after for one in made[:-1]]
