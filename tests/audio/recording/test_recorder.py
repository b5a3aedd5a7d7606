import json

import numpy as np
import pytest

from speechtl.audio.phrases import contains
from speechtl.audio.recording import recorder as module
from speechtl.audio.recording.checks import DIFFERENT
from speechtl.audio.recording.folder import OWN_LICENCE, Speaker, TakeFolder
from speechtl.audio.recording.recorder import Recorder, ask_speaker
from speechtl.audio.recording.sentences import SENTENCES, to_read
from speechtl.errors import MicrophoneError, SpeechtlError
from tests.audio.recording.test_capture import Blocks

ANN = Speaker("Ann", licence="CC0-1.0")


class Script:
    """A screen whose keys and answers are given."""

    def __init__(self, *keys, answers=()):
        self.keys = list(keys)
        self.answers = list(answers)
        self.lines = []
        self.levels = []

    def say(self, text):
        self.lines.append(text)

    def ask(self, question, default=""):
        self.lines.append(question)
        return self.answers.pop(0) or default

    def key(self):
        return self.keys.pop(0)

    def pressed(self):
        return False

    def meter(self, level_db, clipped):
        self.levels.append((level_db, clipped))

    def count(self, text):
        self.lines.append(text)

    def said(self, text):
        return sum(text in line for line in self.lines)


@pytest.fixture
def sound(said):
    """Sound in which a word is said a number of times, with pauses of 1.5 s."""
    return lambda times=1, dbfs=-6.0: said.at_peak(said.with_pauses([said.spoken()] * times, [1.5] * times, 40.0), dbfs)


@pytest.fixture
def make(tmp_path):
    def recorder(samples, screen, label="computer", **settings):
        takes = TakeFolder(tmp_path / "computer", label)
        return Recorder(Blocks(samples), screen, takes, "computer", ANN, "USB", live=False, **settings)

    return recorder


def test_takes_are_kept_with_one_key_each_until_there_are_enough(make, sound):
    screen = Script("enter", "enter")
    recorder = make(sound(3), screen)
    recorder.record_takes(2)
    clips = recorder.takes.clips()
    assert [clip.audio_filepath for clip in clips] == ["Ann/001.wav", "Ann/002.wav"]
    assert all(0.4 < clip.word_end - clip.word_start < 0.8 for clip in clips)
    assert all(clip.duration < 2.7 for clip in clips)
    assert (clips[0].extra["device"], clips[0].extra["rate"], clips[0].license) == ("USB", 16_000, "CC0-1.0")
    assert screen.said("above the background: good.") == 2
    assert len(screen.levels) > 10


def test_starting_again_goes_on_with_the_next_take(make, sound):
    make(sound(1), Script("enter")).record_takes(3)
    screen = Script("enter")
    make(sound(1), screen).record_takes(2)
    assert screen.lines[0].startswith("Take 2 of 2")
    again = Script()
    make(sound(1), again).record_takes(2)
    assert again.said("Ann has 2 takes already") == 1


def test_a_take_can_be_repeated_played_and_the_one_before_undone(make, sound):
    played = []
    screen = Script("enter", "p", "r", "u", "enter", "q")
    recorder = make(sound(4), screen, play=played.append)
    recorder.record_takes(2)
    assert len(recorder.takes.clips()) == 1
    assert len(played) == 5  # four takes, and one of them again
    assert screen.said("Removed") == 1
    assert [path.name for path in (recorder.takes.folder / "Ann").iterdir()] == ["001.wav"]


def test_nothing_to_undo_is_said_and_q_ends_without_keeping(make, sound):
    screen = Script("u", "q")
    recorder = make(sound(2), screen)
    recorder.record_takes(5)
    assert screen.said("No take was kept") == 1
    assert recorder.takes.clips() == []


def test_a_take_with_a_problem_is_repeated_by_enter_and_kept_only_by_k(make, sound):
    screen = Script("enter", "k")
    recorder = make(sound(2, dbfs=-45.0), screen)
    recorder.record_takes(1)
    assert screen.said("The word is quiet") == 2
    assert screen.said("k keeps it all the same") == 2
    assert len(recorder.takes.clips()) == 1


def test_clipping_of_the_device_is_found_although_the_converted_sound_is_not_clipped(make, sound):
    screen = Script("q")
    loud = np.clip(3.0 * sound(1), -1.0, 1.0)
    make(loud, screen).record_takes(1)
    assert screen.said("of the samples are clipped") == 1


def test_a_take_that_disagrees_with_the_others_is_reported(make, sound):
    class Different:
        def problem(self, samples, word, speaker):
            assert speaker == "Ann"
            return DIFFERENT

    screen = Script("q")
    make(sound(1), screen, comparison=Different()).record_takes(1)
    assert screen.said("sounds different from the others") == 1


def test_without_an_output_device_takes_are_recorded_without_playback(make, sound):
    def nothing(samples):
        raise MicrophoneError("Nothing can be played back.")

    screen = Script("p", "enter", "enter")
    recorder = make(sound(2), screen, play=nothing)
    recorder.record_takes(2)
    assert screen.said("recorded without playback") == 1
    assert len(recorder.takes.clips()) == 2


def test_a_take_that_cannot_be_written_is_still_there_to_be_kept(make, sound, monkeypatch):
    screen = Script("enter", "k")
    recorder = make(sound(1), screen)
    add, failures = recorder.takes.add, [OSError(28, "No space left on device", "001.wav"), None]

    def full(*arguments):
        if (failure := failures.pop(0)) is not None:
            raise failure
        return add(*arguments)

    monkeypatch.setattr(recorder.takes, "add", full)
    recorder.record_takes(1)
    assert screen.said("The take was not kept: The disk is full (001.wav)") == 1
    assert len(recorder.takes.clips()) == 1


def test_lost_sound_is_said_and_the_take_is_repeated(make, sound):
    screen = Script("enter")
    recorder = make(sound(2), screen)
    recorder.source = Blocks(sound(2), gap_at=5)
    recorder.record_takes(1)
    assert screen.said("Sound was lost during this take") == 1
    assert len(recorder.takes.clips()) == 1


def test_a_minute_of_room_reading_and_talk_is_kept_or_skipped(make, sound, monkeypatch):
    monkeypatch.setattr(module, "MINUTE", 2.0)
    monkeypatch.setattr(module, "SHORTEST_MINUTE", 1.0)
    screen = Script("enter", "enter", "s")
    recorder = make(sound(4), screen, label=None)
    recorder.record_without_word()
    lines = [json.loads(line) for line in (recorder.takes.folder / "manifest.jsonl").read_text().splitlines()]
    assert [line["audio_filepath"] for line in lines] == ["Ann/room-001.wav", "Ann/reading-001.wav"]
    assert [line["kind"] for line in lines] == ["room", "reading"]
    assert "prompt" not in lines[0]
    assert len(lines[1]["prompt"].split()) >= 150
    assert all("label" not in line and "text" not in line for line in lines)


def test_silence_and_reading_without_speech_are_not_kept(make, monkeypatch):
    monkeypatch.setattr(module, "MINUTE", 2.0)
    monkeypatch.setattr(module, "SHORTEST_MINUTE", 1.0)
    noise = 0.01 * np.random.default_rng(0).standard_normal(32_000)
    screen = Script("enter", "enter", "q")
    recorder = make(np.concatenate([np.zeros(32_000), noise, noise]), screen, label=None)
    recorder.record_without_word()
    assert screen.said("is silent") == screen.said("No speech was found") == 1
    assert recorder.takes.clips() == []


def test_consent_and_licence_are_asked_once(tmp_path, sound):
    takes = TakeFolder(tmp_path, "computer")
    screen = Script(answers=["../x", "Ann", "yes", ""])
    ann = ask_speaker(screen, takes, None)
    assert (ann.name, ann.licence) == ("Ann", OWN_LICENCE)
    assert screen.said("cannot be used") == 1
    takes.add(sound(), ann, module.Circumstances("USB", 16_000))
    assert ask_speaker(Script(), takes, "ann") == ann
    with pytest.raises(SpeechtlError, match="without the consent of Bo"):
        ask_speaker(Script(answers=["no"]), takes, "Bo")


def test_the_sentences_for_a_minute_leave_out_the_word_and_differ_from_turn_to_turn():
    assert any(contains(sentence, ["river"]) for sentence in SENTENCES)
    assert not any(contains(sentence, ["river"]) for turn in range(4) for sentence in to_read(["river"], turn))
    assert to_read(["river"], 0) != to_read(["river"], 1)
