"""Several tasks about one recording in one network: the head and the loss that pictures use."""

import math

import numpy as np
import pytest
import torch

from speechtl.runtime.features import LogMel, LogMelSettings
from speechtl.transfer import ExampleBatches, FitSettings, HeadOnly, Task, TaskHead, TaskLoss, attach, fit

RATE = 16_000
NOISES = ("hum", "hiss")
TASKS = (Task("word"), Task("voice"), Task("noise", NOISES))


def recording(word: bool, voice: bool, noise: str, seed: int) -> np.ndarray:
    """One second: a hum or a hiss; with voice a syllable (vowel-like), which for the word glides upward."""
    random = np.random.default_rng(seed)
    time = np.arange(RATE) / RATE
    hum = 0.05 * np.sin(2 * np.pi * random.uniform(90, 140) * time)
    samples = hum if noise == "hum" else random.normal(0, 0.02, RATE)
    if voice:
        start = random.uniform(0.1, 0.4)
        pitch = random.uniform(300, 400) + (900 * (time - start) if word else 0)
        inside = (time > start) & (time < start + 0.45)
        samples = samples + inside * 0.2 * np.sin(2 * np.pi * np.cumsum(pitch) / RATE)
    return samples.astype(np.float32)


@pytest.fixture(scope="module")
def clips():
    """Log-mel frames `(clips, 1, frames, bands)` and their labels; a third of the labels is missing."""
    log_mel = LogMel(LogMelSettings())
    random = np.random.default_rng(1)
    features, labels = [], []
    for seed in range(96):
        voice = bool(seed % 2)
        word, noise = voice and bool(seed // 2 % 2), seed // 4 % 2
        features.append(log_mel.compute(recording(word, voice, NOISES[noise], seed)))
        row = [float(word), float(voice), float(noise)]
        row[random.integers(3)] = math.nan
        labels.append(row)
    return torch.from_numpy(np.stack(features))[:, None], torch.tensor(labels)


@pytest.mark.slow
def test_word_voice_and_noise_type_are_told_by_one_network_from_incomplete_labels(clips, embedding_path):
    from speechtl.audio.encoders.speech_embedding import load

    torch.manual_seed(0)
    features, labels = clips
    encoder = load(embedding_path)
    network = attach(encoder, TaskHead(encoder.info.embedding_size, TASKS))
    policy = HeadOnly()
    batches = ExampleBatches(features[:64], labels[:64], network, policy.frozen_groups(network, 1), batch_size=16)
    batches.measure_embeddings()
    fit(network, batches, TaskLoss(TASKS), policy, FitSettings(epochs=60, learning_rate=1e-2))
    with torch.no_grad():
        word, voice, noise = network.head.scores(network(features[64:]))
    truth = labels[64:]
    for column, answers in enumerate((word[:, 0] > 0.5, voice[:, 0] > 0.5, noise.argmax(dim=1))):
        known = ~torch.isnan(truth[:, column])
        assert (answers[known].float() == truth[known, column]).float().mean() > 0.85, TASKS[column].name
