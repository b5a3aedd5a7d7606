"""Takes of a phrase by many people."""

import json

import numpy as np
import pytest
import soundfile

from speechtl.audio.spelling import takes
from speechtl.audio.spelling.people import Manner
from speechtl.audio.spelling.takes import Set, Take, make_takes, plan_takes
from speechtl.audio.synthesis.base import UnlikelyTakeError, Voice
from speechtl.audio.synthesis.espeak import find_espeak
from speechtl.errors import AudioError

pytest.importorskip("espeakng_loader")


@pytest.fixture(autouse=True)
def only_espeak(monkeypatch):
    """The voices of one synthesiser, whatever is installed."""
    espeak = find_espeak()
    monkeypatch.setattr(takes, "find_synthesizers", lambda: [espeak])
    monkeypatch.setattr(takes, "voices", espeak.voices)
    return espeak


def test_takes_are_by_many_people_in_many_manners_and_have_their_limits(tmp_path):
    lines = make_takes(tmp_path, Set(["marvin"], 12, seed=1), "speaking")
    assert len({line["speaker"] for line in lines}) == 12
    assert len({line["person"] for line in lines}) > 1
    for line in lines:
        samples, rate = soundfile.read(tmp_path / line["audio_filepath"])
        assert rate == 16_000
        assert line["duration"] == len(samples) / rate
        loud = np.flatnonzero(np.abs(samples) > 0.3 * np.abs(samples).max())
        assert line["word_start"] < line["word_end"] <= line["duration"]
        assert loud[0] / rate >= 0.25  # there is quiet before it
        assert (line["source"], line["license"], line["text"], line["split"]) == ("synthesised", "CC0-1.0", "marvin", "train")


def test_a_second_call_speaks_nothing_again(tmp_path, monkeypatch):
    wanted = Set(["marvin", "/mɑːvɪn/"], 4)
    first = make_takes(tmp_path, wanted, "speaking")
    monkeypatch.setattr(takes, "speak_all", lambda *_: pytest.fail("spoken again"))
    assert make_takes(tmp_path, wanted, "speaking") == first


def test_test_takes_are_by_people_who_speak_in_no_other():
    plan = list(plan_takes(Set(["marvin"], 60, test=12)))
    train, test = ({take.voice.person for take in plan if take.split == split} for split in ("train", "test"))
    assert [take.split for take in plan] == ["train"] * 48 + ["test"] * 12
    assert not train & test


def test_words_around_the_phrase_do_not_count_as_the_phrase(tmp_path):
    voice = Voice("espeak", "en-us", "plain")
    alone, among = (
        Take("marvin", "marvin", voice, Manner(), before, after, (0, 1), "train") for before, after in (("", ""), ("um", "stop"))
    )
    lines = [takes._made(tmp_path, [take], None)[0][0] for take in (alone, among)]
    lengths = [line["word_end"] - line["word_start"] for line in lines]
    assert lengths[0] == pytest.approx(lengths[1], abs=0.02)
    assert lines[1]["duration"] > lines[0]["duration"] + 0.4
    assert lines[1]["word_start"] > 0.4


def test_a_bad_take_goes_to_another_voice_and_one_that_fails_is_left_out(tmp_path, monkeypatch):
    spoken = takes.speak_all
    asked = []

    def speak(utterances, synthesizers):
        asked.extend(utterance.voice for utterance in utterances)
        answers = dict(spoken(utterances, synthesizers))
        if len(asked) == 3:
            answers[0], answers[1] = UnlikelyTakeError("cut off"), AudioError("no")
        return answers

    monkeypatch.setattr(takes, "speak_all", speak)
    lines = make_takes(tmp_path, Set(["marvin"], 3, alone=True), "speaking")
    assert len(lines) == 2
    assert asked[3] != asked[0]
    monkeypatch.setattr(takes, "speak_all", lambda utterances, _: dict.fromkeys(range(len(utterances)), AudioError("It failed.")))
    with pytest.raises(AudioError, match="No voice could say 'other': It failed"):
        make_takes(tmp_path, Set(["other"], 2), "speaking")


def test_natural_voices_speak_most_takes_and_those_of_other_languages_with_an_accent(monkeypatch, only_espeak):
    natural = [Voice("kokoro", "en-us", name) for name in ("af_one", "fm_two", "zf_three")]
    monkeypatch.setattr(takes, "voices", lambda _language="en": [*natural, *only_espeak.voices()])
    plan = list(plan_takes(Set(["this thing"], 80)))
    assert 0.6 < np.mean([take.voice.is_natural for take in plan]) < 0.9
    said = {language: {take.said for take in plan if take.voice.timbre.startswith(language)} for language in "afz"}
    assert any("s" in text and "/" in text for text in said["f"])
    assert any("/" in text for text in said["z"])


def test_the_digest_covers_what_decides_the_samples():
    first = next(plan_takes(Set(["marvin"], 1)))
    other = next(plan_takes(Set(["marvin"], 1, seed=2)))
    assert first.digest != other.digest
    assert json.loads(json.dumps(first.manner.to_json()))["person"] == first.manner.person
