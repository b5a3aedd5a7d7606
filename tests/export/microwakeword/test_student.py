import torch

from speechtl.export.microwakeword.features import seconds
from speechtl.export.microwakeword.student import CONTEXT, as_input, folded, step_times


def test_the_folded_layers_compute_what_the_student_does(student, heard):
    flow = as_input(heard)
    for layer in folded(student):
        flow = layer(flow)
    torch.testing.assert_close(flow, student(as_input(heard)), atol=1e-3, rtol=1e-4)


def test_a_score_depends_on_its_context_and_no_other_frame(student, heard):
    frames = as_input(heard[:1]).requires_grad_()
    logits = student(frames)[0, 0, :, 0]
    logits[-1].backward()
    used = frames.grad[0, :, :, 0].abs().sum(dim=0).nonzero().flatten()
    times = step_times(heard.shape[1])
    assert len(times) == len(logits)
    assert used[-1] - used[0] + 1 == CONTEXT
    assert float(times[-1]) == torch.tensor(seconds(int(used[-1]) + 1))


def test_int8_features_are_fed_with_the_value_that_they_stand_for(heard):
    inputs = as_input(heard)
    assert inputs.shape == (4, 40, 200, 1)
    assert inputs.min() == 0.0
    torch.testing.assert_close(inputs[1, 2, 3, 0], torch.tensor((int(heard[1, 3, 2]) + 128) * 26.0 / 255.0))
