import copy
import threading
import time
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import soundfile
import torch

from speechtl.audio.augment import Augmenter
from speechtl.audio.data.manifest import Clip
from speechtl.audio.recipe import TrainSection
from speechtl.audio.training import batches as module
from speechtl.audio.training.batches import RoundBatches, TensorOnDisk, spec_augment
from speechtl.audio.training.examples import ExampleMaker, Round
from speechtl.audio.training.hours.search import Mined
from speechtl.audio.training.mining import Hard, Moment
from speechtl.errors import RunError
from speechtl.files import size_of
from speechtl.runtime.features import LogMelSettings, WaveformSettings
from speechtl.transfer import HeadOnly


@pytest.fixture(scope="module")
def maker(recording_of, bursts) -> ExampleMaker:
    random = np.random.default_rng(1)
    words = [recording_of(bursts((0.3,), 1.0), (0.3, 0.7)) for _ in range(4)]
    others = [recording_of(random.normal(0, 0.01, 80_000).astype(np.float32)) for _ in range(3)]
    return ExampleMaker(words, others, Augmenter([], []), LogMelSettings(), 0.5, partial=0.0, seed=3)


def batches(maker, network, epochs: int = 1, batch_size: int = 8, **options) -> RoundBatches:
    return RoundBatches(maker, network, 2, TrainSection(epochs=epochs, steps=3, batch_size=batch_size), **options)


def epoch(made: RoundBatches, number: int) -> list[tuple[torch.Tensor, ...]]:
    return [tuple(tensor.clone() for tensor in batch) for batch in made.epoch(number)]


def same(first, second) -> bool:
    return all(
        torch.equal(torch.nan_to_num(one), torch.nan_to_num(other))
        for a, b in zip(first, second, strict=True)
        for one, other in zip(a, b, strict=True)
    )


def test_half_of_every_batch_are_positives(maker, tiny_network):
    for size in (8, 9):
        for inputs, words, folds in batches(maker, tiny_network, batch_size=size).epoch(0):
            assert len(inputs) == len(words) == len(folds) == size
            assert (~torch.isnan(words[:, 0])).sum() == size // 2


def test_an_epoch_depends_on_its_number_alone(maker, tiny_network):
    made = batches(maker, tiny_network)
    epochs = [epoch(made, number) for number in range(3)]
    assert same(epoch(batches(maker, tiny_network), 2), epochs[2])
    assert not same(epochs[0], epochs[1])


def test_the_next_round_is_made_while_an_epoch_is_drawn(maker, tiny_network, monkeypatch):
    expected = [epoch(batches(maker, tiny_network), number) for number in range(2)]
    render, threads = maker.render_positives, []

    def noted(number: int) -> Round:
        threads.append((number, threading.current_thread() is threading.main_thread()))
        return render(number)

    monkeypatch.setattr(maker, "render_positives", noted)
    with batches(maker, tiny_network, epochs=2) as made:
        assert all(same(epoch(made, number), expected[number]) for number in range(2))
    assert threads == [(0, True), (1, False)]


def test_a_round_that_fails_in_the_background_is_an_error(maker, tiny_network, monkeypatch):
    render = maker.render_negatives
    monkeypatch.setattr(maker, "render_negatives", lambda number: render(number) if number == 0 else 1 / 0)
    with batches(maker, tiny_network, epochs=2) as made:
        epoch(made, 0)
        with pytest.raises(ZeroDivisionError):
            epoch(made, 1)


def test_what_the_front_gives_is_kept_on_disk_and_read_back(maker, tiny_network, tmp_path, monkeypatch):
    expected = epoch(batches(maker, tiny_network, folder=tmp_path), 1)
    made = batches(maker, tiny_network, folder=tmp_path)
    for part in ("render_positives", "render_negatives"):
        monkeypatch.setattr(maker, part, lambda number: pytest.fail("a round was rendered again"))
    assert same(epoch(made, 1), expected)


def test_a_round_read_back_has_the_layout_in_memory_of_a_new_one(maker, tiny_network, tmp_path):
    new, again = (batches(maker, tiny_network, folder=tmp_path).round(0)[0] for _ in range(2))
    assert new.stride() == again.stride()  # layers round differently with the layout


def test_negatives_depend_on_no_positive(maker, tiny_network):
    other_words = copy.copy(maker)
    other_words.positives = maker.positives[:2]
    assert same([batches(other_words, tiny_network).negatives(1)], [batches(maker, tiny_network).negatives(1)])


def test_synthesised_negatives_are_rendered_beside_recorded_ones_that_stay_the_same(maker, tiny_network):
    word = maker.negatives[0]
    spoken = replace(word, clip=replace(word.clip, source="synthesised"))
    with_spoken = ExampleMaker(maker.positives, [*maker.negatives, spoken], Augmenter([], []), LogMelSettings(), 0.5, partial=0.0, seed=3)
    assert same([batches(with_spoken, tiny_network).negatives(1)], [batches(maker, tiny_network).negatives(1)])
    sizes = [len(batches(one, tiny_network).round(1)[1]) for one in (maker, with_spoken)]
    assert sizes[0] < sizes[1] <= 2 * sizes[0]
    only = ExampleMaker(maker.positives, [spoken] * 3, Augmenter([], []), LogMelSettings(), 0.5, partial=0.0, seed=3)
    assert len(batches(only, tiny_network).negatives(1)[1]) > 0


def test_a_damaged_round_on_disk_is_rendered_again(maker, tiny_network, tmp_path):
    expected = epoch(batches(maker, tiny_network, folder=tmp_path), 0)
    (tmp_path / "round-000.safetensors").write_bytes(b"half")
    assert same(epoch(batches(maker, tiny_network, folder=tmp_path), 0), expected)


def test_inputs_are_what_the_frozen_front_makes_of_the_features(maker, tiny_network):
    inputs, words, folds = batches(maker, tiny_network).round(0)
    features = RoundBatches(maker, tiny_network, 0, TrainSection(epochs=1, steps=1)).round(0)[0]
    torch.testing.assert_close(inputs.float(), tiny_network.run_first(features, 2), rtol=1e-3, atol=1e-4)  # half precision
    assert len(words) == len(folds) == len(features)


@pytest.mark.parametrize("front", [0, 2])
def test_the_bytes_of_all_rounds_are_known_before_they_are_made(maker, tiny_network, tmp_path, front):
    made = RoundBatches(maker, tiny_network, front, TrainSection(epochs=2, steps=1), folder=tmp_path)
    expected = made.bytes_expected()
    for number in range(2):
        made.round(number)
    assert 0.7 * size_of(tmp_path) < expected < 1.5 * size_of(tmp_path)


def test_rendering_a_round_leaves_the_mode_of_the_layers_that_learn(maker, tiny):
    network = tiny("conv")
    HeadOnly().apply(network)
    made = batches(maker, copy.deepcopy(network))
    made.network = network
    next(made.epoch(0))
    assert all(module.training for module in network.head.modules())
    assert not any(module.training for module in network.encoder.groups.modules())


def test_old_rounds_are_dropped(maker, tiny_network):
    made = batches(maker, tiny_network, rounds_kept=2)
    for number in range(4):
        epoch(made, number)
    assert list(made._rounds) == [2, 3]


def test_masks_cover_few_bands_and_frames_with_the_mean():
    features = np.random.default_rng(0).normal(8, 1, (20, 100, 32)).astype(np.float32)
    masked = spec_augment(Round(features, np.zeros((20, 2), np.float32), np.zeros(20, np.int64)), np.random.default_rng(1))
    assert masked.shape == (20, 1, 100, 32)
    changed = masked[:, 0].numpy() != features
    assert 0 < changed.mean() < 5 / 32 + 8 / 100
    whole_bands, whole_frames = changed.all(axis=1).sum(axis=1), changed.all(axis=2).sum(axis=1)
    assert whole_bands.max() <= 5
    assert whole_frames.max() <= 8
    for index in range(20):
        np.testing.assert_allclose(masked[index, 0].numpy()[changed[index]], features[index].mean(), rtol=1e-5)


def test_masks_leave_the_original_as_it_was():
    features = np.random.default_rng(0).normal(8, 1, (5, 100, 32)).astype(np.float32)
    before = features.copy()
    spec_augment(Round(features, np.zeros((5, 2), np.float32), np.zeros(5, np.int64)), np.random.default_rng(1))
    np.testing.assert_array_equal(features, before)


def test_of_samples_only_moments_are_masked(maker, tiny_network, monkeypatch):
    samples = ExampleMaker(maker.positives, list(maker.by_fold[0]), Augmenter([], []), WaveformSettings(), 0.5, partial=0.0, seed=3)
    made = RoundBatches(samples, tiny_network, 0, TrainSection(epochs=1, steps=1))
    plain, masked = torch.from_numpy(samples.render_positives(0).features)[:, None], made.round(0)[0]
    masked = masked[: len(plain)]
    assert masked.shape == plain.shape == (len(plain), 1, 200, 320)
    changed = (masked != plain).any(dim=3)[:, 0]
    assert 0 < changed.sum(dim=1).max() <= 4  # 80 ms
    assert (masked[:, 0].std(dim=2)[changed] < 1e-6).all()


@pytest.mark.parametrize("front", [0, 2])
def test_of_rounds_on_disk_the_same_batches_are_read(maker, tiny_network, tmp_path, front):
    def made(**options) -> RoundBatches:
        return RoundBatches(maker, tiny_network, front, TrainSection(epochs=2, steps=3, batch_size=8), **options)

    in_memory, on_disk = made(), made(folder=tmp_path)
    for number in range(2):
        expected, got = epoch(in_memory, number), epoch(on_disk, number)
        assert same(got, expected)
        assert [batch[0].stride() for batch in got] == [batch[0].stride() for batch in expected]
    assert all(isinstance(one.rows, TensorOnDisk) for one in on_disk._rounds.values())


def test_a_round_on_disk_that_is_cut_short_during_the_training_is_an_error(maker, tiny_network, tmp_path):
    made = batches(maker, tiny_network, folder=tmp_path)
    drawn = made.epoch(0)
    next(drawn)
    with (tmp_path / "round-000.safetensors").open("r+b") as file:
        file.truncate(3000)
    with pytest.raises(RunError, match="run again with --resume"):
        next(drawn)


def test_masks_do_not_depend_on_how_many_examples_are_masked_at_a_time(maker, tiny_network, monkeypatch):
    expected = batches(maker, tiny_network).round(0)
    monkeypatch.setattr(module, "MASKED_BATCH", 4)
    assert same([batches(maker, tiny_network).round(0)], [expected])


def test_hard_negatives_are_looked_for_once_and_are_in_all_later_rounds_also_when_resumed(maker, tiny_network, tmp_path):
    searches = []

    def mine():
        searches.append(None)
        return lambda stopping: Hard([Moment(1, 2.0), Moment(2, 1.0)])

    (tmp_path / "rounds").mkdir()
    with batches(maker, tiny_network, epochs=5, folder=tmp_path / "rounds", mine=mine) as made:
        plain = batches(maker, tiny_network, epochs=5)
        numbers = []
        for number in range(5):
            list(made.epoch(number))
            numbers.append(len(made.round(number)[0]) - len(plain.round(number)[0]))
    assert made.mined == 2
    assert numbers == [0, 0, 0, 2, 2]
    assert len(searches) == 1
    (tmp_path / "rounds" / "round-004.safetensors").unlink()
    resumed = batches(maker, tiny_network, epochs=5, folder=tmp_path / "rounds", mine=mine)
    assert same([resumed.round(4)], [made.round(4)])
    (tmp_path / "rounds" / "hard.json").unlink()
    (tmp_path / "rounds" / "round-004.safetensors").unlink()
    with pytest.raises(RunError, match=r"hard.json is missing or damaged; start again without --resume"):
        batches(maker, tiny_network, epochs=5, folder=tmp_path / "rounds", mine=mine).round(4)


def test_a_checkpoint_is_written_only_when_the_search_before_it_is_over(maker, tiny_network, tmp_path):
    """`fit` takes no more than the batches of an epoch and writes a checkpoint; what it resumes with must be on disk by then."""

    def find(stopping: threading.Event) -> Hard:
        time.sleep(0.1)
        return Hard([Moment(1, 2.0)])

    with batches(maker, tiny_network, epochs=5, folder=tmp_path, mine=lambda: find) as made:
        list(islice(made.epoch(made.mined), 3))
        assert (tmp_path / "hard.json").is_file()


def test_a_search_learns_that_the_training_stops(maker, tiny_network):
    heard = []
    with batches(maker, tiny_network, epochs=5, mine=lambda: lambda stopping: heard.append(stopping.wait(10.0))) as made:
        next(made.epoch(made.mined))
    assert heard == [True]


def test_what_was_mined_is_in_all_later_rounds_also_when_resumed(maker, tiny_network, tmp_path, bursts):
    soundfile.write(tmp_path / "a.wav", bursts((1.0,), 30.0), 16_000)
    hard = Hard([Moment(1, 2.0)], Mined([(Clip("a.wav", 30.0, path=tmp_path / "a.wav"), 4)], {}))
    (tmp_path / "rounds").mkdir()
    with batches(maker, tiny_network, epochs=3, folder=tmp_path / "rounds", mine=lambda: lambda stopping: hard) as made:
        list(made.epoch(made.mined))
        found = made.round(2)
    windows = int((found[2] == 4).sum())
    assert 8 <= windows <= 10  # of 4 s, half a second of each for the context
    assert len(found[0]) - len(batches(maker, tiny_network, epochs=3).round(2)[0]) == 1 + windows
    (tmp_path / "rounds" / "round-002.safetensors").unlink()
    resumed = batches(maker, tiny_network, epochs=3, folder=tmp_path / "rounds", mine=lambda: lambda stopping: hard)
    assert same([resumed.round(2)], [found])
