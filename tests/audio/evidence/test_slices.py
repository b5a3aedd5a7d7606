from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest, chi2

from speechtl.audio.data.manifest import Clip
from speechtl.audio.evidence.slices import delays, expected, negative_slices, word_slices, worst_first, worst_of_words


def clip(speaker=None, manifest="words.jsonl", **extra) -> Clip:
    return Clip("a.wav", 1.0, speaker=speaker, extra=extra, manifest=Path(manifest))


def test_words_are_counted_by_everything_that_is_told_of_them():
    clips = [clip("Ann", age=30, device="phone"), clip("ann ", age=30), clip("Bob", age=9, device="array"), clip()]
    made = word_slices(clips, [0.2, None, 0.3, 0.4])
    counts = {(part["kind"], part["name"]): (part["detected"], part["clips"]) for part in made}
    assert counts == {
        ("speaker", "Ann"): (1, 2),
        ("speaker", "Bob"): (1, 1),
        ("age", "20 to 39"): (1, 2),
        ("age", "under 13"): (1, 1),
        ("device", "array"): (1, 1),
        ("device", "phone"): (1, 1),
    }
    ann = next(part for part in made if part["name"] == "Ann")
    limits = binomtest(1, 2).proportion_ci(0.95, "exact")
    assert (ann["recall"], ann["recall_low"], ann["recall_high"]) == (0.5, pytest.approx(limits.low), pytest.approx(limits.high))
    assert ann["delay_ms"] == {"p50": 200.0, "p95": 200.0}


def test_a_delay_has_a_median_and_95_percent():
    found = [0.1, 0.2, 0.3, None, 0.9]
    assert delays(found) == {"p50": 250.0, "p95": pytest.approx(np.percentile([100, 200, 300, 900], 95))}
    assert delays([None]) == {"p50": None, "p95": None}


def test_one_word_missed_of_one_does_not_come_before_five_of_ten():
    clips = [clip("once")] + [clip("often")] * 10 + [clip("never")] * 10
    detected = [None] + [None, 0.1] * 5 + [0.1] * 10
    assert [part["name"] for part in word_slices(clips, detected)] == ["often", "once", "never"]


def test_false_accepts_are_counted_by_kind_of_sound_and_by_manifest():
    heard = [
        (clip(manifest="noise_a.jsonl"), 1800.0, 0),
        (clip(manifest="noise_b.jsonl"), 1800.0, 2),
        (clip(manifest="librispeech.jsonl"), 7200.0, 1),
        (clip(manifest="librispeech.jsonl", kind="television-like"), 720.0, 3),
    ]
    made = negative_slices(heard)
    sounds = [part for part in made if part["kind"] == "sound"]
    assert [(part["name"], part["events"], part["hours"]) for part in sounds] == [
        ("television-like", 3, 0.2),
        ("noise", 2, 1.0),
        ("read", 1, 2.0),
    ]
    assert sounds[1]["per_hour_high"] == pytest.approx(chi2.ppf(0.95, 6) / 2)
    assert {part["name"]: part["events"] for part in made if part["kind"] == "negatives"} == {"noise_a": 0, "noise_b": 2, "librispeech": 4}


def test_without_an_event_the_sound_that_was_heard_least_is_the_worst():
    heard = [(clip(manifest="noise.jsonl"), 36000.0, 0), (clip(manifest="music.jsonl"), 60.0, 0)]
    assert [part["name"] for part in negative_slices(heard)][:2] == ["music", "noise"]


def test_the_worst_of_a_kind_needs_another_to_be_worse_than():
    made = word_slices([clip("Ann", room="hall"), clip("Bob", room="hall")], [0.1, None])
    assert [(kind, part["name"]) for kind, part in worst_of_words(made)] == [("speaker", "Bob")]
    assert worst_of_words(word_slices([clip("Ann"), clip("Bob")], [0.1, 0.1])) == []  # nothing was missed
    assert worst_first([]) == []


def test_the_names_of_slices_are_known_before_anything_is_played():
    names = expected(["clean", "noise at 5 dB"], [clip("Ann", sex="f"), clip("Bob")], [clip(manifest="noise_a.jsonl")])
    assert names == {
        "condition": ["clean", "noise at 5 dB"],
        "speaker": ["Ann", "Bob"],
        "sex": ["female"],
        "sound": ["noise"],
        "negatives": ["noise_a"],
    }
