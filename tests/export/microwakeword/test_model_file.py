import sys

import numpy as np
import pytest
import torch

from speechtl.errors import CheckFailedError, MissingExtraError
from speechtl.export.microwakeword import model_file
from speechtl.export.microwakeword.student import CONTEXT, STRIDE, as_input

pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed: pip install 'speechtl[tflite]'")


def played(content: bytes, frames: np.ndarray) -> tuple[list[int], dict, dict]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    (given,), (told,) = interpreter.get_input_details(), interpreter.get_output_details()
    scores = []
    for first in range(0, len(frames) - STRIDE + 1, STRIDE):
        interpreter.set_tensor(given["index"], frames[None, first : first + STRIDE])
        interpreter.invoke()
        scores.append(int(interpreter.get_tensor(told["index"])[0, 0]))
    return scores, given, told


def test_step_by_step_it_gives_the_probabilities_that_the_student_gives_at_once(model, student, heard):
    frames = heard[0]
    first = -CONTEXT % STRIDE  # frames that the first score that has all its context does not depend on
    with torch.no_grad():
        expected = torch.sigmoid(student(as_input(frames[None, first : len(frames) // STRIDE * STRIDE])))[0, 0, :, 0].numpy()
    scores, given, told = played(model, frames)
    assert np.ptp(expected) > 0.2
    assert np.abs(np.array(scores[-len(expected) :]) / 256.0 - expected).mean() < 0.03
    assert (given["shape"].tolist(), given["dtype"], given["quantization"]) == ([1, 3, 40], np.int8, (pytest.approx(26 / 255), -128))
    assert (told["shape"].tolist(), told["dtype"], told["quantization"]) == ([1, 1], np.uint8, (1 / 256, 0))


def test_what_is_older_than_the_context_does_not_matter(model, heard):
    silence = np.full((3 * CONTEXT, 40), -128, np.int8)
    begun, _, _ = played(model, heard[1])
    gone_on, _, _ = played(model, np.concatenate([silence, heard[1]]))
    assert gone_on[-1] == begun[-1]
    assert played(model, heard[1])[0] == begun


def test_it_is_small_and_its_constants_are_aligned_for_a_microcontroller(model):
    from ai_edge_litert import schema_py_generated as schema

    read = schema.Model.GetRootAs(bytearray(model))
    buffers = [read.Buffers(index) for index in range(read.BuffersLength())]
    # The field `data` of a buffer is the first of its table, at offset 4.
    starts = [buffer._tab.Vector(buffer._tab.Offset(4)) for buffer in buffers if buffer.DataLength()]
    assert len(starts) > 20
    assert {start % 16 for start in starts} == {0}
    assert len(model) < 60_000


def test_what_esphome_cannot_run_is_refused(model, monkeypatch):
    model_file.check(model)
    monkeypatch.setattr(model_file, "REGISTERED", model_file.REGISTERED - {"LOGISTIC"})
    with pytest.raises(CheckFailedError, match="uses LOGISTIC, which ESPHome does not run"):
        model_file.check(model)
    monkeypatch.setattr(model_file, "REGISTERED", model_file.REGISTERED | {"LOGISTIC"})
    monkeypatch.setattr(model_file, "LARGEST", 50_000)
    with pytest.raises(CheckFailedError, match="at most 50000"):
        model_file.check(model)


def test_without_litert_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ai_edge_litert.tools", None)
    with pytest.raises(MissingExtraError, match=r"speechtl\[microwakeword\]"):
        model_file.utilities()
