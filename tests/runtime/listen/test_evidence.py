import pytest

from speechtl.errors import SpeechtlError
from speechtl.limits import rate_high
from speechtl.runtime.listen.evidence import events_high, read_evidence
from speechtl.runtime.listen.tally_file import append_lines

WHICH = {"word": "computer", "bundle": "0123456789ab", "threshold": 0.5}


def heard(hours: float, **changes) -> list[dict]:
    return [{"what": "heard", **WHICH, "seconds": 600.0, **changes}] * round(6 * hours)


def event(clip, what: str = "event", **changes) -> dict:
    return {"what": what, **WHICH, "clip": None if clip is None else str(clip), **changes}


@pytest.mark.parametrize("events", [0, 1, 2, 7, 40, 1000])
def test_limits_are_those_of_the_poisson_distribution(events):
    assert events_high(events) == pytest.approx(rate_high(events, 1.0), rel=1e-9)


def test_a_week_without_an_alarm_supports_at_most_two_in_a_hundred_hours(tmp_path):
    append_lines(tmp_path / "tally", heard(168))
    ((evidence,), damaged) = read_evidence(tmp_path / "tally")
    assert (evidence.hours, evidence.false_accepts, damaged) == (pytest.approx(168), (0, 0), 0)
    assert evidence.per_hour_high == pytest.approx(3.0 / 168, rel=0.01)
    assert "false accepts  0: at most 0.018 an hour with 95 % confidence" in str(evidence)


def test_the_folder_of_a_clip_is_its_verdict_and_what_has_none_may_be_false(tmp_path):
    clips = tmp_path / "clips"
    for place in ("word/a.wav", "word/b.wav", "not-word/c.wav", "unsure/d.wav", "e.wav", "word/near.wav"):
        (clips / place).parent.mkdir(parents=True, exist_ok=True)
        (clips / place).touch()
    lines = [event(clips / f"{name}.wav") for name in "abcdefg"] + [event(None), event(clips / "near.wav", "near")]
    lines += [{"what": "verdict", "clip": str(clips / f"{name}.wav"), "verdict": "not-word"} for name in "fb"]  # f is removed
    append_lines(tmp_path / "tally", [*heard(10), *lines])
    ((evidence,), _) = read_evidence(tmp_path / "tally")
    assert evidence.to_json() == {
        **WHICH,
        "hours": 10.0,
        "events": {"word": 2, "not-word": 2, "unsure": 1, "none": 3},
        "near_misses": {"word": 1},
        "false_accepts": [2, 6],
        "per_hour_high": pytest.approx(rate_high(6, 10.0)),
    }
    assert str(evidence).splitlines() == [
        "computer (bundle 0123456789ab, threshold 0.5): 10.0 hours",
        "  events         8: 2 the word, 2 not the word, 1 unsure, 3 without a verdict",
        "  false accepts  2 to 6: at most 1.2 an hour with 95 % confidence",
        "  near misses    1: 1 the word",
    ]


def test_detectors_are_told_apart_and_the_last_one_stands_last(tmp_path):
    append_lines(tmp_path / "tally", [*heard(2), *heard(1, threshold=0.7), *heard(3)])
    found, _ = read_evidence(tmp_path / "tally")
    assert [(one.threshold, round(one.hours, 6)) for one in found] == [(0.7, 1.0), (0.5, 5.0)]


def test_files_that_are_no_tallies_are_one_sentence(tmp_path):
    with pytest.raises(SpeechtlError, match=r"does not exist\. A tally is written by: speechtl listen"):
        read_evidence(tmp_path / "none")
    (tmp_path / "text").write_text("some text\n")
    with pytest.raises(SpeechtlError, match="is not a tally"):
        read_evidence(tmp_path / "text")
