import numpy as np
import pytest

from speechtl.errors import AudioError
from speechtl.runtime.sound.raw import FORMATS, RawFormat

RATE = 16_000
RANDOM = np.random.default_rng(0)


def voice(level: float, seconds: float = 1.0) -> np.ndarray:
    """Sound whose neighbouring samples are alike, as those of every microphone are."""
    slow = np.convolve(RANDOM.normal(0, 1, round(seconds * RATE) + 7), np.ones(8) / 8, "valid")
    return np.clip(slow / np.abs(slow).max() * level, -1, 1 - 2**-15)


def written(samples: np.ndarray, form: str) -> bytes:
    scale = {"s16": 2**15, "s32": 2**31, "f32": 1}[form]
    return (samples * scale).astype(FORMATS[form]).tobytes()


def told(content: bytes, form: str, channels: int = 1, chunk: int = 2560) -> list[str]:
    notes: list[str] = []
    raw = RawFormat(form, channels, notes.append)
    try:
        for start in range(0, len(content), chunk):
            raw.mono(content[start : start + chunk])
    except AudioError as error:
        notes.append(str(error))
    return notes


@pytest.mark.parametrize("level", [1.0, 0.1, 0.003])
@pytest.mark.parametrize("given", FORMATS)
@pytest.mark.parametrize("form", FORMATS)
def test_samples_of_another_format_than_was_said_are_told_with_theirs(form, given, level):
    notes = told(written(voice(level), given), form)
    if form == given:
        assert notes == []
    else:
        assert len(notes) == 1
        assert f"not {form}" in notes[0]
        assert notes[0].endswith(f"Give --format {given}.")


SILENCE = np.zeros(RATE)
ORDINARY = {
    "silence": SILENCE,
    "a click": np.where(np.arange(RATE) == 99, 0.5, 0.0),
    "the softest noise": RANDOM.integers(-2, 3, RATE) / 2**15,
    "loud white noise": RANDOM.uniform(-1, 0.99, RATE),
    "soft white noise": RANDOM.normal(0, 0.003, RATE),
    "a tone at a quarter of the rate": 0.5 * np.sin(np.arange(RATE) * np.pi / 2 + 0.1),
    "clipped": np.sign(voice(1.0)) * 0.999,
    "an offset": voice(0.01) + 0.48,
}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", ORDINARY)
def test_nothing_is_told_of_ordinary_sound(form, name):
    assert told(written(ORDINARY[name], form), form) == []


@pytest.mark.parametrize("form", FORMATS)
def test_a_dead_channel_is_no_other_format(form):
    for frames in (np.stack([SILENCE, voice(0.2)], axis=1), np.stack([voice(0.2), SILENCE], axis=1)):
        assert told(written(frames, form), form, channels=2) == []


def test_silence_first_only_puts_off_what_is_told():
    content = written(np.concatenate([np.zeros(60 * RATE), voice(0.2)]), "f32")
    assert len(told(content, "s16")) == 1


def test_channels_are_averaged_at_full_scale():
    for form in FORMATS:
        frames = np.stack([voice(0.5), voice(0.1)], axis=1)
        heard = RawFormat(form, 2, pytest.fail).mono(written(frames, form))
        assert heard.dtype == np.float32
        np.testing.assert_allclose(heard, frames.mean(axis=1), atol=1e-4)
