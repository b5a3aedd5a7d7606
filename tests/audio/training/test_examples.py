import tracemalloc
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechtl.audio.augment import Augmenter, AugmentSettings
from speechtl.audio.data.recordings import Recording
from speechtl.audio.training import examples
from speechtl.audio.training.examples import SECONDS, ExampleMaker, Round, weighed
from speechtl.audio.training.mining import Moment
from speechtl.runtime.features import LogMelSettings, WaveformSettings

RATE = 16_000
CONTEXT = 0.5
UNCHANGED = AugmentSettings(noise_probability=0.0, room_probability=0.0, speed_probability=0.0)


@pytest.fixture
def maker(recording_of, bursts):
    def make(positives: int = 3, negatives: int = 3, augmenter: Augmenter | None = None, folds: int = 1, **options) -> ExampleMaker:
        random = np.random.default_rng(1)
        words = [
            recording_of(bursts((0.3 + 0.1 * index,), 1.2), (0.3 + 0.1 * index, 0.7 + 0.1 * index), index % folds)
            for index in range(positives)
        ]
        others = [
            recording_of(random.normal(0, 0.01, RATE * (3 + index)).astype(np.float32), None, index % folds) for index in range(negatives)
        ]
        return ExampleMaker(words, others, augmenter or Augmenter([], [], UNCHANGED), LogMelSettings(), CONTEXT, **options)

    return make


def rendered(made: ExampleMaker, number: int = 0, **options) -> Round:
    """Return a whole round: its positives, then its negatives."""
    parts = made.render_positives(number, **options), made.render_negatives(number, **options)
    return Round(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("features", "words", "folds")))


def synthesised(recording: Recording) -> Recording:
    return replace(recording, clip=replace(recording.clip, source="synthesised"))


@pytest.mark.parametrize(("real", "share"), [(3, 3 / 13), (10, 0.5), (40, 0.8)])
def test_real_takes_weigh_by_kind_and_not_by_count(recording_of, real, share):
    word = recording_of(np.zeros(RATE, np.float32))
    positives = [*[synthesised(word)] * 60, *[word] * real]
    chosen = weighed(positives, 3, np.random.default_rng(0))
    assert len(chosen) == 3 * len(positives)
    assert sum(place >= 60 for place, _ in chosen) == round(share * len(chosen))
    assert len({number for _, number in chosen}) == len(chosen)
    times = np.bincount([place for place, _ in chosen], minlength=60 + real)
    assert times[60:].max() - times[60:].min() <= 1
    assert times[:60].max() - times[:60].min() <= 1


def test_takes_of_one_kind_come_as_often_as_asked(recording_of):
    word = recording_of(np.zeros(RATE, np.float32))
    for positives in ([word] * 4, [synthesised(word)] * 4):
        assert weighed(positives, 2, np.random.default_rng(0)) == [(index % 4, index) for index in range(8)]


def test_the_same_seed_renders_the_same_round(maker):
    noisy = Augmenter([np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32)], [])
    first, again = rendered(maker(augmenter=noisy, seed=4), 2), rendered(maker(augmenter=noisy, seed=4), 2, workers=1)
    np.testing.assert_array_equal(first.features, again.features)
    np.testing.assert_array_equal(first.words, again.words)


def test_rounds_and_seeds_differ(maker):
    made = maker(seed=4)
    rounds = [rendered(made, 0), rendered(made, 1), rendered(maker(seed=5), 0)]
    assert len({whole.features[:6].tobytes() for whole in rounds}) == 3
    assert len({whole.words[:6].tobytes() for whole in rounds}) == 3


def test_a_round_holds_every_positive_as_often_as_asked_and_windows_of_one_length(maker):
    whole = rendered(maker(positives=3, repeats=4, partial=0.0))
    assert (~np.isnan(whole.words[:, 0])).sum() == 12
    assert whole.features.shape[1:] == (LogMelSettings().frames(int(SECONDS * RATE)), 32)
    assert whole.features.dtype == whole.words.dtype == np.float32
    assert len(whole.features) == len(whole.words) > 12


def test_the_limits_of_a_word_are_where_it_sounds(maker):
    for _, example in zip(range(8), positives_of(maker(positives=1, negatives=0, repeats=8, partial=0.0)), strict=True):
        start, end = example.word
        loud = np.flatnonzero(np.abs(example.samples) > 0.1) / RATE
        assert loud.min() == pytest.approx(start, abs=0.002)
        assert loud.max() == pytest.approx(end, abs=0.002)
        assert CONTEXT < end <= SECONDS - examples.TAIL
        assert len(example.samples) == SECONDS * RATE


def test_limits_follow_a_change_of_speed(maker):
    speeds = {"speed": (1.25, 1.25), "word_speed": (1.0, 1.0), "speed_probability": 1.0}
    fast = Augmenter([], [], AugmentSettings(noise_probability=0, room_probability=0, **speeds))
    for example in positives_of(maker(positives=1, negatives=0, partial=0.0, augmenter=fast)):
        loud = np.flatnonzero(np.abs(example.samples) > 0.1) / RATE
        assert example.word[1] - example.word[0] == pytest.approx(0.4 / 1.25, abs=1e-3)
        assert (loud.min(), loud.max()) == pytest.approx(example.word, abs=0.005)


def positives_of(maker: ExampleMaker) -> list:
    random = np.random.default_rng(0)
    return [maker._positive(recording, random) for recording in maker.positives for _ in range(8)]


def test_a_part_of_the_word_is_an_example_without_the_word(maker):
    made = maker(positives=1, negatives=0, partial=1.0)
    for example in positives_of(made):
        assert example.word is None
        loud = np.flatnonzero(np.abs(example.samples) > 0.1)
        assert 0.25 * 0.4 * RATE < loud.max() - loud.min() < 0.65 * 0.4 * RATE


def tapes(made: ExampleMaker, number: int = 0) -> list:
    random = np.random.default_rng(number)
    return [example for fold, negatives in made.by_fold.items() for example in made._tape(fold, negatives, random)]


@pytest.mark.parametrize("folds", [1, 2])
def test_the_tape_covers_every_negative_sample(maker, folds):
    made = maker(negatives=5, folds=folds)
    for number in range(3):
        heard = np.concatenate([example.samples[int(CONTEXT * RATE) :] for example in tapes(made, number)])
        for samples in (recording.samples() for negatives in made.by_fold.values() for recording in negatives):
            for part in (samples[:500], samples[len(samples) // 2 :][:500], samples[-500:]):
                places = np.flatnonzero(np.abs(heard - part[0]) < 1e-9)
                assert any(np.array_equal(heard[place : place + 500], part) for place in places)


def test_of_a_negative_that_is_longer_than_the_tape_another_part_is_heard_in_every_round(recording_of, monkeypatch):
    monkeypatch.setattr(examples, "TAPE_SECONDS", 20.0)
    long = recording_of(np.arange(1, 100 * RATE + 1, dtype=np.float32) / (200 * RATE))
    made = ExampleMaker([], [long], Augmenter([], [], UNCHANGED), LogMelSettings(), CONTEXT)
    heard = [np.concatenate([example.samples[int(CONTEXT * RATE) :] for example in tapes(made, number)]) for number in range(2)]
    assert all(15.0 * RATE < np.count_nonzero(part) <= 20.0 * RATE for part in heard)
    assert heard[0][0] != heard[1][0]


def test_a_round_that_cannot_hold_all_negatives_has_a_share_of_every_kind(recording_of, monkeypatch):
    monkeypatch.setattr(examples, "TAPE_SECONDS", 40.0)

    def of(kind: str, level: float) -> Recording:
        recording = recording_of(np.full(10 * RATE, level, np.float32))
        return replace(recording, clip=replace(recording.clip, manifest=Path(kind)))

    made = ExampleMaker([], [of("a", 0.01)] * 90 + [of("b", 0.03)] * 10, Augmenter([], [], UNCHANGED), LogMelSettings(), CONTEXT)
    heard = np.concatenate([example.samples[int(CONTEXT * RATE) :] for example in tapes(made)])
    seconds = [np.isclose(heard, level, atol=1e-4).sum() / RATE for level in (0.01, 0.03)]
    assert seconds == pytest.approx([30.0, 10.0], abs=0.1)


@pytest.mark.parametrize("seconds", [0.2, 5.0, 9.9])
def test_a_hard_moment_is_heard_where_it_can_be_scored(recording_of, seconds):
    samples = np.zeros(10 * RATE, np.float32)
    samples[int(seconds * RATE)] = 0.9
    fast = AugmentSettings(noise_probability=0.0, room_probability=0.0)
    made = ExampleMaker([], [recording_of(samples, None, 2)], Augmenter([], [], fast), LogMelSettings(), CONTEXT)
    for seed in range(20):
        example = made._around(Moment(0, seconds), np.random.default_rng(seed))
        assert example.fold == 2
        assert len(example.samples) == made.length
        assert CONTEXT < np.argmax(np.abs(example.samples)) / RATE < SECONDS
    assert len(made.render_hard(0, [Moment(0, seconds)] * 3).features) == 3


def test_a_single_short_negative_is_a_window(recording_of):
    short = recording_of(np.full(RATE, 0.01, np.float32))
    made = ExampleMaker([], [short], Augmenter([], [], UNCHANGED), LogMelSettings(), CONTEXT)
    assert sum(np.count_nonzero(example.samples) for example in tapes(made)) >= RATE


def test_windows_overlap_by_what_the_network_needs_to_see(maker):
    windows = [example.samples for example in tapes(maker(negatives=5))]
    context = int(CONTEXT * RATE)
    assert len(windows) > 3
    for one, other in pairwise(windows):
        assert len(one) == len(other) == SECONDS * RATE
        np.testing.assert_array_equal(one[-context:], other[:context])
    assert not windows[0][:context].any()


def test_no_example_mixes_folds(recording_of):
    """Every fold sounds at a level of its own."""
    levels = {0: 0.01, 1: 0.03, 2: 0.09}
    words = [recording_of(np.full(RATE, level, np.float32), (0.2, 0.8), fold) for fold, level in levels.items()]
    others = [recording_of(np.full(2 * RATE, level, np.float32), None, fold) for fold, level in levels.items() for _ in range(3)]
    made = ExampleMaker(words, others, Augmenter([], [], UNCHANGED), LogMelSettings(), CONTEXT, partial=0.0)
    for example in [*positives_of(made), *tapes(made)]:
        heard = set(np.round(np.unique(example.samples[example.samples > 0.005]), 2))
        assert heard <= {np.float32(levels[example.fold]).round(2)}


def test_talk_behind_an_example_is_of_its_fold(recording_of):
    """Words are silent here; the talk of each fold has a frequency of its own, and nothing else is heard."""
    words = [recording_of(np.full(RATE, 1e-4, np.float32), (0.2, 0.8), fold) for fold in (0, 1)]
    time = np.arange(6 * RATE) / RATE
    others = [recording_of(0.1 * np.sin(2 * np.pi * hertz * time).astype(np.float32), None, fold) for fold, hertz in enumerate((500, 3000))]
    always = AugmentSettings(noise_probability=1.0, room_probability=0.0, speed_probability=0.0)
    made = ExampleMaker(words, others, Augmenter([], [], always), LogMelSettings(), CONTEXT, repeats=4, partial=0.0)
    made._background = lambda *_: np.zeros(made.length, np.float32)
    whole = made.render_positives(0)
    loudest = whole.features.mean(axis=1).argmax(axis=1)
    assert set(loudest[whole.folds == 0]).isdisjoint(loudest[whole.folds == 1])


def test_a_round_tells_the_fold_of_every_example(maker):
    whole = rendered(maker(positives=4, negatives=4, folds=2, repeats=1))
    assert whole.folds[:4].tolist() == [0, 1, 0, 1]
    assert set(whole.folds[4:]) == {0, 1}
    assert len(whole.folds) == len(whole.features)


def test_examples_are_longer_where_one_score_needs_nearly_all_of_their_length(recording_of, bursts):
    word = recording_of(bursts((0.3,), 1.2), (0.3, 0.7))
    made = ExampleMaker([word], [], Augmenter([], [], UNCHANGED), WaveformSettings(), 3.4, partial=0.0, repeats=20)
    whole = made.render_positives(0)
    assert made.seconds == pytest.approx(4.9)
    assert whole.features.shape[1:] == (245, 320)
    ends = whole.words[~np.isnan(whole.words[:, 0]), 1]
    assert ends.min() > 3.4
    assert ends.max() <= 4.9 - examples.TAIL


@settings(max_examples=40, deadline=None)
@given(
    word=st.floats(0.05, 12.0) | st.floats(12.0, 30.0),
    before=st.floats(0.0, 5.0),
    after=st.floats(-0.1, 5.0),  # a manifest's limits may end a little behind the sound
    speed=st.floats(0.7 * 0.88, 1.15 * 1.14),
    context=st.floats(0.1, 6.0),
    partial=st.booleans(),
    seed=st.integers(0, 100),
)
def test_a_word_of_any_length_at_any_speed_gives_an_example(recording_of, word, before, after, speed, context, partial, seed):
    samples = np.zeros(max(int((before + word + after) * RATE), 1), np.float32)
    samples[int(before * RATE) : int((before + word) * RATE)] = 0.5
    options = {"speed": (1.0, 1.0), "word_speed": (speed, speed), "noise_probability": 0.0, "room_probability": 0.0}
    augmenter = Augmenter([], [], AugmentSettings(**options, speed_probability=1.0))
    recording = recording_of(samples, (before, before + word))
    made = ExampleMaker([recording], [], augmenter, LogMelSettings(), context, partial=float(partial), seed=seed)
    example = made._positive(recording, np.random.default_rng(seed))
    assert len(example.samples) == made.length
    loud = np.flatnonzero(np.abs(example.samples) > 0.25) / RATE
    if partial:
        assert example.word is None
        assert len(loud) / RATE < 0.65 * word / speed + 0.01
    else:
        start, end = example.word
        assert context < end <= made.seconds - examples.TAIL
        assert end - start == pytest.approx(word / speed, abs=1e-3)
        assert (loud.min(), loud.max()) == pytest.approx((max(start, 0.0), end), abs=0.11 if after < 0 else 0.005)


def test_words_that_are_longer_than_an_example_train_like_others(recording_of):
    long = recording_of(np.full(12 * RATE, 0.1, np.float32), (0.5, 11.5))
    made = ExampleMaker([long], [], Augmenter([], []), LogMelSettings(), CONTEXT, repeats=40)
    whole = made.render_positives(0)
    assert np.isfinite(whole.features).all()
    assert 0 < np.isnan(whole.words[:, 0]).sum() < 20


def test_a_round_holds_a_bounded_number_of_positives_others_in_every_round(maker, monkeypatch):
    every = maker(positives=3, repeats=8, partial=0.0).render_positives(0)
    monkeypatch.setattr(examples, "MOST_POSITIVES", 10)
    made = maker(positives=3, repeats=8, partial=0.0)
    rounds = [made.render_positives(number) for number in range(2)]
    assert [len(one.features) for one in rounds] == [10, 10]
    known = {one.tobytes(): index for index, one in enumerate(every.features)}
    drawn = [known[one.tobytes()] for one in rounds[0].features]  # each is the example that it is where nothing is left out
    assert drawn == sorted(drawn)
    assert len({index % 3 for index in drawn}) == 3
    assert not np.array_equal(rounds[0].words, rounds[1].words)


def test_a_round_keeps_features_alone(recording_of, bursts):
    words = [recording_of(bursts((0.3,), 1.2), (0.3, 0.7))] * 100
    made = ExampleMaker(words, [], Augmenter([], [], UNCHANGED), LogMelSettings(), CONTEXT)
    tracemalloc.start()
    try:
        whole = made.render_positives(0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    samples = len(whole.features) * int(SECONDS * RATE) * 4
    assert peak < whole.features.nbytes + samples / 4
