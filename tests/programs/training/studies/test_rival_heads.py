import numpy as np
import pytest
import torch

from speechtl.audio.network.heads import HEADS, make_head
from speechtl.audio.network.model import OfflineEngine, StreamingEngine
from speechtl.audio.recipe import read_recipe
from speechtl.audio.run import load_run


@pytest.fixture
def program(load_program, known_tiny, monkeypatch):
    module = load_program("training/studies/rival_heads")
    monkeypatch.setattr(module, "ENCODER", "tiny")
    yield module
    for kind in module.KINDS:
        HEADS.pop(kind, None)


@pytest.mark.parametrize("kind", ["dense", "self-attention"])
def test_a_score_sees_sixteen_embeddings_and_no_more(program, kind):
    head = make_head(kind, 6, members=1).eval()
    assert head.receptive_field == 16
    embeddings = torch.randn(1, 6, 40, 1)
    scores = head(embeddings)
    assert scores.shape == (1, 1, 25, 1)
    assert torch.allclose(head(embeddings[:, :, 7:23])[0, 0, 0], scores[0, 0, 7], atol=1e-6)
    changed = embeddings.clone()
    changed[:, :, 6] += 1.0
    assert torch.equal((head(changed) - scores).abs()[0, 0, :, 0] > 1e-6, torch.arange(25) <= 6)


def brute_force(take, window):
    """The mean distance along the path with the smallest sum, of all paths from any column to the last one."""
    distances = 1.0 - (take / np.linalg.norm(take, axis=1)[:, None]) @ (window / np.linalg.norm(window, axis=1)[:, None]).T
    found = []

    def walk(row, column, total, steps):
        total, steps = total + distances[row, column], steps + 1
        if row == len(take) - 1 and column == len(window) - 1:
            found.append((total, steps))
        for down, right in ((1, 1), (1, 0), (0, 1)):
            if row + down < len(take) and column + right < len(window) and (row or down):
                walk(row + down, column + right, total, steps)

    for column in range(len(window)):
        walk(0, column, 0.0, 0)
    total, steps = min(found)
    return total / steps


def test_time_warping_finds_the_shortest_of_all_paths_to_the_nearest_take(program):
    random = np.random.default_rng(0)
    takes = [random.normal(size=(rows, 5)).astype(np.float32) for rows in (3, 4)]
    stream = random.normal(size=(9, 5)).astype(np.float32)
    logits = program.TimeWarping([torch.from_numpy(take) for take in takes], window=5)(torch.from_numpy(stream.T)[None, :, :, None])
    expected = [min(brute_force(take, stream[first : first + 5]) for take in takes) for first in range(5)]
    assert logits.shape == (1, 1, 5, 1)
    assert np.allclose(program.MIDDLE - logits[0, 0, :, 0].numpy() / program.SHARPNESS, expected, atol=1e-5)


def test_takes_are_of_as_many_people_as_there_are(program, recording_of):
    from dataclasses import replace

    recordings = [recording_of(np.ones(16_000) * 0.1) for _ in range(5)]
    recordings = [replace(one, clip=replace(one.clip, speaker=who)) for one, who in zip(recordings, "aaabb", strict=True)]
    assert program._of_many_people(recordings, 3) == [recordings[index] for index in (0, 3, 1)]


def test_a_take_is_nearest_to_itself(program, bursts, recording_of):
    samples = bursts((0.5,), 1.5)
    network = program.time_warping([recording_of(samples, (0.5, 0.9))], 1)
    scores = network.score(np.asarray(program.front_end(network.encoder.features).compute(samples)))
    assert scores.max() == pytest.approx(1.0 / (1.0 + np.exp(-program.SHARPNESS * program.MIDDLE)), abs=1e-3)


@pytest.mark.slow
def test_both_heads_are_trained_on_the_same_rounds_and_only_once(program, corpus, monkeypatch):
    runs = program.main([str(corpus / "word.toml"), "--epochs", "2", "--out", str(corpus / "out")])
    assert [run.name for run in runs] == ["burst-dense", "burst-self-attention"]
    rounds = sorted((corpus / "out" / "burst-rounds").glob("round-*.safetensors"))
    assert len(rounds) == 2
    for run in runs:
        network = load_run(run).network
        assert network.head.ensemble.members == 1
        frames = np.random.default_rng(0).normal(0, 3, (200, 32)).astype(np.float32)
        assert np.allclose(OfflineEngine(network).run(frames), StreamingEngine(network).run(frames), atol=1e-5)
    monkeypatch.setattr(program, "OneNetwork", lambda *_: 1 / 0)
    assert program.main([str(corpus / "word.toml"), "--epochs", "2", "--out", str(corpus / "out")]) == runs


def test_fewer_epochs_have_as_many_batches(program, corpus, monkeypatch):
    asked = []

    class StopError(Exception):
        pass

    def stop(recipe, *_):
        asked.append(recipe)
        raise StopError

    monkeypatch.setattr(program, "OneNetwork", stop)
    with pytest.raises(StopError):
        program.train_heads(corpus / "word.toml", corpus / "out", epochs=2)
    usual = read_recipe(corpus / "word.toml").train
    assert (asked[0].train.epochs, asked[0].train.steps) == (2, usual.epochs * usual.steps / 2)
