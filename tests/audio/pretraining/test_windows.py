from collections import Counter

import numpy as np
import pytest

from speechtl.audio.augment import Augmenter, AugmentSettings
from speechtl.audio.data.manifest import Clip
from speechtl.audio.pretraining.utterances import Utterance
from speechtl.audio.pretraining.windows import LEAD, SECONDS, Renderer, Window, pack
from speechtl.runtime.features import LogMelSettings
from speechtl.runtime.samples import SAMPLE_RATE

FEATURES = LogMelSettings()


class Tone(Utterance):
    """An utterance made of a tone as long as its clip says."""

    def pcm(self):
        return (0.3 * np.sin(0.3 * np.arange(round(self.clip.duration * SAMPLE_RATE)))).astype(np.float32)


def utterances(durations, phones=(1, 2), word=None):
    return [Tone(Clip(f"{index}.wav", duration), phones, word) for index, duration in enumerate(durations)]


class Beep(Utterance):
    """A tone from 0.5 to 1.0 s of 1.5 s."""

    def pcm(self):
        sound = 1e-4 * np.random.default_rng(0).standard_normal(24_000)
        sound[8_000:16_000] += 0.3 * np.sin(0.3 * np.arange(8_000))
        return sound.astype(np.float32)


def renderer(**options):
    settings = AugmentSettings(noise_probability=0.0, room_probability=0.0, **{"speed_probability": 0.0, **options})
    return Renderer(Augmenter([], [], settings), FEATURES, lambda samples: samples[: 5 * 249].reshape(-1, 5), copies=2, on_skip=print)


def test_every_utterance_stands_in_the_windows_as_often_as_asked():
    some = utterances(np.random.default_rng(0).uniform(0.5, 9.0, 60))
    windows = pack(some, lambda one: 2 if one.clip.duration > 5.0 else 1, seed=0, number=0)
    counts = Counter(one.clip.audio_filepath for window in windows for one in window.utterances)
    assert counts == {one.clip.audio_filepath: 2 if one.clip.duration > 5.0 else 1 for one in some}
    assert all(LEAD + sum(one.clip.duration for one in window.utterances) <= SECONDS for window in windows)


def test_windows_depend_on_seed_and_number_alone():
    some = utterances([2.0] * 50)
    order = [one.clip.audio_filepath for window in pack(some, lambda _: 1, 0, 0) for one in window.utterances]
    assert order == [one.clip.audio_filepath for window in pack(some, lambda _: 1, 0, 0) for one in window.utterances]
    assert order != [one.clip.audio_filepath for window in pack(some, lambda _: 1, 0, 1) for one in window.utterances]


def test_speech_that_nobody_wrote_down_stands_in_windows_of_its_own():
    windows = pack(utterances([3.0] * 20) + utterances([3.0] * 20, phones=None), lambda _: 1, 0, 0)
    kinds = {frozenset(one.phones is None for one in window.utterances) for window in windows}
    assert kinds == {frozenset([True]), frozenset([False])}
    assert {window.phones is None for window in windows if window.utterances[0].phones is None} == {True}


def test_a_window_says_the_phones_of_its_utterances_in_order():
    window = Window((*utterances([1.0], (3, 4)), *utterances([1.0], (5,))), (0, 0, 0))
    assert renderer()(window).phones == [3, 4, 5]


def test_the_teacher_hears_the_undisturbed_sound_and_the_guises_differ():
    made = renderer()(Window(tuple(utterances([4.0, 4.0])), (0, 0, 1)))
    features, heard = made.features, made.heard
    frames = FEATURES.frames(int(SECONDS * SAMPLE_RATE))
    assert features.shape == (2, frames, FEATURES.bands)
    assert heard.shape == (249, 5)
    assert np.abs(heard).max() < 0.01  # the quiet before the first utterance
    assert not np.allclose(features[0], features[1])
    again = renderer()(Window(tuple(utterances([4.0, 4.0])), (0, 0, 1)))
    np.testing.assert_array_equal(features, again.features)


def test_an_utterance_that_runs_over_the_end_takes_the_text_with_it():
    slow = renderer(speed=(0.5, 0.5), speed_probability=1.0)
    assert slow(Window(tuple(utterances([12.0])), (0, 0, 2))).phones is None
    assert slow(Window(tuple(utterances([5.0])), (0, 0, 2))).phones == [1, 2]


def test_a_recording_that_cannot_be_read_is_reported_and_its_window_has_no_text(tmp_path):
    reported = []
    broken = Utterance(Clip("broken.wav", 1.0, path=tmp_path / "broken.wav"), (1,))
    made = Renderer(Augmenter([], []), FEATURES, None, 1, reported.append)(Window((broken, *utterances([1.0])), (0, 0, 3)))
    assert made.phones is None
    assert len(reported) == 1
    assert "broken.wav" in reported[0]


@pytest.mark.parametrize("copies", [1, 3])
def test_without_a_teacher_nothing_is_heard(copies):
    made = Renderer(Augmenter([], []), FEATURES, None, copies, print)(Window(tuple(utterances([1.0])), (0, 0, 4)))
    assert len(made.features) == copies
    assert made.heard.size == 0


@pytest.mark.parametrize("speed", [1.0, 0.8])
def test_the_frames_are_told_at_which_words_end(speed):
    beeps = tuple(Beep(Clip(f"{word}.wav", 1.5), (1,), word) for word in (7, None, 9))
    made = renderer(speed=(speed, speed), speed_probability=1.0)(Window(beeps, (0, 0, 5)))
    (first, at), (second, later) = made.words
    assert (first, second) == (7, 9)
    assert at == pytest.approx(100 * (LEAD + 1.0 / speed), abs=4)
    assert 2 * 150 / speed < later - at < 2 * (150 / speed + 45)
    loud = made.features[0].max(axis=1)
    assert loud[at - 10] > loud[at + 10] + 2.0


def test_a_word_that_runs_over_the_end_is_not_asked_for():
    slow = renderer(speed=(0.5, 0.5), speed_probability=1.0)
    assert slow(Window(tuple(utterances([12.0], word=3)), (0, 0, 2))).words == []
