import numpy as np
import pytest

from speechtl.audio.augment import active_level
from speechtl.audio.evaluation.streams import AFTER, BETWEEN, Condition, quiet, without_words, words_in_background

RATE = 16_000


@pytest.fixture
def words(recording_of, bursts):
    return [recording_of(bursts((start,), 1.2), (start, start + 0.4)) for start in (0.2, 0.4, 0.6)]


def test_a_word_stands_where_the_passage_says_with_background_before_and_behind(words):
    passages = list(words_in_background(words, Condition(), seed=1))
    assert [passage.recording for passage in passages] == words
    for passage in passages:
        loud = np.flatnonzero(np.abs(passage.samples) > 0.05) / RATE
        assert (loud.min(), loud.max()) == pytest.approx(passage.word, abs=0.002)
        assert passage.word[0] >= 2.0
        assert len(passage.samples) / RATE - passage.word[1] >= AFTER
        assert (passage.samples != 0).all() or np.count_nonzero(passage.samples) > 0.99 * len(passage.samples)


def test_the_same_seed_plays_the_same_stream(words):
    streams = [[passage.samples for passage in words_in_background(words, Condition(), seed)] for seed in (1, 1, 2)]
    assert all(np.array_equal(one, other) for one, other in zip(streams[0], streams[1], strict=True))
    assert not any(np.array_equal(one[:100], other[:100]) for one, other in zip(streams[0], streams[2], strict=True))


def test_noise_stands_at_the_ratio_asked_for(words):
    noise = np.random.default_rng(0).normal(0, 0.02, 5 * RATE).astype(np.float32)
    clean = list(words_in_background(words, Condition(), seed=1))
    noisy = list(words_in_background(words, Condition("noise", 10.0, [noise]), seed=1))
    for one, other, recording in zip(clean, noisy, words, strict=True):
        assert one.word == other.word
        level = np.sqrt(np.mean((other.samples - one.samples).astype(np.float64) ** 2))
        assert 20 * np.log10(active_level(recording.samples()) / level) == pytest.approx(10.0, abs=0.3)


def test_negatives_play_whole_with_a_short_quiet_between(words):
    passages = list(without_words(words, Condition(), seed=1))
    for passage, recording in zip(passages, words, strict=True):
        samples = recording.samples()
        np.testing.assert_array_equal(passage.samples[: len(samples)], samples)
        assert len(passage.samples) - len(samples) == int(BETWEEN * RATE)
        assert passage.word is None


def test_a_quiet_room_is_some_75_db_below_full_scale():
    assert 20 * np.log10(np.std(quiet(RATE, np.random.default_rng(0)))) == pytest.approx(-75, abs=0.5)


@pytest.mark.parametrize("level", [-50.0, -20.0])
def test_speech_arrives_at_the_level_asked_for_while_the_quiet_stays(words, level):
    clean = list(words_in_background(words, Condition(), seed=1))
    for one, plain in zip(words_in_background(words, Condition("level", level_dbfs=level), seed=1), clean, strict=True):
        assert 20 * np.log10(active_level(one.samples)) == pytest.approx(level, abs=0.3)  # frames begin elsewhere
        np.testing.assert_array_equal(one.samples[:RATE], plain.samples[:RATE])
        assert one.word == plain.word


def test_a_level_too_loud_for_the_microphone_is_clipped(words):
    (passage, *_) = words_in_background(words, Condition("level", level_dbfs=-1.0), seed=1)
    assert np.mean(np.abs(passage.samples) > 0.999) > 0.01
    assert np.abs(passage.samples).max() < 1.01


def test_a_line_carries_the_word_with_its_background(words):
    noise = np.full(RATE, 0.1, np.float32)
    condition = Condition("line", 0.0, [noise], channel=lambda samples: samples * 0.5)
    plain = list(words_in_background(words, Condition("noise", 0.0, [noise]), seed=1))
    for one, other in zip(words_in_background(words, condition, seed=1), plain, strict=True):
        np.testing.assert_array_equal(one.samples, other.samples * 0.5)
