"""Kokoro's voices, blends and takes; with a small network of the same inputs, and with the published one where it is at hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from speechtl.audio.synthesis import espeak_process as espeak
from speechtl.audio.synthesis import kokoro_files
from speechtl.audio.synthesis.base import SpokenText, UnlikelyTakeError, Voice
from speechtl.audio.synthesis.kokoro import Kokoro, check_take, find_kokoro
from speechtl.audio.synthesis.speak import missing_synthesizers, speak, speak_many
from speechtl.errors import AudioError, WeightsError
from tests.audio.synthesis.tiny_kokoro import PEAKS, tiny_kokoro

pytest.importorskip("espeakng_loader")

TEXT = "hello"  # həlˈO and a full stop: six tokens


@pytest.fixture
def kokoro(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kokoro:
    return tiny_kokoro(tmp_path, monkeypatch)


def kokoro_voice(timbre: str, accent: str = "en-us") -> Voice:
    return Voice("kokoro", accent, timbre)


def test_every_voice_comes_alone_and_then_with_every_other_one(kokoro: Kokoro) -> None:
    found = kokoro.voices()
    assert len({voice.name for voice in found}) == len(found) == len(PEAKS) ** 2
    assert {voice.timbre for voice in found[: len(PEAKS)]} == set(PEAKS)
    assert {voice.people for voice in found[len(PEAKS) :]} == {
        (f"kokoro:{one}", f"kokoro:{other}") for one in PEAKS for other in PEAKS if one != other
    }
    assert all(voice.person == voice.people[0] for voice in found)


def test_voices_of_english_keep_their_accent_and_others_speak_both(kokoro: Kokoro) -> None:
    accents = {name: {voice.accent for voice in kokoro.voices() if voice.person == f"kokoro:{name}"} for name in PEAKS}
    assert accents["af_one"] == accents["am_two"] == {"en-us"}
    assert accents["bf_three"] == {"en-gb"}
    assert accents["zm_four"] == {"en-us", "en-gb"}
    assert kokoro.voices("cmn") == []


def test_a_blend_is_the_weighted_mean_of_two_styles_for_the_number_of_phonemes(kokoro: Kokoro) -> None:
    samples, _ = kokoro.speak(SpokenText(TEXT, kokoro_voice("af_one+bf_three:25")))
    assert np.abs(samples).max() == pytest.approx((0.75 * 0.2 + 0.25 * 0.6) * (1 + 5 / 10_000), rel=1e-5)


def test_rate_changes_the_speed_and_pitch_the_rate_of_the_samples(kokoro: Kokoro) -> None:
    voice = kokoro_voice("am_two")
    plain, faster, higher = (kokoro.speak(SpokenText(TEXT, voice, *factors)) for factors in ((1.0, 1.0), (1.25, 1.0), (1.0, 1.1)))
    assert (plain[1], higher[1]) == (24_000, 26_400)
    humming = [len(samples) / rate - 4800 / rate for samples, rate in (plain, faster, higher)]
    assert humming == pytest.approx([humming[0], humming[0] / 1.25, humming[0]], rel=1e-3)


def test_an_utterance_sounds_the_same_whatever_is_spoken_with_it(kokoro: Kokoro) -> None:
    wanted = [SpokenText(text, kokoro_voice("af_one", accent)) for text in (TEXT, "two birds, one stone") for accent in ("en-us", "en-gb")]
    for utterance, spoken in zip(wanted, kokoro.speak_many(wanted), strict=True):
        assert not isinstance(spoken, AudioError)
        np.testing.assert_array_equal(kokoro.speak(utterance)[0], spoken[0])


def test_a_bad_text_or_voice_leaves_the_others_alone(kokoro: Kokoro) -> None:
    voice = kokoro_voice("af_one")
    unknown = [kokoro_voice("af_nobody"), kokoro_voice("af_one+af_nobody:30"), kokoro_voice("af_one", "fr"), kokoro_voice("../af_one")]
    wanted = [SpokenText(TEXT, voice), *(SpokenText(TEXT, each) for each in unknown), SpokenText("hello " * 100, voice)]
    spoken = speak_many(kokoro, [*wanted, SpokenText(TEXT, voice)])
    assert [isinstance(each, AudioError) for each in spoken] == [False, True, True, True, True, True, False]
    assert "no voice 'af_nobody'" in str(spoken[1])
    assert "510 phonemes at once" in str(spoken[5])


def test_a_text_on_which_espeak_dies_costs_only_itself(kokoro: Kokoro, tmp_path: Path) -> None:
    script = tmp_path / "espeak.py"
    source = Path(espeak.__file__).read_text(encoding="utf-8")
    script.write_text(
        source.replace("        clauses = []", "        clauses = []\n        if 'crash' in text:\n            sys.exit(139)")
    )
    kokoro._espeak._command[3] = str(script)
    spoken = kokoro.speak_many([SpokenText(text, kokoro_voice("af_one")) for text in ("crash", "hello", "good day", "crash", "good night")])
    assert [isinstance(each, AudioError) for each in spoken] == [True, False, False, True, False]
    assert "exit code 139" in str(spoken[0])


def hum(seconds: float, peak: float = 0.5, silence: float = 0.1) -> np.ndarray:
    sound = peak * np.sin(np.arange(round(24_000 * seconds)) / 20)
    return np.pad(sound, round(24_000 * silence)).astype(np.float32)


@pytest.mark.parametrize(
    ("take", "reason"),
    [
        (hum(0.5, 0.0), "its peak is 0 "),
        (hum(0.5, 3.0), "its peak is 3 "),
        (hum(0.5) * np.float32("nan"), "its peak is nan"),
        (np.zeros(0, np.float32), "its peak is 0 "),
        (hum(0.5)[:-4800], "cut off"),
        (hum(0.5)[4800:], "cut off"),
        (np.ones(100, np.float32), "cut off"),
        (hum(0.1), "0.10 s for 4 phonemes"),
        (hum(2.0), "2.00 s for 4 phonemes"),
    ],
)
def test_takes_that_cannot_be_right_are_told(take: np.ndarray, reason: str) -> None:
    with pytest.raises(UnlikelyTakeError, match=rf"kokoro:af_one cannot have said 'hello': .*{reason}"):
        check_take(take, "həlˈO.", 1.0, SpokenText(TEXT, kokoro_voice("af_one")))


def test_a_plausible_take_passes_at_its_speed() -> None:
    utterance = SpokenText(TEXT, kokoro_voice("af_one"))
    check_take(hum(0.5), "həlˈO.", 1.0, utterance)
    check_take(hum(1.8), "həlˈO.", 0.5, utterance)
    check_take(hum(1.5), "həlˈO, həlˈO.", 1.0, utterance)


def test_a_file_that_is_not_the_published_one_stops_everything(kokoro: Kokoro, tmp_path: Path) -> None:
    (tmp_path / "kokoro-v1.0.int8.onnx").write_bytes(b"half a network")
    with pytest.raises(WeightsError, match="is not the published network of Kokoro"):
        kokoro.speak(SpokenText(TEXT, kokoro_voice("af_one")))


def test_without_its_files_or_the_library_there_is_no_kokoro_and_the_command_to_get_it_is_named(
    kokoro: Kokoro, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_kokoro() is not None
    monkeypatch.setattr("speechtl.audio.synthesis.kokoro.find_espeak", lambda: None)
    assert find_kokoro() is None
    monkeypatch.undo()
    monkeypatch.setenv(kokoro_files.PLACE, str(tmp_path / "elsewhere"))
    assert find_kokoro() is None
    assert f"Kokoro (to get it: {kokoro_files.COMMAND})" in missing_synthesizers()
    with pytest.raises(AudioError, match=r"needs kokoro.*Get it with: python -m speechtl\.audio\.synthesis\.kokoro_files"):
        speak(TEXT, kokoro_voice("af_one"))


@pytest.mark.slow
def test_the_published_network_says_words_in_a_plausible_time() -> None:
    published = find_kokoro()
    if published is None:
        pytest.skip(f"Kokoro's files are not in {kokoro_files.place()} (SPEECHTL_KOKORO names another folder)")
    found = published.voices()
    assert len(found) == 54 * 54
    spoken = speak_many(published, [SpokenText("computer", voice) for voice in found[::700]])
    assert all(not isinstance(samples, AudioError) and 0.4 < len(samples) / 16_000 < 1.5 for samples in spoken)
    assert len({samples.tobytes() for samples in spoken if not isinstance(samples, AudioError)}) == len(spoken)
