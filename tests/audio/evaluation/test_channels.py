import numpy as np
import pytest

from speechtl.audio.evaluation.channels import codec, telephone

RATE = 16_000


def chirp(seconds: float = 2.0) -> np.ndarray:
    """A tone from 100 Hz to 7 kHz, in noise that every band of a codec has to keep."""
    times = np.arange(int(seconds * RATE)) / RATE
    noise = np.random.default_rng(0).normal(0, 0.01, len(times))
    return (0.3 * np.sin(2 * np.pi * (100 * times + 6900 / (2 * seconds) * times**2)) + noise).astype(np.float32)


def level(samples: np.ndarray, low: float, high: float) -> float:
    """The power of a band in dB."""
    power = np.abs(np.fft.rfft(samples)) ** 2
    frequencies = np.fft.rfftfreq(len(samples), 1 / RATE)
    return float(10 * np.log10(power[(frequencies >= low) & (frequencies < high)].mean()))


@pytest.mark.parametrize("channel", [telephone, codec])
def test_length_and_times_stay_the_same(channel):
    sound = chirp()[:30_001]
    sent = channel(sound)
    assert (len(sent), sent.dtype) == (30_001, np.float32)
    together = np.fft.irfft(np.fft.rfft(sent, 65_536) * np.fft.rfft(sound, 65_536).conj())
    assert abs((np.argmax(together) + 100) % 65_536 - 100) <= 1
    np.testing.assert_array_equal(channel(sound), sent)


def test_a_telephone_keeps_300_to_3400_hertz_alone():
    sound = chirp()
    sent = telephone(sound)
    assert level(sent, 500, 3000) == pytest.approx(level(sound, 500, 3000), abs=1.0)
    assert level(sent, 0, 150) < level(sound, 100, 200) - 20
    assert level(sent, 4200, 8000) < level(sound, 4200, 8000) - 40


def test_mu_law_distorts_by_some_38_db():
    # A sine in G.711 has a signal-to-distortion ratio of 33 dB or more over the upper 30 dB (ITU-T G.712, figure 10).
    tone = (0.2 * np.sin(2 * np.pi * 1020 * np.arange(RATE) / RATE)).astype(np.float32)
    sent = telephone(tone)[2000:-2000]
    spectrum = np.abs(np.fft.rfft(sent * np.hanning(len(sent)))) ** 2
    peak = int(np.argmax(spectrum))
    tonal = spectrum[peak - 3 : peak + 4].sum()
    assert 30 < 10 * np.log10(tonal / (spectrum.sum() - tonal)) < 45


def test_the_codec_loses_detail_and_keeps_speech_bands():
    sound = chirp()
    sent = codec(sound)
    assert level(sent, 300, 3000) == pytest.approx(level(sound, 300, 3000), abs=1.5)
    error = np.sqrt(np.mean((sent - sound) ** 2) / np.mean(sound**2))
    assert 0.02 < error < 0.9


@pytest.mark.parametrize("channel", [telephone, codec])
def test_short_and_overloaded_sounds_pass(channel):
    for sound in (np.zeros(100, np.float32), np.full(1000, 3.0, np.float32)):
        assert len(channel(sound)) == len(sound)
        assert np.isfinite(channel(sound)).all()
