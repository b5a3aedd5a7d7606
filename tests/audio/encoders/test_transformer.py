import copy

import pytest
import torch

from speechtl.audio.encoders import torchaudio_pipelines as pipelines
from speechtl.audio.encoders.transformer import HOP, STEP, WINDOW, LayerSum
from speechtl.transfer import cut

KINDS = ["WAV2VEC2_BASE", "WAV2VEC2_ASR_BASE_960H", "HUBERT_ASR_LARGE", "WAVLM_BASE", "WAVLM_LARGE", "MMS_FA"]


def sound(frames: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(1, 1, frames, HOP, generator=torch.Generator().manual_seed(seed)) * 0.1


@pytest.mark.parametrize("like", KINDS)
@torch.no_grad()
def test_the_parts_in_order_are_the_network_of_torchaudio(tiny_pipeline, like):
    bundle, model = tiny_pipeline(like)
    samples = sound(WINDOW).flatten(1)
    expected, _ = model(torch.nn.functional.layer_norm(samples, samples.shape) if bundle._normalize_waveform else samples)
    parts = pipelines.source("torchaudio:TINY", bundle, copy.deepcopy(model)).eval()
    torch.testing.assert_close(parts(sound(WINDOW))[0], expected)


@torch.no_grad()
def test_an_embedding_is_the_mean_of_the_newest_vectors_of_its_window(tiny_pipeline):
    _, model = tiny_pipeline("HUBERT_BASE")
    encoder = pipelines.load("torchaudio:TINY")
    frames = sound(WINDOW + 3 * STEP)
    embeddings = encoder(frames)
    assert embeddings.shape == (1, 32, 4, 1)
    for step in range(4):
        vectors, _ = model(frames[0, :, step * STEP : step * STEP + WINDOW].flatten(1))
        torch.testing.assert_close(embeddings[0, :, step, 0], vectors[0, -STEP:].mean(dim=0))


@pytest.mark.parametrize("like", ["WAV2VEC2_BASE", "WAVLM_BASE"])
@torch.no_grad()
def test_with_layers_an_embedding_is_the_weighted_mean_of_all_layers(tiny_pipeline, like):
    _, model = tiny_pipeline(like)
    encoder = pipelines.load("torchaudio:TINY+layers")
    assert list(encoder.groups) == ["extractor", "position", "block0", "block1", "block2", "layers"]
    summed = encoder.groups["layers"]
    assert isinstance(summed, LayerSum)
    summed.weights.copy_(torch.tensor([-50.0, 1.0, 2.0, -50.0]))  # behind the position, and behind each of three blocks
    layers, _ = model.extract_features(sound(WINDOW).flatten(1))
    share = torch.softmax(torch.tensor([1.0, 2.0]), dim=0)
    expected = share[0] * layers[0][0, -STEP:].mean(dim=0) + share[1] * layers[1][0, -STEP:].mean(dim=0)
    torch.testing.assert_close(encoder(sound(WINDOW))[0, :, 0, 0], expected)


@torch.no_grad()
def test_other_windows_of_a_batch_change_nothing(tiny_pipeline):
    tiny_pipeline("WAVLM_LARGE")  # which normalises every window by itself
    encoder = pipelines.load("torchaudio:TINY")
    alone = torch.cat([encoder(sound(WINDOW, seed)) for seed in range(3)])
    together = encoder(torch.cat([sound(WINDOW, seed) * (1 + seed) for seed in range(3)]))
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_the_output_layer_of_a_recogniser_is_cut_off_with_its_weights(tiny_pipeline):
    bundle, model = tiny_pipeline("WAV2VEC2_ASR_BASE_960H")
    whole = pipelines.source("torchaudio:TINY", bundle, model)
    assert whole(sound(WINDOW)).shape[-1] == len(bundle.get_labels())
    assert sum(weights.numel() for weights in whole.parameters()) - 29 * 33 == sum(weights.numel() for weights in cut(whole).parameters())


def test_every_weight_but_those_of_the_output_learns(tiny_pipeline):
    tiny_pipeline("WAVLM_BASE")
    encoder = pipelines.load("torchaudio:TINY+layers")
    encoder(sound(WINDOW + STEP)).square().sum().backward()
    assert [name for name, weights in encoder.named_parameters() if weights.grad is None] == []
