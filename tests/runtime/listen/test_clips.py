import os
import time
from datetime import datetime, timezone

import numpy as np
import pytest
import soundfile

from speechtl.errors import SpeechtlError
from speechtl.runtime.detector import Event
from speechtl.runtime.listen import clips as module
from speechtl.runtime.listen.clips import ClipLimits, Clips, NearMisses

RATE = 16_000


def stream(clips: Clips, seconds: float, events: dict[float, str], start: float = 0.0) -> None:
    """Play a ramp in blocks of 40 ms; a sample's value tells when it came. Add events when they are decided."""
    end = round(start * RATE)
    left = sorted(events)
    for _ in range(round(seconds * 25)):
        block = (np.arange(end, end + 640) / RATE / 100).astype(np.float32)
        end += 640
        while left and left[0] * RATE <= end:
            clips.add(Event(events[left[0]], left[0], 0.9))
            left.pop(0)
        clips.feed(block, end)


def kept(folder):
    return sorted(path for path in folder.iterdir())


def test_the_seconds_around_an_event_are_kept(tmp_path):
    clips = Clips(tmp_path / "clips", pytest.fail)
    stream(clips, 10, {5.0: "living room"})
    clips.close()
    (path,) = kept(tmp_path / "clips")
    assert path.name.endswith("Z_living_room_0.90.wav")
    assert abs(datetime.strptime(path.name[:19], "%Y%m%dT%H%M%S.%f").replace(tzinfo=timezone.utc).timestamp() - time.time()) < 60
    sound, rate = soundfile.read(path)
    assert (len(sound), rate) == (4 * RATE, RATE)
    assert sound[0] == pytest.approx(0.02, abs=1e-4)  # the third second before 5.0, as the ramp tells
    assert sound[-1] == pytest.approx(0.06, abs=1e-4)


@pytest.mark.parametrize("name", ["a/../../b", "你" * 200, "\x1b[2J\n\0\ud800", "..", "\u202e-"])
def test_a_clip_stays_in_its_folder_whatever_the_word_is_called(tmp_path, name):
    clips = Clips(tmp_path / "clips", pytest.fail)
    stream(clips, 2, {1.0: name})
    clips.close()
    (path,) = kept(tmp_path / "clips")
    assert path.name.isprintable()
    assert module.OURS.match(path.name)
    assert kept(tmp_path) == [tmp_path / "clips"]


def test_an_event_near_the_start_and_one_before_the_end_keep_what_there_is(tmp_path):
    clips = Clips(tmp_path, pytest.fail)
    stream(clips, 6, {0.5: "a", 5.5: "b"})
    clips.close()
    assert [soundfile.info(path).duration for path in kept(tmp_path)] == pytest.approx([1.5, 3.5], abs=0.05)


def test_what_was_heard_around_an_event_is_kept_when_the_microphone_goes_within_a_second_behind_it(tmp_path):
    clips = Clips(tmp_path, pytest.fail)
    stream(clips, 5.2, {5.04: "a"})
    clips.add(Event("b", 12.0, 0.9))  # is decided in the sound behind the gap
    stream(clips, 3, {}, start=11.0)
    clips.close()
    assert [soundfile.info(path).duration for path in kept(tmp_path)] == pytest.approx([3.16, 2.0])


def test_old_clips_and_those_beyond_the_size_go_first_and_other_files_stay(tmp_path):
    names = [f"20260101T00000{index}.000Z_word_0.90.wav" for index in range(4)]
    for name in [*names, "holiday.wav", "notes_0.90.wav"]:
        (tmp_path / name).write_bytes(bytes(100_000))
    os.utime(tmp_path / names[3], (0, time.time() - 8 * 86_400))
    os.utime(tmp_path / "holiday.wav", (0, 0))
    Clips(tmp_path, pytest.fail, ClipLimits(days=7, megabytes=0.3)).close()
    assert [path.name for path in kept(tmp_path)] == [names[1], names[2], "holiday.wav", "notes_0.90.wav"]


def test_the_limits_hold_while_clips_are_added(tmp_path):
    clips = Clips(tmp_path, pytest.fail, ClipLimits(megabytes=0.3))
    stream(clips, 30, {5.0: "a", 10.0: "b", 15.0: "c", 20.0: "d"})
    time.sleep(0.1)
    clips.close()
    assert [path.name[-10] for path in kept(tmp_path)] == ["c", "d"]


def test_clips_grow_too_old_while_nothing_is_heard(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PRUNE_SECONDS", 0.02)
    clips = Clips(tmp_path, pytest.fail, ClipLimits(days=7))
    old = tmp_path / "20260101T000000.000Z_word_0.90.wav"
    old.touch()
    os.utime(old, (0, time.time() - 8 * 86_400))
    end = time.monotonic() + 20
    while old.exists() and time.monotonic() < end:
        time.sleep(0.01)
    assert not old.exists()
    clips.close()


def test_a_folder_that_goes_away_is_told_once_and_listening_goes_on(tmp_path):
    said: list[str] = []
    clips = Clips(tmp_path / "clips", said.append)
    (tmp_path / "clips").rmdir()
    (tmp_path / "clips").write_text("a file in its place")
    stream(clips, 12, {3.0: "a", 6.0: "b"})
    clips.close()
    assert len(said) == 1
    assert "could not be saved" in said[0]


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SpeechtlError, match="--save-clips"):
        Clips(tmp_path / "file" / "clips", print)


def test_a_peak_close_to_the_threshold_is_a_near_miss_once_it_is_over():
    near = NearMisses()
    scores = [0.1, 0.5, 0.7, 0.6, 0.1, 0.1, 0.55, 0.95, 0.7, 0.2, 0.3]
    found = [near.feed(Event("word", index / 10, score), 0.8) for index, score in enumerate(scores)]
    assert [(index, miss.time, miss.score) for index, miss in enumerate(found) if miss] == [(4, 0.2, 0.7)]


def test_near_misses_of_several_words_are_kept_apart():
    near = NearMisses()
    assert near.feed(Event("a", 0.0, 0.7), 0.8) is None
    assert near.feed(Event("b", 0.0, 0.1), 0.8) is None
    assert near.feed(Event("a", 0.1, 0.1), 0.8) == Event("a", 0.0, 0.7)
