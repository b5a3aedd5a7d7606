"""The synthesisers together: each that is on this machine speaks one text and many."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechtl.audio.synthesis.base import SpokenText, Synthesizer, Voice
from speechtl.audio.synthesis.festival_flite import Flite
from speechtl.audio.synthesis.speak import find_synthesizers, speak, speak_many, voices
from speechtl.errors import AudioError

pytest.importorskip("espeakng_loader")

TEXTS = ("seven", "the yellow moon and five sheep are here", "don't go", "b c d")


@pytest.fixture(params=["espeak", "flite", "festival"])
def synthesizer(request: pytest.FixtureRequest) -> Synthesizer:
    for found in find_synthesizers():
        if found.name == request.param:
            return found
    pytest.skip(f"{request.param} is not installed (on Debian and Ubuntu: apt install {request.param})")


def utterances(synthesizer: Synthesizer) -> list[SpokenText]:
    found = synthesizer.voices()
    return [SpokenText(text, found[index % len(found)], 0.9 + 0.1 * index, 1.1) for index, text in enumerate(TEXTS)]


def test_many_texts_are_spoken_as_one_by_one(synthesizer: Synthesizer) -> None:
    wanted = utterances(synthesizer)
    for utterance, spoken in zip(wanted, speak_many(synthesizer, wanted), strict=True):
        assert isinstance(spoken, np.ndarray)
        alone = speak(utterance.text, utterance.voice, rate=utterance.rate, pitch=utterance.pitch)
        assert len(spoken) == pytest.approx(len(alone), rel=0.05)
        assert spoken.dtype == np.float32


def test_the_same_list_gives_the_same_samples(synthesizer: Synthesizer) -> None:
    first, second = (speak_many(synthesizer, utterances(synthesizer)) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_sentence_that_flite_leaves_no_sound_of_does_not_stop_the_others(tmp_path: Path) -> None:
    program = tmp_path / "flite"
    program.write_text('#!/bin/sh\ncase "$*" in *nothing*) exit 0;; esac\nfor file; do :; done\ncp "$(dirname "$0")/sound.wav" "$file"\n')
    program.chmod(0o755)
    soundfile.write(tmp_path / "sound.wav", np.zeros(1600), 16_000)
    voice = Voice("flite", "en-us", "slt")
    spoken = Flite(str(program)).speak_many([SpokenText(text, voice) for text in ("nothing", "some")])
    assert isinstance(spoken[0], AudioError)
    assert "'nothing'" in str(spoken[0])
    assert not isinstance(spoken[1], AudioError)


@pytest.mark.parametrize("name", ["flite:slt", "flite:rms", "festival:slt", "festival:ked"])
def test_rate_and_pitch_are_factors_for_recorded_voices(name: str) -> None:
    voice = next((voice for voice in voices() if voice.name == name), None)
    if voice is None:
        pytest.skip(f"{name} is not installed")
    text = "the yellow moon is here"
    plain = speak(text, voice)
    assert len(plain) / len(speak(text, voice, rate=1.25)) == pytest.approx(1.25, rel=0.08)
    higher = speak(text, voice, pitch=1.2)
    assert len(higher) == pytest.approx(len(plain), rel=0.08)
    assert fundamental(higher) / fundamental(plain) == pytest.approx(1.2, rel=0.08)


def fundamental(samples: np.ndarray) -> float:
    """Return the median, over loud frames of 64 ms, of the frequency (60 to 400 Hz) with the highest autocorrelation."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, 1024)[::512]
    frames = frames[frames.std(axis=1) > 0.5 * samples.std()]
    correlations = np.fft.irfft(np.abs(np.fft.rfft(frames, 2048)) ** 2)[:, 40:267]
    return float(np.median(16_000 / (40 + correlations.argmax(axis=1))))


def test_a_text_is_never_an_option_or_a_program(synthesizer: Synthesizer, capfd: pytest.CaptureFixture[str]) -> None:
    voice = synthesizer.voices()[0]
    for text in ("-h --help <b>", 'say ") (exit) ("', "back \\ slash", "ca\u00f1on \u4f60 sir"):
        assert len(speak(text, voice)) > 4000
    assert capfd.readouterr() == ("", "")


def test_a_sentence_that_fails_leaves_the_others_alone(synthesizer: Synthesizer) -> None:
    wanted = utterances(synthesizer)
    broken = SpokenText("hello", Voice(synthesizer.name, "en-nowhere", "nobody"))
    spoken = speak_many(synthesizer, [wanted[0], broken, broken, *wanted[1:]])
    assert [isinstance(speech, AudioError) for speech in spoken] == [False, True, True, False, False, False]


def test_nothing_to_say_is_an_error_before_anything_is_spoken(synthesizer: Synthesizer) -> None:
    with pytest.raises(AudioError, match="nothing to say"):
        speak_many(synthesizer, [*utterances(synthesizer), SpokenText("...", synthesizer.voices()[0])])


def test_every_person_comes_once_before_any_comes_again() -> None:
    people = [voice.person for voice in voices()]
    assert len(set(people[: len(set(people))])) == len(set(people))
