"""Changed voices keep their pitch and length; accents replace sounds."""

import numpy as np
import pytest

from speechtl.audio.pronunciation import phonemes
from speechtl.audio.spelling.people import ACCENTS, Manner, accented, changed, draw_manner, with_resonances
from speechtl.runtime.samples import SAMPLE_RATE


def vowel(hertz: float, resonance: float) -> np.ndarray:
    """Pulses that ring at a resonance, as those of a voice do."""
    times = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    ring = np.exp(-times[:400] * 300) * np.sin(2 * np.pi * resonance * times[:400])
    pulses = np.zeros(SAMPLE_RATE)
    pulses[:: round(SAMPLE_RATE / hertz)] = 1.0
    return (0.3 * np.convolve(pulses, ring)[:SAMPLE_RATE]).astype(np.float32)


def centre(samples: np.ndarray) -> float:
    power = np.abs(np.fft.rfft(samples)) ** 2
    return float((power * np.fft.rfftfreq(len(samples), 1 / SAMPLE_RATE)).sum() / power.sum())


def pitch(samples: np.ndarray) -> int:
    similar = np.correlate(samples[2000:6000], samples[2000:6000], "full")[4000:]
    return int(similar[40:300].argmax()) + 41


@pytest.mark.parametrize("factor", [0.85, 1.2])
def test_resonances_move_and_the_pitch_stays(factor):
    samples = vowel(125.0, 1200.0)
    moved = with_resonances(samples, factor)
    assert moved.shape == samples.shape
    assert centre(moved) / centre(samples) == pytest.approx(factor, rel=0.1)
    assert abs(pitch(moved) - pitch(samples)) <= 1


def test_an_old_voice_trembles_and_is_breathy_and_as_long_as_before():
    samples = vowel(125.0, 1200.0)
    old = changed(samples, Manner("old", tremor=1.0, breath=1.0), np.random.default_rng(0))
    assert old.shape == samples.shape
    assert old.dtype == np.float32
    loudness = [float(np.std(part)) for part in np.split(old[800:15200], 36)]
    assert max(loudness) / min(loudness) > 1.3
    assert np.array_equal(changed(samples, Manner(), np.random.default_rng(0)), samples)


def test_every_kind_of_people_is_drawn_and_the_same_seed_gives_the_same():
    drawn = [draw_manner(np.random.default_rng(seed)) for seed in range(200)]
    assert {one.person for one in drawn} == {"adult", "child", "old", "deep"}
    assert drawn[7] == draw_manner(np.random.default_rng(7))


def test_an_accent_replaces_what_a_language_lacks():
    said = {accented("/ðə θɪŋ/", "f", np.random.default_rng(seed)) for seed in range(20)}
    assert len(said) > 3
    assert any("z" in one and "s" in one for one in said)
    assert accented("/ðə θɪŋ/", "a", np.random.default_rng(0)) == f"/{''.join(phonemes('/ðə θɪŋ/'))}/"


@pytest.mark.parametrize("language", ACCENTS)
def test_accents_are_made_of_sounds_that_voices_have(language):
    for replaced in ACCENTS[language].values():
        assert replaced == "" or phonemes(f"/a{replaced}/")
