import json
from collections import Counter

import numpy as np
import pytest

from speechtl.audio.augment import Augmenter, AugmentSettings
from speechtl.audio.data.manifest import Clip
from speechtl.audio.pretraining.data import LEAD, SECONDS, Renderer, Utterance, Window, pack, read_tested, read_utterances
from speechtl.audio.pretraining.phones import numbers
from speechtl.errors import ManifestError
from speechtl.runtime.features import LogMelSettings
from speechtl.runtime.samples import SAMPLE_RATE

pytest.importorskip("espeakng_loader")


def read(transcribed, unlabelled=(), longest=10.0):
    notes = []
    return read_utterances(list(transcribed), list(unlabelled), longest=longest, log=notes.append), notes


def test_transcripts_become_phones_and_other_recordings_have_none(manifest):
    found, notes = read([manifest("a.jsonl", ["yes"])], [manifest("b.jsonl", ["yes"])])
    assert [one.phones for one in found] == [tuple(numbers(["Y", "EH", "S"])), None]
    assert notes == []


def test_what_cannot_be_used_is_counted_by_its_reason(manifest):
    broken = manifest("broken.jsonl", ["yes", "no"])
    (broken.parent / "broken.jsonl-1.wav").write_bytes(b"no sound")
    found, notes = read(
        [
            manifest("good.jsonl", ["yes"]),
            manifest("silent.jsonl", [None, "...", "go"]),
            manifest("foreign.jsonl", ["go 你好 left"]),
            manifest("long.jsonl", ["go"], seconds=3.0),
            manifest("short.jsonl", ["go"], seconds=0.1),
            manifest("crowded.jsonl", ["many words that nobody can say within so short a time as one second is"]),
            broken,
        ],
        longest=2.0,
    )
    assert len(found) == 3
    assert sorted(note.partition(" (the first")[0] for note in notes) == [
        "Left out 1 recording: a text that is too long for the recording.",
        "Left out 1 recording: longer than the 2 s that a window holds.",
        "Left out 1 recording: missing or broken",
        "Left out 1 recording: no text.",
        "Left out 1 recording: shorter than 0.2 s.",
        "Left out 2 recordings: a text without words, or with signs or sounds that English does not have.",
    ]


def test_nothing_is_learned_from_tests_or_from_those_who_speak_in_them(manifest):
    tested = manifest("test.jsonl", ["yes"], split="test")
    same_person = manifest("train.jsonl", ["no", "go"])
    lines = [json.loads(line) for line in same_person.read_text().splitlines()]
    lines[0]["speaker"] = "test.jsonl-0"
    same_person.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found, notes = read([tested, same_person])
    assert [one.clip.text for one in found] == ["go"]
    assert "Left out 2 recordings: they, or their speakers, are in the test split." in notes


def test_nothing_is_learned_from_those_who_speak_in_tests_of_another_manifest(manifest):
    tested = read_tested([manifest("test.jsonl", ["yes"], split="test")], longest=10.0, log=print)
    other = manifest("train.jsonl", ["no", "go"])
    other.write_text(other.read_text().replace('train.jsonl-0"', 'test.jsonl-0"'))
    notes: list[str] = []
    found = read_utterances([other], [], longest=10.0, log=notes.append, tested=tested)
    assert [one.clip.text for one in found] == ["go"]
    assert notes == ["Left out 1 recording: they, or their speakers, are in the test split."]


def test_tests_are_read_for_tests(manifest):
    tested = manifest("test.jsonl", ["yes", "no"], split="test")
    assert [one.clip.text for one in read_tested([tested, manifest("train.jsonl")], longest=9.0, log=print)] == ["yes", "no"]


def test_tests_that_cannot_be_used_are_counted_by_their_reason(manifest):
    notes = []
    tested = [manifest("a.jsonl", ["yes", None, "..."], split="test"), manifest("b.jsonl", ["no"], seconds=3.0, split="test")]
    assert [one.clip.text for one in read_tested(tested, longest=2.0, log=notes.append)] == ["yes"]
    assert [note.partition(":")[0] for note in notes] == ["Left out 1 test recording"] * 3
    assert "no text" in notes[0]


def test_it_is_an_error_when_nothing_is_left(manifest):
    with pytest.raises(ManifestError, match="The only recording cannot be used for pretraining"):
        read([manifest("silent.jsonl", [None])])


FEATURES = LogMelSettings()


class Tone(Utterance):
    """An utterance made of a tone as long as its clip says."""

    def pcm(self):
        return (0.3 * np.sin(0.3 * np.arange(round(self.clip.duration * SAMPLE_RATE)))).astype(np.float32)


def utterances(durations, phones=(1, 2), word=None):
    return [Tone(Clip(f"{index}.wav", duration), phones, word) for index, duration in enumerate(durations)]


class Beep(Utterance):
    """A tone from 0.5 to 1.0 s of 1.5 s."""

    def pcm(self):
        sound = 1e-4 * np.random.default_rng(0).standard_normal(24_000)
        sound[8_000:16_000] += 0.3 * np.sin(0.3 * np.arange(8_000))
        return sound.astype(np.float32)


def renderer(**options):
    echo = np.zeros(4000, np.float32)
    echo[[0, 3000]] = 0.8, 0.6
    return Renderer(
        Augmenter([], [echo], AugmentSettings(**{"speed_probability": 0.0, **options})),
        FEATURES,
        lambda samples: samples[: 5 * 249].reshape(-1, 5),
        copies=2,
        on_skip=print,
    )


def test_every_utterance_stands_in_the_windows_as_often_as_asked():
    some = utterances(np.random.default_rng(0).uniform(0.5, 9.0, 60))
    windows = pack(some, lambda one: 2 if one.clip.duration > 5.0 else 1, seed=0, number=0)
    counts = Counter(one.clip.audio_filepath for window in windows for one in window.utterances)
    assert counts == {one.clip.audio_filepath: 2 if one.clip.duration > 5.0 else 1 for one in some}
    assert all(LEAD + sum(one.clip.duration for one in window.utterances) <= SECONDS for window in windows)


def test_windows_depend_on_seed_and_number_alone():
    some = utterances([2.0] * 50)
    order = [one.clip.audio_filepath for window in pack(some, lambda _: 1, 0, 0) for one in window.utterances]
    assert order == [one.clip.audio_filepath for window in pack(some, lambda _: 1, 0, 0) for one in window.utterances]
    assert order != [one.clip.audio_filepath for window in pack(some, lambda _: 1, 0, 1) for one in window.utterances]


def test_speech_that_nobody_wrote_down_stands_in_windows_of_its_own():
    windows = pack(utterances([3.0] * 20) + utterances([3.0] * 20, phones=None), lambda _: 1, 0, 0)
    kinds = {frozenset(one.phones is None for one in window.utterances) for window in windows}
    assert kinds == {frozenset([True]), frozenset([False])}
    assert {window.phones is None for window in windows if window.utterances[0].phones is None} == {True}


def test_a_window_says_the_phones_of_its_utterances_in_order():
    window = Window((*utterances([1.0], (3, 4)), *utterances([1.0], (5,))), (0, 0, 0))
    assert renderer()(window).phones == [3, 4, 5]


def test_the_teacher_hears_the_dry_sound_and_other_copies_are_in_rooms():
    made = renderer()(Window(tuple(utterances([4.0, 4.0])), (0, 0, 1)))
    features, heard = made.features, made.heard
    frames = FEATURES.frames(int(SECONDS * SAMPLE_RATE))
    assert features.shape == (2, frames, FEATURES.bands)
    assert heard.shape == (249, 5)
    assert np.abs(heard).max() < 0.01  # the quiet before the first utterance
    assert not np.allclose(features[0], features[1])  # the second is in a room
    again = renderer()(Window(tuple(utterances([4.0, 4.0])), (0, 0, 1)))
    np.testing.assert_array_equal(features, again.features)


def test_an_utterance_that_runs_over_the_end_takes_the_text_with_it():
    slow = renderer(speed=(0.5, 0.5), speed_probability=1.0)
    assert slow(Window(tuple(utterances([12.0])), (0, 0, 2))).phones is None
    assert slow(Window(tuple(utterances([5.0])), (0, 0, 2))).phones == [1, 2]


def test_a_recording_that_cannot_be_read_is_reported_and_its_window_has_no_text(tmp_path):
    reported = []
    broken = Utterance(Clip("broken.wav", 1.0, path=tmp_path / "broken.wav"), (1,))
    made = Renderer(Augmenter([], []), FEATURES, None, 1, reported.append)(Window((broken, *utterances([1.0])), (0, 0, 3)))
    assert made.phones is None
    assert len(reported) == 1
    assert "broken.wav" in reported[0]


@pytest.mark.parametrize("copies", [1, 3])
def test_without_a_teacher_nothing_is_heard(copies):
    made = Renderer(Augmenter([], []), FEATURES, None, copies, print)(Window(tuple(utterances([1.0])), (0, 0, 4)))
    assert len(made.features) == copies
    assert made.heard.size == 0


@pytest.mark.parametrize("speed", [1.0, 0.8])
def test_words_have_the_frames_at_which_they_end(speed):
    beeps = tuple(Beep(Clip(f"{word}.wav", 1.5), (1,), word) for word in (7, None, 9))
    made = renderer(speed=(speed, speed), speed_probability=1.0)(Window(beeps, (0, 0, 5)))
    (first, at), (second, later) = made.words
    assert (first, second) == (7, 9)
    assert at == pytest.approx(100 * (LEAD + 1.0 / speed), abs=4)
    assert 2 * 150 / speed < later - at < 2 * (150 / speed + 45)
    loud = made.features[0].max(axis=1)
    assert loud[at - 10] > loud[at + 10] + 2.0


def test_a_word_that_runs_over_the_end_is_not_asked_for():
    slow = renderer(speed=(0.5, 0.5), speed_probability=1.0)
    assert slow(Window(tuple(utterances([12.0], word=3)), (0, 0, 2))).words == []
