import numpy as np
import pytest
from scipy.signal import fftconvolve, freqz

from speechtl.audio.augment import (
    Augmenter,
    AugmentSettings,
    _with_late_reflections,
    active_level,
    change_speed,
    excerpt,
    in_room,
    mix,
    normalize_room,
    set_level,
    simulate_rooms,
    tilt,
)

RATE = 16_000


def noise(seconds: float = 2.0, seed: int = 0, level: float = 0.1) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, level, round(seconds * RATE)).astype(np.float32)


def rms(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(samples.astype(np.float64) ** 2)))


@pytest.mark.parametrize("snr", [-5.0, 0.0, 10.0, 30.0])
def test_noise_is_mixed_in_at_the_ratio_asked_for(snr):
    speech, background = noise(seed=1), noise(seed=2, level=0.003)
    added = mix(speech, background, snr) - speech
    assert 20 * np.log10(rms(speech) / rms(added)) == pytest.approx(snr, abs=0.2)


def test_pauses_do_not_count_as_speech():
    speech = np.concatenate([np.zeros(RATE, np.float32), noise(1.0), np.zeros(RATE, np.float32)])
    assert active_level(speech) == pytest.approx(0.1, rel=0.05)
    added = mix(speech, noise(3.0, 5), 10.0) - speech
    assert 20 * np.log10(0.1 / rms(added)) == pytest.approx(10.0, abs=0.4)


def test_pauses_do_not_count_as_noise():
    speech = noise(3.0)
    burst = np.concatenate([np.zeros(RATE, np.float32), noise(1.0, seed=3), np.zeros(RATE, np.float32)])
    added = (mix(speech, burst, 10.0) - speech)[RATE : 2 * RATE]
    assert 20 * np.log10(rms(speech) / rms(added)) == pytest.approx(10.0, abs=0.4)


def test_silence_and_missing_noise_are_left_as_they_are():
    speech, silence = noise(), np.zeros(2 * RATE, np.float32)
    np.testing.assert_array_equal(mix(speech, silence, 10.0), speech)
    np.testing.assert_array_equal(mix(silence, speech, 10.0), silence)
    np.testing.assert_array_equal(set_level(silence, -20.0), silence)


def test_a_room_is_a_convolution_of_the_same_length():
    samples, room = noise(0.5), normalize_room(np.exp(-np.arange(3000) / 500) * noise(3000 / RATE, 3))
    np.testing.assert_allclose(in_room(samples, room), fftconvolve(samples, room)[: len(samples)], atol=1e-5)


def test_simulated_rooms_differ_begin_with_the_direct_sound_and_keep_the_energy():
    rooms = simulate_rooms(3, seed=1)
    for room in rooms:
        assert np.sum(room**2) == pytest.approx(1.0, rel=1e-3)
        assert len(room) <= 0.5 * RATE
        assert np.argmax(np.abs(room)) <= 16
    assert len({room.tobytes() for room in rooms}) == 3
    assert [room.tobytes() for room in simulate_rooms(3, seed=1)] == [room.tobytes() for room in rooms]
    assert simulate_rooms(1, seed=2)[0].tobytes() != rooms[0].tobytes()


def test_late_reflections_decay_by_60_db_in_the_reverberation_time():
    response = np.concatenate([[1.0], noise(0.1, 1, level=0.1)])
    late = _with_late_reflections(response, 0.1, 0.6, np.random.default_rng(0))
    np.testing.assert_array_equal(late[:1600], response[:1600])
    levels = [20 * np.log10(rms(late[round(start * RATE) :][:400])) for start in (0.1, 0.3, 0.5)]
    assert levels[0] == pytest.approx(-20.0, abs=2.5)
    assert levels[1] - levels[2] == pytest.approx(20.0, abs=2.0)  # of the low band; the high one is gone by then


def test_some_simulated_rooms_are_heard_for_long():
    late = [float(np.sum(room[1600:] ** 2)) for room in simulate_rooms(20, seed=1)]  # share of the energy after 0.1 s
    assert min(late) < 0.001
    assert max(late) > 0.05


@pytest.mark.parametrize("factor", [0.88, 1.0, 1.14])
def test_speed_changes_length_and_pitch_together(factor):
    time = np.arange(RATE) / RATE
    changed = change_speed(np.sin(2 * np.pi * 1000 * time).astype(np.float32), factor)
    assert len(changed) == pytest.approx(RATE / factor, abs=2)
    spectrum = np.abs(np.fft.rfft(changed * np.hanning(len(changed))))
    assert np.argmax(spectrum) * RATE / len(changed) == pytest.approx(1000 * factor, abs=3)


def test_a_tilt_is_a_slope_over_the_octaves_around_1_khz():
    impulse = np.zeros(4096, np.float32)
    impulse[0] = 1
    hertz, response = freqz(tilt(impulse, 7.0), worN=[500.0, 1000.0, 2000.0, 4000.0], fs=RATE)
    assert 20 * np.log10(np.abs(response)) == pytest.approx(np.log2(hertz / 1000.0), abs=0.05)


def test_the_level_is_the_one_asked_for_and_nothing_exceeds_full_scale():
    assert 20 * np.log10(active_level(set_level(noise(), -30.0))) == pytest.approx(-30.0, abs=0.01)
    assert np.abs(set_level(noise(), -1.0)).max() <= 1.0


@pytest.mark.parametrize("length", [10, 16_000, 50_000])
def test_an_excerpt_is_as_long_as_asked_and_part_of_the_sound(length):
    sound = np.arange(16_000, dtype=np.float32)
    part = excerpt([sound], length, np.random.default_rng(1))
    assert len(part) == length
    np.testing.assert_array_equal(np.unique(np.diff(part) % 16_000), [1.0])


def test_the_same_seed_changes_a_sound_in_the_same_way_and_another_differently():
    augmenter = Augmenter([noise(1.0, 4)], simulate_rooms(2, 0))
    sounds = [augmenter(noise(), np.random.default_rng(seed)) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(sounds[0], sounds[1])
    assert not np.allclose(sounds[0], sounds[2])
    assert all(len(sound) == 2 * RATE and np.isfinite(sound).all() for sound in sounds)


def test_the_original_is_left_as_it_was():
    sound = noise()
    before = sound.copy()
    Augmenter([noise(1.0, 4)], simulate_rooms(1, 0))(sound, np.random.default_rng(0))
    np.testing.assert_array_equal(sound, before)


def test_backgrounds_that_are_drawn_take_the_place_of_noises():
    settings = AugmentSettings(noise_probability=1.0, room_probability=0.0, tilt_db=0.0)
    drawn = noise(2.0, 7)
    augmented = Augmenter([noise(1.0, 4)], [], settings)(noise(), np.random.default_rng(0), lambda length, _: (drawn[:length], -40.0))
    assert np.corrcoef(augmented, drawn)[0, 1] > 0.99


def test_levels_and_speeds_stay_in_the_range_of_the_settings():
    settings = AugmentSettings(level_dbfs=(-40.0, -30.0), speed=(0.9, 1.1), speed_probability=1.0)
    augmenter = Augmenter([noise(1.0, 4)], [], settings)
    random = np.random.default_rng(0)
    for _ in range(20):
        assert -40.1 < 20 * np.log10(active_level(augmenter(noise(0.5), random))) < -29.9
        assert 0.9 <= augmenter.speed(random) <= 1.1


def test_words_are_said_more_slowly_and_faster_than_other_speech():
    augmenter = Augmenter([], [], AugmentSettings(speed=(0.9, 1.1), word_speed=(0.5, 2.0)))
    random = np.random.default_rng(0)
    speeds = np.log([augmenter.word_speed(random) for _ in range(2000)])
    assert np.log(0.45) < speeds.min() < np.log(0.5)
    assert np.log(2.0) < speeds.max() < np.log(2.2)
    assert abs(speeds.mean()) < 0.04
    assert 0.2 < np.mean(speeds == 0.0) < 0.3
