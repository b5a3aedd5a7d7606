import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechtl.audio.data.manifest import Clip
from speechtl.audio.evidence import players as module
from speechtl.audio.evidence.players import Moment, Moments, write_players

RATE = 16_000


@pytest.fixture
def ramp(tmp_path) -> Clip:
    """A recording of 20 s whose samples tell their time: 0.05 a second."""
    soundfile.write(tmp_path / "ramp.wav", np.arange(20 * RATE) / RATE / 20, RATE)
    return Clip("ramp.wav", 20.0, path=tmp_path / "ramp.wav")


def played(folder: Path, name: str) -> tuple[float, float]:
    """First and last second of the recording that a player has."""
    samples = soundfile.read(folder / name)[0]
    return round(float(samples[0]) * 20, 2), round(float(samples[-1]) * 20, 2)


def test_a_miss_plays_from_before_the_word_and_a_false_accept_what_came_before_it(ramp, tmp_path):
    made = write_players(tmp_path / "out", Moments([Moment(ramp, 5.0, 5.6)], [Moment(ramp, 9.0, 9.0)]))
    assert made == {"missed": ["report-audio/missed-0001.flac"], "false_accepts": ["report-audio/false-accepts-0001.flac"]}
    assert played(tmp_path / "out", made["missed"][0]) == (4.5, 6.6)
    assert played(tmp_path / "out", made["false_accepts"][0]) == (6.5, 9.5)


def test_a_player_begins_with_the_recording_at_the_earliest_and_is_short(ramp, tmp_path):
    made = write_players(tmp_path, Moments([Moment(ramp, 0.2, 19.0)], [Moment(ramp, -0.1, -0.1)]))
    assert played(tmp_path, made["missed"][0]) == (0.0, 6.0)
    assert played(tmp_path, made["false_accepts"][0]) == (0.0, 0.4)


def test_number_and_size_are_bounded(ramp, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MOST", 3)
    made = write_players(tmp_path, Moments([Moment(ramp, 5.0, 5.5)] * 5, [Moment(ramp, 9.0, 9.0)] * 4))
    assert [len(made[key]) for key in made] == [3, 3]
    monkeypatch.setattr(module, "MOST_BYTES", 1)
    made = write_players(tmp_path, Moments([Moment(ramp, 5.0, 5.5)] * 5))
    assert made["missed"] == ["report-audio/missed-0001.flac", None, None]
    assert [path.name for path in (tmp_path / "report-audio").iterdir()] == ["missed-0001.flac"]  # of the earlier ones nothing is left


def test_a_recording_that_is_gone_or_broken_has_no_player(ramp, tmp_path):
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    lost = [Clip("x.wav", 1.0, path=tmp_path / name) for name in ("gone.wav", "broken.wav")] + [Clip("x.wav", 1.0)]
    made = write_players(tmp_path, Moments([Moment(clip, 0.2, 0.5) for clip in lost] + [Moment(ramp, 1.0, 1.5)]))
    assert made["missed"] == [None, None, None, "report-audio/missed-0004.flac"]


def test_a_moment_of_a_long_file_is_in_seconds_of_the_file():
    assert json.dumps(Moment(Clip("a.wav", 1.0, offset=60.0), 60.123, 61.0).to_json()) == '{"file": "a.wav", "time": 60.12}'
