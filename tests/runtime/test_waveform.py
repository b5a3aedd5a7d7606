import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechtl.errors import AudioError, BundleError
from speechtl.runtime.waveform import Waveform, WaveformSettings

SOUND = np.random.default_rng(0).integers(-32768, 32767, 5_000).astype(np.int16)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 1500), min_size=1, max_size=8).filter(lambda lengths: sum(lengths) > 50))
def test_chunks_of_any_length_give_the_same_frames(lengths):
    waveform, frames, start, index = Waveform(), [], 0, 0
    while start < len(SOUND):
        length = lengths[index % len(lengths)]
        frames.append(waveform.feed(SOUND[start : start + length]))
        start, index = start + length, index + 1
    np.testing.assert_array_equal(np.concatenate(frames), Waveform().compute(SOUND))


def test_frames_are_the_samples_one_after_the_other():
    frames = Waveform(WaveformSettings(hop=160)).compute(SOUND)
    assert frames.shape == (31, 160)
    np.testing.assert_array_equal(frames.ravel() * 32768, SOUND[:4960])


def test_frames_and_samples_belong_together():
    features = WaveformSettings()
    assert [features.frames(samples) for samples in (0, 319, 320, 6400)] == [0, 0, 1, 20]
    assert features.samples(20) == 6400
    assert (features.bands, features.silence) == (320, 0.0)


def test_a_reset_forgets_what_was_held_back():
    waveform = Waveform()
    waveform.feed(SOUND[:100])
    waveform.reset()
    np.testing.assert_array_equal(waveform.feed(SOUND), Waveform().compute(SOUND))


def test_what_is_no_sound_is_refused():
    with pytest.raises(AudioError, match="one-dimensional"):
        Waveform().feed(np.zeros((2, 320), np.float32))


@pytest.mark.parametrize("values", [{"sample_rate": 8000}, {"hop": 0}, {"hop": 1.5}, {"hop": 20_000}, {"window": 3}])
def test_settings_that_cannot_be_used_are_refused(values):
    with pytest.raises(BundleError, match="waveform settings"):
        WaveformSettings.from_json({"kind": "waveform", **values})
