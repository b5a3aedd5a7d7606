import dataclasses
import itertools

import numpy as np
import pytest
import torch

from speechtl.audio.encoders import build_encoder, load_encoder, silence, speech_embedding, step
from speechtl.errors import RecipeError, WeightsError
from speechtl.runtime.features import LogMel, LogMelSettings

WINDOW = 76  # frames
STRIDE = 8
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def encoder(embedding_path):
    torch.set_num_threads(1)
    return speech_embedding.load(embedding_path).eval()


def frames_of(seconds: float = 2.2) -> np.ndarray:
    """Return log-mel frames of something like a voice: a buzz with a moving resonance, in noise and silence."""
    time = np.arange(round(seconds * 16_000)) / 16_000
    random = np.random.default_rng(0)
    buzz = sum(np.sin(2 * np.pi * 130 * k * time) * np.exp(-(((130 * k - 900 - 600 * np.sin(5 * time)) / 300) ** 2)) for k in range(1, 25))
    sound = 0.1 * buzz * (np.sin(2 * np.pi * 1.5 * time) > 0) + random.normal(0, 0.003, len(time))
    return LogMel().compute(sound.astype(np.float32))


def published(session, windows: np.ndarray) -> np.ndarray:
    return session.run(None, {"input_1": windows[..., None]})[0].reshape(len(windows), 96)


def windows_of(frames: np.ndarray, first: int = 0) -> np.ndarray:
    return np.stack([frames[start : start + WINDOW] for start in range(first, len(frames) - WINDOW + 1, STRIDE)])


@torch.no_grad()
def offline(encoder, frames: np.ndarray) -> np.ndarray:
    return encoder(torch.from_numpy(frames)[None, None])[0, :, :, 0].T.numpy()


def test_it_gives_the_numbers_of_the_published_network(encoder, published_embedding):
    frames = frames_of()
    expected = published(published_embedding, windows_of(frames))
    assert np.abs(expected).max() > 10
    assert np.abs(offline(encoder, frames) - expected).max() < TOLERANCE


@pytest.mark.real
def test_it_gives_the_numbers_of_the_published_network_on_real_speech(encoder, published_embedding, real_clips):
    from speechtl.runtime.sound.files import read_audio

    for clip in [*real_clips("wake_computer", 2), *real_clips("librispeech", 1)]:
        frames = LogMel().compute(read_audio(clip.path, clip.offset, min(clip.duration, 4.0)))
        assert np.abs(offline(encoder, frames) - published(published_embedding, windows_of(frames))).max() < TOLERANCE


@torch.no_grad()
@pytest.mark.parametrize("phase", range(STRIDE))
def test_streaming_from_every_start_gives_the_numbers_of_the_recomputed_window(encoder, published_embedding, phase):
    frames = frames_of(1.6)[phase:]
    layers, states, outputs = list(encoder.groups.values()), None, []
    for start in range(0, len(frames) - STRIDE + 1, STRIDE):
        inputs, new_states = torch.from_numpy(frames[start : start + STRIDE])[None, None], []
        given = None if states is None else iter(states)
        for layer in layers:
            inputs = step(layer, inputs, given, new_states)
        outputs.append(inputs[0, :, 0, 0].numpy())
        states = new_states
    first = STRIDE * -(-WINDOW // STRIDE) - WINDOW  # the first step that ends behind a whole window
    expected = published(published_embedding, windows_of(frames, first))
    assert len(expected) > 5
    assert np.abs(np.stack(outputs[-len(expected) :]) - expected).max() < TOLERANCE


def test_its_size_is_that_of_the_published_network(encoder):
    assert sum(weights.numel() for weights in encoder.parameters()) == 328_128
    assert len(encoder.groups) == 20
    assert encoder.info.embedding_size == 96
    assert encoder(silence(encoder.features, 1, WINDOW)).shape == (1, 96, 1, 1)
    assert encoder(silence(encoder.features, 2, WINDOW + STRIDE)).shape == (2, 96, 2, 1)
    with pytest.raises(RuntimeError):
        encoder(silence(encoder.features, 1, WINDOW - 1))


def test_every_layer_can_learn(encoder):
    encoder.zero_grad()
    encoder(torch.from_numpy(frames_of(1.0))[None, None]).square().mean().backward()
    for name, weights in encoder.named_parameters():
        assert weights.grad is not None, name
        assert weights.grad.abs().max() > 0, name


def test_its_step_is_80_milliseconds(encoder):
    assert encoder.step_seconds == pytest.approx(0.08)
    assert encoder.features == LogMelSettings()


def test_the_name_loads_the_published_weights_and_scratch_does_not(encoder):
    torch.manual_seed(0)
    loaded, scratch = load_encoder("speech-embedding"), load_encoder("scratch")
    for one, other, third in zip(encoder.parameters(), loaded.parameters(), scratch.parameters(), strict=True):
        assert torch.equal(one, other)
        assert one.shape == third.shape
    assert not torch.equal(next(scratch.parameters()), next(loaded.parameters()))


def test_random_weights_let_the_input_through(encoder):
    torch.manual_seed(0)
    with torch.no_grad():
        embeddings = load_encoder("scratch")(torch.randn(4, 1, 120, 32))
    assert 0.1 < float(embeddings.std(dim=(0, 2, 3)).mean()) < 10.0


def test_an_unknown_encoder_suggests_the_nearest():
    with pytest.raises(RecipeError, match="did you mean 'speech-embedding'"):
        build_encoder("speech_embeding")


def test_a_file_with_another_hash_is_refused(tmp_path):
    (tmp_path / "e.onnx").write_bytes(b"not the network")
    with pytest.raises(WeightsError, match=r"not the published speech embedding.*expected 70d164290c1d"):
        speech_embedding.find_weights(tmp_path / "e.onnx")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(WeightsError, match=r"none\.onnx is not a file"):
        speech_embedding.find_weights(tmp_path / "none.onnx")


@pytest.fixture
def nowhere_installed(monkeypatch, tmp_path):
    monkeypatch.setattr(speech_embedding, "CARRIERS", {})
    monkeypatch.setenv("SPEECHTL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_weights_that_cannot_be_had_are_an_error_with_the_pip_command(nowhere_installed, monkeypatch):
    nowhere = dataclasses.replace(speech_embedding.PUBLISHED, url=(nowhere_installed / "none.onnx").as_uri())
    monkeypatch.setattr(speech_embedding, "PUBLISHED", nowhere)
    with pytest.raises(WeightsError, match=r"could not be downloaded.*pip install 'speechtl\[speech-embedding\]'"):
        speech_embedding.find_weights()


def test_weights_nowhere_installed_are_downloaded(nowhere_installed, monkeypatch, embedding_path):
    monkeypatch.setattr(speech_embedding, "PUBLISHED", dataclasses.replace(speech_embedding.PUBLISHED, url=embedding_path.as_uri()))
    found = speech_embedding.find_weights()
    assert found.is_relative_to(nowhere_installed)
    assert found.read_bytes() == embedding_path.read_bytes()


def test_the_layers_are_in_the_order_of_the_paper():
    kernels = [
        next(part.kernel_size for part in layer.modules() if isinstance(part, torch.nn.Conv2d)) for _, layer in speech_embedding.layers()
    ]
    assert kernels == [(3, 3), *itertools.islice(itertools.cycle([(1, 3), (3, 1)]), 18), (3, 1)]
