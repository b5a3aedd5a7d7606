import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from speechtl.audio.encoders import ENCODERS
from speechtl.audio.network.heads import make_head
from speechtl.audio.network.model import WakeWordNetwork
from speechtl.audio.run import Run
from speechtl.errors import SpeechtlError
from speechtl.export.openwakeword import WindowHead, convert
from speechtl.runtime.trigger import smooth
from speechtl.transfer import attach


@pytest.fixture
def run(tiny_run, monkeypatch):
    """A run with a random head on an encoder that stands in for the published one."""
    torch.manual_seed(0)
    build = ENCODERS["scratch"][0]
    encoder = build()
    published = build()
    published.load_state_dict(encoder.state_dict())
    monkeypatch.setitem(ENCODERS, "speech-embedding", (build, lambda: published))
    network = attach(encoder, make_head("conv", 96), WakeWordNetwork)
    network.head.standardize.mean.normal_()
    about = {**tiny_run.about, "name": "word", "phrases": ["my word"], "detector": {"threshold": 0.7, "smoothing": 2, "refractory": 1.0}}
    return Run(tiny_run.folder, about, network.eval())


def test_the_converted_head_gives_the_smoothed_score_of_the_last_sixteen_embeddings(run, tmp_path):
    convert(run, tmp_path, tflite=False)
    session = onnxruntime.InferenceSession(str(tmp_path / "word.onnx"))
    assert session.get_inputs()[0].shape == [1, 16, 96]
    assert session.get_outputs()[0].shape == [1, 1]
    embeddings = torch.randn(1, 96, 40, 1)
    with torch.no_grad():
        logits = run.network.head(embeddings)[0, 0, :, 0]
    expected = smooth(torch.sigmoid(logits).numpy(), 2)
    for last in range(16, 41):
        window = embeddings[0, :, last - 16 : last, 0].T.numpy()[None]
        (score,) = session.run(None, {session.get_inputs()[0].name: np.ascontiguousarray(window)})
        assert score[0, 0] == pytest.approx(expected[last - run.network.head.receptive_field], abs=1e-5)


@pytest.fixture
def no_converter(monkeypatch):
    """Write a placeholder in place of the TFLite graph, whose conversion takes seconds."""
    monkeypatch.setattr("speechtl.export.openwakeword.network_to_tflite", lambda *_: b"TFL3")


def available(folder: Path) -> dict[str, tuple[str, Path, float]]:
    """The words that linux-voice-assistant 1.1.15 finds in a folder, by its rules (linux_voice_assistant/wake_word.py)."""
    found = {}
    for path in folder.glob("*.json"):
        content = json.loads(path.read_text(encoding="utf-8"))
        assert content["type"] in ("micro", "openWakeWord")
        cutoff = content.get(content["type"], {}).get("probability_cutoff", 0.7)
        found[path.stem] = (content["wake_word"], path.parent / content["model"], cutoff)
    return found


def test_linux_voice_assistant_finds_the_word_the_file_and_the_threshold(run, tmp_path, no_converter):
    described = convert(run, tmp_path)
    assert available(tmp_path) == {"word": ("my word", tmp_path / "word.tflite", 0.7)}
    assert described == {
        "type": "openWakeWord",
        "wake_word": "my word",
        "model": "word.tflite",
        "openWakeWord": {"probability_cutoff": 0.7},
    }
    assert (tmp_path / "word.tflite").exists()


def test_without_tflite_linux_voice_assistant_is_promised_nothing(run, tmp_path):
    assert convert(run, tmp_path, tflite=False) is None
    assert [path.name for path in tmp_path.iterdir()] == ["word.onnx"]


def test_a_fine_tuned_encoder_is_refused_with_the_reason(run, tmp_path):
    with torch.no_grad():
        next(run.network.encoder.parameters())[0] += 0.01
    with pytest.raises(SpeechtlError, match=r"was fine-tuned \(1 of its tensors changed.*policy = \"head\""):
        convert(run, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_head_that_hears_more_than_sixteen_embeddings_is_refused_with_both_numbers(run, tmp_path):
    run.about["detector"]["smoothing"] = 11
    with pytest.raises(SpeechtlError, match=r"needs 17 embeddings \(the head 7, smoothing over 11\); openWakeWord keeps 16"):
        convert(run, tmp_path)


def test_another_encoder_is_refused(tiny_run, tmp_path):
    with pytest.raises(SpeechtlError, match="uses the encoder 'tiny'"):
        convert(tiny_run, tmp_path)


def test_the_window_has_room_for_the_head_and_the_smoothing(run):
    assert WindowHead(run).steps == run.network.head.receptive_field + 1
