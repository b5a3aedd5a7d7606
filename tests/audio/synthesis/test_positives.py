"""Speech synthesis with the real library: voices, single words, and sets for training and testing."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from speechtl.audio.synthesis.base import UnlikelyTakeError
from speechtl.audio.synthesis.espeak import ACCENTS, TIMBRES, find_espeak
from speechtl.audio.synthesis.positives import SyntheticSet, Voice, make_set, mixed_recording, speak, split_voices, voices
from speechtl.audio.synthesis.sentences import PATTERNS, contains_phrase, sentences
from speechtl.errors import AudioError, ManifestError, MissingExtraError, SpeechtlError
from tests.audio.synthesis.tiny_kokoro import tiny_kokoro

pytest.importorskip("espeakng_loader")

PHRASE = "computer"
CONFUSABLES = ["commuter", "pewter"]


def read_manifest(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def files_below(folder: Path) -> dict[str, str]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def small_set(folder: Path, seed: int = 3, **settings: Any) -> SyntheticSet:
    return make_set(folder, [PHRASE], **{"seed": seed, "clips": 16, "negatives_minutes": 0.8, "confusables": CONFUSABLES, **settings})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SyntheticSet:
    return small_set(tmp_path_factory.mktemp("set"))


def test_names_of_voices_are_unique_and_the_first_ones_are_different_people() -> None:
    found = voices()
    assert len({voice.name for voice in found}) == len(found) >= 100
    assert len({voice.person for voice in found[:50]}) == 50
    assert len({voice.accent for voice in found if voice.synthesizer == "espeak"}) >= 7


@pytest.mark.parametrize("accent", ACCENTS)
def test_every_accent_keeps_the_timbre(accent: str) -> None:
    spoken = {speak(PHRASE, Voice("espeak", accent, timbre)).tobytes() for timbre in ("plain", "f1", "m3", "klatt2")}
    assert len(spoken) == 4


def test_a_word_of_twenty_voices_has_a_plausible_length_and_level() -> None:
    spoken = [speak(PHRASE, voice) for voice in voices()[:20]]
    assert all(0.4 < len(samples) / 16_000 < 1.2 for samples in spoken)
    assert all(0.02 < np.abs(samples).max() <= 1.0 for samples in spoken)
    assert all(samples.dtype == np.float32 for samples in spoken)
    assert len({samples.tobytes() for samples in spoken}) == 20


@pytest.mark.parametrize("timbre", ["plain", "f3", "whisper", "klatt2"])
def test_the_same_words_sound_the_same_whatever_was_said_before(timbre: str) -> None:
    voice = Voice("espeak", "en-us", timbre)
    first = speak(PHRASE, voice)
    speak("something else", voice)
    np.testing.assert_array_equal(speak(PHRASE, voice), first)


@pytest.mark.slow
def test_rate_changes_the_length_and_pitch_changes_the_fundamental() -> None:
    voice = Voice("espeak", "en-us", "plain")
    text = "the yellow moon and five sheep are here"
    assert len(speak(text, voice, rate=1.25)) < 0.9 * len(speak(text, voice)) < 0.9 * 0.9 * len(speak(text, voice, rate=0.8))
    assert fundamental(speak(text, voice, pitch=1.3)) / fundamental(speak(text, voice)) == pytest.approx(1.3, abs=0.1)
    assert fundamental(speak(text, voice, pitch=0.85)) / fundamental(speak(text, voice)) == pytest.approx(0.85, abs=0.1)


def fundamental(samples: np.ndarray) -> float:
    """The median pitch, in hertz, of the loudest tenths of a second: where a piece is most like itself a period later."""
    pieces = samples[: len(samples) // 1600 * 1600].reshape(-1, 1600)
    loudest = pieces[np.argsort(-np.mean(pieces**2, axis=1))[: len(pieces) // 2]]
    lags = np.arange(16_000 // 300, 16_000 // 60)
    alike = [[np.corrcoef(piece[lag:], piece[: len(piece) - lag])[0, 1] for lag in lags] for piece in loudest]
    return float(np.median(16_000 / lags[np.argmax(alike, axis=1)]))


@pytest.mark.parametrize("text", ["", "  \n", "...", "\0"])
def test_nothing_to_say_is_an_error(text: str) -> None:
    with pytest.raises(AudioError, match="nothing to say"):
        speak(text, voices()[0])


def test_text_is_spoken_as_text_and_never_as_an_option() -> None:
    assert len(speak("-h --help <b>", voices()[0])) > 8000


def test_a_rate_out_of_limits_is_an_error() -> None:
    with pytest.raises(AudioError, match=r"rate must be between 0\.5 and 2.*got 9"):
        speak(PHRASE, voices()[0], rate=9)


def test_an_unknown_voice_is_an_error() -> None:
    with pytest.raises(AudioError, match="no voice 'en-nowhere"):
        speak(PHRASE, Voice("espeak", "en-nowhere", "f1"))
    with pytest.raises(AudioError, match="espeek"):
        speak(PHRASE, Voice("espeek", "en-us", "f1"))


def test_without_a_synthesiser_the_error_names_the_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    for attempt in (voices, lambda: speak(PHRASE, Voice("espeak", "en-us", "f1"))):
        with pytest.raises(MissingExtraError, match=r"apt install espeak-ng.*pip install 'speechtl\[synthesis\]'"):
            attempt()


@pytest.mark.slow
def test_the_same_seed_gives_the_same_files_and_another_seed_does_not(made: SyntheticSet, tmp_path: Path) -> None:
    small_set(tmp_path / "again")
    assert files_below(tmp_path / "again") == files_below(made.positives.parent)
    other = small_set(tmp_path / "other", seed=4)
    assert {line["sha256"] for line in read_manifest(other.positives)}.isdisjoint(line["sha256"] for line in read_manifest(made.positives))


@pytest.mark.slow
def test_a_set_has_the_recordings_asked_for(made: SyntheticSet) -> None:
    positives, negatives = read_manifest(made.positives), read_manifest(made.negatives)
    assert len(positives) == 16
    assert sum(line["split"] == "test" for line in positives) == 4
    assert 48 <= sum(line["duration"] for line in negatives) < 56
    assert {line["split"] for line in negatives} == {"train", "test"}
    assert {(line["label"], line["text"]) for line in positives} == {(PHRASE, PHRASE)}
    assert {line["label"] for line in negatives} == {"negative"}


def test_lines_describe_their_files(made: SyntheticSet) -> None:
    for manifest in (made.positives, made.negatives):
        for line in read_manifest(manifest):
            path = manifest.parent / line["audio_filepath"]
            info = soundfile.info(path)
            assert (info.format, info.subtype, info.samplerate, info.channels) == ("FLAC", "PCM_16", 16_000, 1)
            assert info.duration == line["duration"]
            assert hashlib.sha256(path.read_bytes()).hexdigest() == line["sha256"]
            assert (line["license"], line["source"]) == ("CC0-1.0", "synthesised")


def test_no_speaker_and_no_timbre_is_in_two_splits(made: SyntheticSet) -> None:
    lines = [*read_manifest(made.positives), *read_manifest(made.negatives)]
    people = {split: {line["speaker"] for line in lines if line["split"] == split} for split in ("train", "test")}
    assert people["train"] | people["test"] <= {voice.person for voice in voices()}
    assert min(len(persons) for persons in people.values()) >= 4
    assert people["train"].isdisjoint(people["test"])


def test_the_limits_of_the_word_hold_its_energy(made: SyntheticSet) -> None:
    for line in read_manifest(made.positives):
        samples, _ = soundfile.read(made.positives.parent / line["audio_filepath"])
        start, end = round(line["word_start"] * 16_000), round(line["word_end"] * 16_000)
        surroundings = np.concatenate([samples[:start], samples[end:]])
        assert np.mean(samples[start:end] ** 2) > 50 * np.mean(surroundings**2)
        assert np.abs(samples[start : start + 800]).max() > 2 * surroundings.std()
        assert 0.4 * 16_000 <= start <= 16_000
        assert 0.4 * 16_000 <= len(samples) - end <= 16_000
        assert surroundings.std() > 0


def test_the_phrase_is_in_no_negative_and_confusables_are_in_some(made: SyntheticSet) -> None:
    texts = [line["text"].lower() for line in read_manifest(made.negatives)]
    assert not any(PHRASE in text for text in texts)
    assert any(confusable in text for text in texts for confusable in CONFUSABLES)


def test_sentences_leave_out_a_phrase_that_the_grammar_would_make() -> None:
    generator = sentences(np.random.default_rng(0), ["the old mill", "Alice"])
    texts = [next(generator) for _ in range(600)]
    assert not any(contains_phrase(text, ["the old mill", "alice"]) for text in texts)
    assert len(set(texts)) > 500
    with pytest.raises(SpeechtlError, match="No sentence without"):
        next(sentences(np.random.default_rng(0), ["e", "a", "i", "o"]))


def test_a_confusable_that_contains_the_phrase_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpeechtlError, match="'computers' cannot be a confusable"):
        small_set(tmp_path, clips=2, confusables=["computers"])


@pytest.mark.slow
def test_an_interrupted_set_goes_on_where_it_stopped(made: SyntheticSet, tmp_path: Path) -> None:
    def stop(fraction: float, what: str) -> None:
        if what == "negatives":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        small_set(tmp_path, progress=stop)
    assert not list(tmp_path.glob("*.jsonl"))
    finished = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.flac")}
    assert len(finished) == 17
    small_set(tmp_path)
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    assert files_below(tmp_path) == files_below(made.positives.parent)


@pytest.mark.slow
def test_progress_rises_to_one(tmp_path: Path) -> None:
    seen: list[float] = []
    make_set(tmp_path, [PHRASE, "hey marvin"], clips=4, negatives_minutes=0.1, progress=lambda fraction, _what: seen.append(fraction))
    assert seen == sorted(seen)
    assert 0 < seen[0] < seen[-1] == 1.0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"phrases": []}, "phrases must be"),
        ({"phrases": ["..."]}, "phrases must be"),
        ({"clips": 1}, "clips must be 2 or more"),
        ({"negatives_minutes": 0}, "negatives_minutes must be above 0"),
        ({"test_share": 1}, "test_share must be"),
        ({"speakers": [Voice("espeak", "en-us", "f1"), Voice("espeak", "en-gb", "f1")]}, "2 or more timbres"),
    ],
)
def test_settings_that_cannot_be_met_are_errors(tmp_path: Path, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(SpeechtlError, match=words):
        make_set(tmp_path, **{"phrases": [PHRASE], **settings})
    assert not list(tmp_path.iterdir())


def test_a_mixed_recording_tells_where_the_test_words_are(made: SyntheticSet) -> None:
    mixed = mixed_recording(made.positives.parent, seconds=30.0, name="../mixed.wav")
    samples, rate = soundfile.read(mixed.path)
    assert (rate, len(samples)) == (16_000, 480_000)
    assert mixed.duration == 30.0
    assert len(mixed.words) >= 2
    tested = {line["speaker"] for line in read_manifest(made.positives) if line["split"] == "test"}
    for word in mixed.words:
        start, end = round(word.start * rate), round(word.end * rate)
        assert np.mean(samples[start:end] ** 2) > 50 * np.mean(samples[start - 4800 : start] ** 2)
        assert word.speaker in tested
        assert word.text == PHRASE
    assert [word.start for word in mixed.words] == sorted(word.start for word in mixed.words)


def test_a_mixed_recording_needs_a_set_and_enough_time(made: SyntheticSet, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="make a set first"):
        mixed_recording(tmp_path)
    with pytest.raises(SpeechtlError, match="too short"):
        mixed_recording(made.positives.parent, seconds=3.0)


def test_lists_name_nothing_twice() -> None:
    for names in (ACCENTS, TIMBRES, PATTERNS):
        assert len(set(names)) == len(names)


def natural(*timbres: str) -> list[Voice]:
    return [Voice("kokoro", "en-us", timbre) for timbre in timbres]


def test_natural_voices_say_every_second_recording_and_no_blend_crosses_the_splits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    peaks = {f"af_{name}": 0.3 for name in ("one", "two", "three", "four", "five", "six")}
    espeak = find_espeak()
    assert espeak is not None
    speakers = [*tiny_kokoro(tmp_path, monkeypatch, peaks=peaks).voices(), *espeak.voices()[:20]]
    lines = read_manifest(small_set(tmp_path / "set", negatives_minutes=0.1, speakers=speakers).positives)
    said = [line["speaker"] for line in lines if line["split"] == "train"]
    assert sum(speaker.startswith("kokoro") for speaker in said) == len(said) / 2
    splits = split_voices({"en": speakers}, 0, 0.25)["en"]
    people = {split: {person for voice in several for person in voice.people} for split, several in splits.items()}
    assert people["train"].isdisjoint(people["test"])
    assert any(len(voice.people) == 2 for voice in splits["train"])


def test_blends_alone_cannot_be_divided() -> None:
    with pytest.raises(SpeechtlError, match="is a blend with one of the other split"):
        make_set("nowhere", [PHRASE], speakers=natural("a_one+a_two:25", "a_two+a_one:25"))


def test_a_take_that_cannot_be_right_is_said_by_another_natural_voice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_kokoro(tmp_path, monkeypatch, peaks={"af_mute": 0.0, "am_mute": 0.0, "af_one": 0.3, "am_one": 0.3})
    settings: dict[str, Any] = {"clips": 4, "negatives_minutes": 0.05, "test_share": 0.5, "seed": 1}
    speakers = natural("af_mute", "af_one", "am_mute", "am_one")
    made = make_set(tmp_path / "set", [PHRASE], speakers=speakers, **settings)
    lines = read_manifest(made.positives)
    assert {line["speaker"] for line in lines} <= {"kokoro:af_one", "kokoro:am_one"}
    before = files_below(tmp_path / "set")
    make_set(tmp_path / "set", [PHRASE], speakers=speakers, **settings)
    assert files_below(tmp_path / "set") == before
    with pytest.raises(UnlikelyTakeError, match="cannot have said"):
        make_set(tmp_path / "mute", [PHRASE], speakers=natural("af_mute", "am_mute"), **settings)


def test_natural_voices_keep_out_of_sets_with_another_language(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_kokoro(tmp_path, monkeypatch)
    lines = read_manifest(make_set(tmp_path / "set", ["\u5c0f\u667a"], clips=2, negatives_minutes=0.2).negatives)
    assert not any(line["speaker"].startswith("kokoro") for line in lines)
