import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechtl.errors import AudioError, BundleError
from speechtl.runtime.features import (
    LogMel,
    LogMelSettings,
    Waveform,
    WaveformSettings,
    front_end,
    hz_to_mel,
    mel_filters,
    mel_to_hz,
    read_features,
)

RATE = 16_000
SETTINGS = LogMelSettings()


def sound(seconds: float = 2.0, seed: int = 0, level: float = 0.1) -> np.ndarray:
    """Return noise and a rising tone with a stretch of digital silence, exact in int16."""
    time = np.arange(round(seconds * RATE)) / RATE
    samples = np.random.default_rng(seed).normal(0, 0.3, len(time)) + np.sin(2 * np.pi * (200 + 900 * time) * time)
    samples[len(samples) // 2 : len(samples) // 2 + 2000] = 0
    return (np.round(np.clip(samples * level, -1, 1) * 32767) / 32768).astype(np.float32)


def in_chunks(samples: np.ndarray, lengths: list[int]) -> np.ndarray:
    """Feed samples in chunks of these lengths, over and over, and return all frames."""
    log_mel, frames, start, index = LogMel(), [], 0, 0
    while start < len(samples):
        length = lengths[index % len(lengths)]
        frames.append(log_mel.feed(samples[start : start + length]))
        start, index = start + length, index + 1
    return np.concatenate(frames)


SOUND = sound()
FRAMES = LogMel().compute(SOUND)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 4000), min_size=1, max_size=8).filter(lambda lengths: sum(lengths) > 50))
def test_chunks_of_any_length_give_bit_for_bit_the_same_frames(lengths):
    np.testing.assert_array_equal(in_chunks(SOUND, lengths), FRAMES)


@pytest.mark.parametrize("chunk", [1, 7, 159, 160, 161, 511, 512, 513, 1280, 16_000])
def test_usual_and_awkward_chunk_lengths_give_bit_for_bit_the_same_frames(chunk):
    samples = SOUND[:6000]
    np.testing.assert_array_equal(in_chunks(samples, [chunk]), LogMel().compute(samples))


def test_a_long_recording_has_bit_for_bit_the_frames_of_its_parts():
    samples = sound(12.0)  # more frames than are computed at a time
    np.testing.assert_array_equal(in_chunks(samples, [1280]), LogMel().compute(samples))


def test_int16_and_float32_give_bit_for_bit_the_same_frames():
    pcm = np.round(SOUND * 32768).astype(np.int16)
    np.testing.assert_array_equal(LogMel().compute(pcm), FRAMES)


def reference(samples: np.ndarray, floor: float) -> np.ndarray:
    power = librosa.feature.melspectrogram(
        y=samples.astype(np.float64) * 32768.0,
        sr=RATE,
        n_fft=512,
        win_length=400,
        hop_length=160,
        window="hann",
        center=False,
        power=2.0,
        n_mels=32,
        fmin=60.0,
        fmax=3800.0,
        htk=False,
        norm="slaney",
    )
    return librosa.power_to_db(np.maximum(power, floor), ref=1.0, amin=1e-10, top_db=None).T / 10.0 + 2.0


@pytest.mark.parametrize("level", [0.001, 0.1, 1.0])
def test_frames_are_those_of_librosa(level):
    samples = sound(level=level)
    ours = LogMel(LogMelSettings(floor_db=-100.0)).compute(samples)
    theirs = reference(samples, 1e-10)
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() < 1e-4


def test_values_below_the_floor_are_raised_to_it():
    ours = LogMel(LogMelSettings(floor_db=20.0)).compute(sound(level=0.0005))
    theirs = reference(sound(level=0.0005), 100.0)
    assert (theirs == 4.0).any()
    assert (theirs > 4.0).any()
    assert np.abs(ours - theirs).max() < 1e-4


def test_digital_silence_has_the_value_that_the_settings_announce():
    np.testing.assert_allclose(LogMel().compute(np.zeros(2000, np.float32)), SETTINGS.silence, atol=1e-6)


def test_mel_filters_are_those_of_librosa():
    theirs = librosa.filters.mel(sr=RATE, n_fft=512, n_mels=32, fmin=60.0, fmax=3800.0, htk=False, norm="slaney", dtype=np.float64)
    np.testing.assert_allclose(mel_filters(SETTINGS), theirs, atol=1e-12)


def test_the_mel_scale_is_that_of_librosa_in_both_directions():
    hertz = np.linspace(1, 8000, 500)
    np.testing.assert_allclose(hz_to_mel(hertz), librosa.hz_to_mel(hertz), rtol=1e-12)
    np.testing.assert_allclose(mel_to_hz(hz_to_mel(hertz)), hertz, rtol=1e-9)


def test_a_loud_sound_has_the_frames_of_the_published_front_end(published_log_mel):
    noise = np.random.default_rng(1).uniform(-0.5, 0.5, RATE).astype(np.float32)
    published = published_log_mel.run(None, {"input": noise[None] * 32768.0})[0].reshape(-1, 32) / 10.0 + 2.0
    assert published.max() - published.min() < 8.0  # its clip at 80 dB below the maximum leaves everything as it is
    ours = LogMel().compute(noise)
    assert ours.shape == published.shape
    assert np.abs(ours - published).max() < 1e-3


@pytest.mark.real
def test_real_speech_has_the_frames_of_the_published_front_end_above_the_floor(published_log_mel, real_clips):
    from speechtl.runtime.sound.files import read_audio

    for clip in real_clips("wake_computer", 3):
        samples = read_audio(clip.path)
        published = published_log_mel.run(None, {"input": samples[None] * 32768.0})[0].reshape(-1, 32) / 10.0 + 2.0
        ours = LogMel().compute(samples)
        heard = (published > published.max() - 7.9) & (published > SETTINGS.silence)
        assert heard.mean() > 0.2
        assert np.abs(ours - published)[heard].max() < 2e-3


@given(st.integers(0, 100_000))
def test_so_many_frames_come_as_the_settings_announce(samples):
    frames = SETTINGS.frames(samples)
    assert frames == max(0, 1 + (samples - 512) // 160)
    assert frames == 0 or SETTINGS.samples(frames) <= samples < SETTINGS.samples(frames + 1)


@pytest.mark.parametrize("samples", [0, 1, 511, 512, 671, 672, 5000])
def test_computed_frames_are_as_many_as_announced(samples):
    assert LogMel().compute(np.zeros(samples, np.float32)).shape == (SETTINGS.frames(samples), 32)


@pytest.mark.parametrize(
    ("samples", "word"),
    [
        (np.array([0.0, np.nan], np.float32), "NaN"),
        (np.array([0.0, np.inf], np.float32), "infinity"),
        (np.zeros((100, 2), np.float32), "one-dimensional"),
        (np.float32(0.5), "one-dimensional"),
        (np.zeros(100, np.int32), "int32"),
        (np.zeros(100, np.uint8), "uint8"),
    ],
)
def test_samples_of_another_kind_are_refused(samples, word):
    with pytest.raises(AudioError, match=word):
        LogMel().feed(samples)


def test_a_refused_chunk_leaves_the_stream_as_it_was():
    log_mel = LogMel()
    first = log_mel.feed(SOUND[:5000])
    with pytest.raises(AudioError):
        log_mel.feed(np.full(100, np.nan, np.float32))
    np.testing.assert_array_equal(np.concatenate([first, log_mel.feed(SOUND[5000:])]), FRAMES)


def test_a_reset_forgets_the_samples_held_back():
    log_mel = LogMel()
    log_mel.feed(SOUND[:700])
    log_mel.reset()
    np.testing.assert_array_equal(log_mel.feed(SOUND), FRAMES)


def test_a_caller_may_overwrite_its_buffer_after_feeding():
    log_mel, buffer, frames = LogMel(), np.empty(100, np.float32), []
    for start in range(0, 6000, 100):
        buffer[:] = SOUND[start : start + 100]
        frames.append(log_mel.feed(buffer))
    np.testing.assert_array_equal(np.concatenate(frames), LogMel().compute(SOUND[:6000]))


def test_settings_survive_json():
    settings = LogMelSettings(bands=24, low_hz=100.0)
    assert LogMelSettings.from_json(settings.to_json()) == settings


@pytest.mark.parametrize("values", [{"kind": "mfcc"}, {}, {"kind": "log_mel", "colour": "red"}])
def test_features_of_another_kind_are_refused(values):
    with pytest.raises(BundleError):
        LogMelSettings.from_json(values)


def test_more_bands_than_the_spectrum_can_fill_are_refused():
    with pytest.raises(BundleError, match="too many"):
        LogMel(LogMelSettings(bands=200))


SOUND_OF_WAVEFORM = np.random.default_rng(0).integers(-32768, 32767, 5_000).astype(np.int16)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 1500), min_size=1, max_size=8).filter(lambda lengths: sum(lengths) > 50))
def test_chunks_of_any_length_give_the_same_frames(lengths):
    waveform, frames, start, index = Waveform(), [], 0, 0
    while start < len(SOUND_OF_WAVEFORM):
        length = lengths[index % len(lengths)]
        frames.append(waveform.feed(SOUND_OF_WAVEFORM[start : start + length]))
        start, index = start + length, index + 1
    np.testing.assert_array_equal(np.concatenate(frames), Waveform().compute(SOUND_OF_WAVEFORM))


def test_frames_are_the_samples_one_after_the_other():
    frames = Waveform(WaveformSettings(hop=160)).compute(SOUND_OF_WAVEFORM)
    assert frames.shape == (31, 160)
    np.testing.assert_array_equal(frames.ravel() * 32768, SOUND_OF_WAVEFORM[:4960])


def test_frames_and_samples_belong_together():
    features = WaveformSettings()
    assert [features.frames(samples) for samples in (0, 319, 320, 6400)] == [0, 0, 1, 20]
    assert features.samples(20) == 6400
    assert (features.bands, features.silence) == (320, 0.0)


def test_a_reset_forgets_what_was_held_back():
    waveform = Waveform()
    waveform.feed(SOUND_OF_WAVEFORM[:100])
    waveform.reset()
    np.testing.assert_array_equal(waveform.feed(SOUND_OF_WAVEFORM), Waveform().compute(SOUND_OF_WAVEFORM))


def test_what_is_no_sound_is_refused():
    with pytest.raises(AudioError, match="one-dimensional"):
        Waveform().feed(np.zeros((2, 320), np.float32))


@pytest.mark.parametrize("values", [{"sample_rate": 8000}, {"hop": 0}, {"hop": 1.5}, {"hop": 20_000}, {"window": 3}])
def test_settings_that_cannot_be_used_are_refused(values):
    with pytest.raises(BundleError, match="waveform settings"):
        WaveformSettings.from_json({"kind": "waveform", **values})


@pytest.mark.parametrize(("features", "kind"), [(LogMelSettings(bands=20), LogMel), (WaveformSettings(hop=160), Waveform)])
def test_features_are_read_back_and_computed_by_their_front_end(features, kind):
    assert read_features(features.to_json()) == features
    made = front_end(features)
    assert isinstance(made, kind)
    assert made.settings == features


def test_features_of_an_unknown_kind_are_refused():
    with pytest.raises(BundleError, match="kind 'mfcc'; this version of speechtl knows 'log_mel' and 'waveform'"):
        read_features({"kind": "mfcc"})
