import numpy as np
import pytest

from speechtl.audio.evaluation.hours import parts
from speechtl.audio.evaluation.hours.listed import Listed
from speechtl.audio.evaluation.hours.parts import Heard, Parts, Skipped, load, save


@pytest.fixture
def listed(tmp_path, recording_of):
    made = Listed(tmp_path / "list.jsonl")
    clips = [recording_of(np.zeros(round(seconds * 16_000), np.float32)).clip for seconds in (300, 300, 0.5, 700, 1, 1)]
    made.write(iter(clips))
    return made


def test_parts_have_ten_minutes_or_one_longer_recording(listed):
    made = Parts(listed)
    assert [(part.first, len(part.lines)) for part in made] == [(0, 2), (2, 1), (3, 1), (4, 2)]
    assert [made.seconds(number) for number in range(len(made))] == [600.0, 0.5, 700.0, 2.0]


def test_parts_have_a_limited_number_of_recordings(listed, monkeypatch):
    monkeypatch.setattr(parts, "PART_RECORDINGS", 1)
    assert [len(part.lines) for part in Parts(listed)] == [1] * 6


def test_what_was_heard_is_read_as_it_was_written(tmp_path):
    skipped = [Skipped(8, "ß.wav is gone", True)]
    heard = Heard(3, 7, np.array([1.5, np.nan]), np.array([2, 0]), np.array([4, 5], np.int32), np.array([0.5, 0.25], np.float32), skipped)
    save(tmp_path / "a.npz", heard)
    again = load(tmp_path / "a.npz")
    assert (again.number, again.first, again.skipped, again.whole) == (3, 7, skipped, False)
    for name in ("seconds", "counts", "steps", "scores"):
        np.testing.assert_array_equal(getattr(again, name), getattr(heard, name))
        assert getattr(again, name).dtype == getattr(heard, name).dtype


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no archive"])
def test_a_damaged_file_was_not_heard(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    assert load(tmp_path / "a.npz") is None
    assert load(tmp_path / "none.npz") is None
