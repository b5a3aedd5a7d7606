import numpy as np
import pytest
import torch

from speechtl.audio.network.heads import HEADS, make_head
from speechtl.audio.network.model import WakeWordNetwork, scorer_of
from speechtl.export.onnx_graph import to_onnx
from speechtl.export.step import ExportStep
from speechtl.runtime.bundle.archive import write_bundle
from speechtl.runtime.bundle.wake_word import open_bundle
from speechtl.runtime.detector import Scorer
from speechtl.transfer import attach

TOLERANCE = 1e-4


def feed(scorer: Scorer, samples: np.ndarray, chunk: int) -> np.ndarray:
    scorer.reset()
    return np.concatenate([scorer.feed(samples[start : start + chunk])[:, 0] for start in range(0, len(samples), chunk)])


def exported(network: WakeWordNetwork, path) -> Scorer:
    step = ExportStep([network])
    graph, states = to_onnx(step), step.states()
    about = {
        "name": "x",
        "phrases": ["x"],
        "sample_rate": 16_000,
        "features": network.encoder.features.to_json(),
        "chunk": {"frames": network.encoder.stride, "silent_steps": network.silent_steps},
        "states": [{"name": state.name, "output": state.output, "shape": state.shape} for state in states],
        "detector": {},
        "graphs": {"model.onnx": {"runtime": "onnx"}},
    }
    write_bundle(path, about, {"model.onnx": graph})
    return Scorer.of(open_bundle(path))


def compare(network: WakeWordNetwork, sound: np.ndarray, path, spread: float) -> None:
    offline = feed(scorer_of(network), sound, len(sound))
    assert np.ptp(offline) > spread
    for scorer in (scorer_of(network), scorer_of(network, streaming=True), exported(network, path)):
        for chunk in (len(sound), 1280, 441):
            scores = feed(scorer, sound, chunk)
            assert scores.shape == offline.shape
            assert np.abs(scores - offline).max() < TOLERANCE


@pytest.mark.parametrize("head", [head if head == "linear" else pytest.param(head, marks=pytest.mark.slow) for head in HEADS])
def test_offline_streaming_and_onnx_give_the_same_scores(bursts, tmp_path, head, tiny):
    compare(tiny(head), bursts((0.4, 1.3), 2.0), tmp_path / "x.wake", 0.5)


@pytest.mark.slow
def test_the_speech_embedding_gives_the_same_scores_offline_streaming_and_as_onnx(bursts, tmp_path, embedding_path):
    from speechtl.audio.encoders import speech_embedding

    torch.manual_seed(0)
    encoder = speech_embedding.load(embedding_path)
    network = attach(encoder, make_head("conv", encoder.info.embedding_size), WakeWordNetwork).eval()
    compare(network, bursts((0.5, 1.5), 2.5), tmp_path / "x.wake", 0.02)


def test_one_minute_blocks_do_not_show_in_the_scores(tiny_network, bursts, monkeypatch):
    sound = bursts((0.4, 1.3), 2.0)
    whole = feed(scorer_of(tiny_network), sound, len(sound))
    monkeypatch.setattr("speechtl.audio.network.model.BLOCK_STEPS", 7)
    np.testing.assert_allclose(feed(scorer_of(tiny_network), sound, len(sound)), whole, atol=1e-6)


def test_a_score_needs_as_many_frames_as_announced(tiny_network):
    assert tiny_network.context_frames == 10
    assert tiny_network.score(np.zeros((9, 32), np.float32)).shape == (0,)
    assert tiny_network.score(np.zeros((10, 32), np.float32)).shape == (1,)
    assert tiny_network.score(np.zeros((14, 32), np.float32)).shape == (2,)


def test_the_times_of_an_examples_scores_are_those_of_the_detector(tiny_network):
    times = tiny_network.step_times(100)
    assert len(times) == len(tiny_network.score(np.zeros((100, 32), np.float32)))
    assert times[0] == pytest.approx(tiny_network.context_seconds) == pytest.approx((9 * 160 + 512) / 16_000)
    assert times[1] - times[0] == pytest.approx(0.04)


def test_a_stream_is_preceded_by_silence(tiny_network):
    scorer = scorer_of(tiny_network)
    scores = scorer.feed(np.zeros(16_000, np.float32))
    assert max(scores) - min(scores) < 1e-6


def test_a_network_in_training_mode_is_scored_without_dropout(bursts, tiny):
    network = tiny("conv")
    sound = bursts((0.4,), 1.0)
    expected = feed(scorer_of(network), sound, 1280)
    scorer = scorer_of(network)
    network.train()
    np.testing.assert_array_equal(feed(scorer, sound, 1280), expected)
