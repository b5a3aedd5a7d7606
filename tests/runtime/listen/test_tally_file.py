import json
import time

import numpy as np
import pytest

from speechtl.runtime.detector import Detector
from speechtl.runtime.events import Event
from speechtl.runtime.listen import tally_file as module
from speechtl.runtime.listen.tally_file import TallyFile, append_lines, read_lines

NOISE = np.full(16_000, 0.01, np.float32)


@pytest.fixture(scope="module")
def detector(tiny_bundle) -> Detector:
    return Detector.open(tiny_bundle)


def settled(tally: TallyFile) -> None:
    tally.close()
    tally._thread.join(20)


def test_what_was_heard_and_detected_is_appended_over_restarts(detector, tmp_path):
    path = tmp_path / "tally.jsonl"
    for _ in range(2):
        tally = TallyFile(path, pytest.fail)
        for _ in range(5):
            tally.heard([detector], NOISE)
        tally.add(Event("burst", 1.0, 0.9, level=-30.0, wall=0.0), tmp_path / "a.wav")
        settled(tally)
    lines, damaged = read_lines(path)
    assert (len(lines), damaged) == (4, 0)
    assert lines[0] == {
        "what": "event",
        "at": "1970-01-01T00:00:00.000+00:00",
        "word": "burst",
        "bundle": detector.fingerprint,
        "threshold": 0.5,
        "score": 0.9,
        "level": -30.0,
        "snr": None,
        "clip": str(tmp_path / "a.wav"),
    }
    assert [line["seconds"] for line in lines if line["what"] == "heard"] == [5.0, 5.0]


def test_time_is_written_while_it_passes_and_a_muted_microphone_does_not_count(detector, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "EVERY_SECONDS", 3.0)
    tally = TallyFile(tmp_path / "tally.jsonl", pytest.fail)
    for second in range(8):
        tally.heard([detector], NOISE if second % 2 else np.zeros(16_000, np.float32))
    end = time.monotonic() + 20
    while not (tmp_path / "tally.jsonl").exists() and time.monotonic() < end:
        time.sleep(0.01)
    settled(tally)
    assert [line["seconds"] for line in read_lines(tmp_path / "tally.jsonl")[0]] == [3.0, 1.0]


def test_another_bundle_or_threshold_is_another_detector(tiny_bundle, remake, detector, tmp_path):
    others = [Detector.open(tiny_bundle, threshold=0.7), Detector.open(remake(files={"more.txt": b"x"}))]
    tally = TallyFile(tmp_path / "tally.jsonl", pytest.fail)
    for listening in ([detector], others):
        tally.heard(listening, NOISE)
    settled(tally)
    lines, _ = read_lines(tmp_path / "tally.jsonl")
    assert len({(line["word"], line["bundle"], line["threshold"]) for line in lines}) == 3


def test_verdicts_are_kept_when_the_clips_are_removed(detector, tmp_path):
    clips = tmp_path / "clips"
    (clips / "not-word").mkdir(parents=True)
    (clips / "not-word" / "a.wav").touch()
    for _ in range(2):  # and are written once
        tally = TallyFile(tmp_path / "tally.jsonl", pytest.fail, clips)
        tally.heard([detector], NOISE)
        settled(tally)
    said = [line for line in read_lines(tmp_path / "tally.jsonl")[0] if line["what"] == "verdict"]
    assert said == [{"what": "verdict", "clip": str(clips / "a.wav"), "verdict": "not-word"}]


def test_a_disk_that_is_full_is_told_once_and_nothing_is_lost_when_it_has_room_again(detector, tmp_path, monkeypatch):
    said: list[str] = []
    path = tmp_path / "gone" / "tally.jsonl"
    tally = TallyFile(path, said.append)
    for score in (0.5, 0.6):
        tally.add(Event("burst", 1.0, score), None)
    end = time.monotonic() + 20
    while not said and time.monotonic() < end:
        time.sleep(0.01)
    path.parent.mkdir()
    tally.add(Event("burst", 1.0, 0.7), None)
    settled(tally)
    assert [line["score"] for line in read_lines(path)[0]] == [0.5, 0.6, 0.7]
    assert len(said) == 1
    assert "The tally could not be written" in said[0]


def test_a_line_that_a_power_failure_has_torn_costs_only_itself(tmp_path):
    path = tmp_path / "tally.jsonl"
    line = {"what": "heard", "word": "a", "bundle": "b", "threshold": 0.5, "seconds": 9.0, "at": "x"}
    append_lines(path, [line])
    path.write_bytes(path.read_bytes() + b'{"what": "hea')
    append_lines(path, [line])
    assert read_lines(path) == ([line, line], 1)


@pytest.mark.parametrize(
    "line",
    [
        b"[]",
        b"\xff",
        b"{}",
        b"[" * 100_000,
        b'{"what": "heard", "word": 1, "bundle": "", "threshold": 0.5, "seconds": 1}',
        b'{"what": "heard", "word": "a", "bundle": "", "threshold": 0.5, "seconds": 1e9}',
        b'{"what": "heard", "word": "a", "bundle": "", "threshold": true, "seconds": 1}',
        b'{"what": "heard", "word": "a", "bundle": "", "threshold": ' + b"9" * 400 + b', "seconds": 1}',
        b'{"what": "event", "word": "a", "bundle": "", "threshold": 0.5, "clip": 5}',
        b'{"what": "verdict", "clip": "a", "verdict": "perhaps"}',
    ],
)
def test_a_line_of_another_form_is_counted_and_left_out(tmp_path, line):
    (tmp_path / "tally.jsonl").write_bytes(line + b"\n")
    assert read_lines(tmp_path / "tally.jsonl") == ([], 1)


def test_lines_are_json_of_any_word(tmp_path):
    append_lines(tmp_path / "t", [{"what": "event", "word": "你\ud800\n", "bundle": "", "threshold": 1.0, "clip": None}])
    assert json.loads((tmp_path / "t").read_bytes())["word"] == "你?\n"
