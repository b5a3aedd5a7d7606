import json

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from speechtl.audio.evaluation.evaluate import evaluate
from speechtl.audio.evaluation.material import Plan, gather
from speechtl.audio.evaluation.model import open_model
from speechtl.audio.evaluation.report import evaluation_summary
from speechtl.audio.evaluation.scoring import count, score_stream
from speechtl.audio.evaluation.streams import Condition, words_in_background
from speechtl.audio.network.model import scorer_of
from speechtl.errors import BundleError, ManifestError
from speechtl.runtime.trigger import GRACE, TriggerSettings

RATE = 16_000


@pytest.fixture
def report(tiny_bundle, corpus):
    def run(split: str = "test", threshold: float | None = None, positives=None, negatives=None, **options) -> dict:
        notes: list[str] = []
        plan = Plan([positives or corpus / "positives.jsonl"], [negatives or corpus / "negatives.jsonl"], split=split, **options)
        made = evaluate(open_model(tiny_bundle, threshold), plan, notes.append)
        return made | {"notes": notes}

    run.model = open_model(tiny_bundle)
    return run


def test_every_burst_is_found_and_nothing_else(report):
    made = report()
    exact = stats.binomtest(3, 3).proportion_ci(0.95, method="exact")
    assert made["positives"] == {"clips": 3, "detected": 3, "recall": 1.0, "recall_low": pytest.approx(exact.low), "recall_high": 1.0}
    hours = made["negatives"]["hours"]
    assert made["negatives"]["events"] == 0
    assert hours == pytest.approx(3 * 20.0 / 3600)  # quiet between recordings, and around words, is not counted
    assert made["negatives"]["per_hour_high"] == pytest.approx(stats.chi2.ppf(0.95, 2) / 2 / hours)
    assert -400 < made["delay_ms"]["p50"] <= made["delay_ms"]["p95"] < 0  # a burst is heard before it ends
    assert made["schema"] == 2
    assert made["threshold"] == 0.5
    json.dumps(made, allow_nan=False)


def test_only_the_split_asked_for_is_played(report):
    assert report("train")["positives"]["clips"] == 6
    assert report("validation")["positives"]["clips"] == 2


def test_a_threshold_out_of_reach_misses_every_word(report):
    made = report(threshold=1.0)
    assert made["positives"]["detected"] == 0
    assert [moment["file"] for moment in made["missed"]] == ["positives/8.wav", "positives/9.wav", "positives/10.wav"]
    assert all(0.2 <= moment["time"] <= 0.5 for moment in made["missed"])  # where the word begins
    assert made["delay_ms"] == {"p50": None, "p95": None}
    assert "0 of 3" in evaluation_summary(made)


def test_the_trade_off_falls_with_the_threshold(report):
    rows = report()["det"]
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)
    assert [0.5, 1.0, 0.0] in rows


def test_false_accepts_are_located_in_their_recording(report, corpus, bursts):
    soundfile.write(corpus / "loud.wav", bursts((1.0,), 3.0), RATE)
    soundfile.write(corpus / "soft.wav", bursts((), 3.0), RATE)
    lines = [{"audio_filepath": name, "duration": 3.0} for name in ("soft.wav", "loud.wav", "soft.wav")]
    (corpus / "n.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    made = report(negatives=corpus / "n.jsonl")
    assert made["negatives"]["events"] == 1
    assert made["false_accepts"] == [{"file": "loud.wav", "time": pytest.approx(1.06, abs=0.1)}]


def test_an_event_beside_a_word_is_located_in_the_words_recording(report, corpus, bursts):
    soundfile.write(corpus / "twice.wav", bursts((0.5, 4.0), 5.0), RATE)
    line = {"audio_filepath": "twice.wav", "duration": 5.0, "word_start": 4.0, "word_end": 4.4}
    (corpus / "p.jsonl").write_text(json.dumps(line) + "\n")
    made = report(positives=corpus / "p.jsonl")
    assert made["negatives"]["events_beside_words"] == 1
    assert made["false_accepts"] == [{"file": "twice.wav", "time": pytest.approx(0.56, abs=0.1)}]
    assert made["graph"].startswith("model.")


def test_speakers_and_noise_have_slices_of_their_own(report, corpus):
    made = report(noise=[corpus / "noise.jsonl"], snr_db=(20.0, 5.0))
    names = [(part["kind"], part["name"]) for part in made["slices"]]
    assert ("condition", "clean") in names
    assert {("condition", "noise at 20 dB"), ("condition", "noise at 5 dB")} <= set(names)
    assert [name for kind, name in names if kind == "speaker"] == ["p10", "p8", "p9"]
    assert ("sound", "other") in names


def test_false_accepts_are_counted_for_each_manifest_of_negatives(report, corpus, bursts):
    soundfile.write(corpus / "loud.wav", bursts((1.0, 3.0), 5.0), RATE)
    (corpus / "n.jsonl").write_text(json.dumps({"audio_filepath": "loud.wav", "duration": 5.0}) + "\n")
    plan = Plan([corpus / "positives.jsonl"], [corpus / "negatives.jsonl", corpus / "n.jsonl"])
    made = evaluate(report.model, plan, lambda note: None)
    quiet, loud = [part for part in made["slices"] if part["kind"] == "negatives"]
    assert (quiet["name"], quiet["events"], loud["name"], loud["events"]) == ("negatives", 0, "n", 2)
    assert (quiet["hours"], loud["hours"]) == (pytest.approx(60.0 / 3600), pytest.approx(5.0 / 3600))
    assert loud["per_hour"] == pytest.approx(2 * 3600 / 5.0)
    assert loud["per_hour_high"] == pytest.approx(stats.chi2.ppf(0.95, 6) / 2 * 3600 / 5.0)
    assert "  false accepts, n          2 in 0.00 h" in evaluation_summary(made)


@pytest.fixture
def world(corpus, monkeypatch):
    """Options for a small world."""
    for name, value in {"ROOMS": 3, "FAR_ROOMS": 1, "MIXTURES": 1}.items():
        monkeypatch.setattr(f"speechtl.audio.evaluation.conditions.{name}", value)
    return {"noise": [corpus / "noise.jsonl"], "talk": [corpus / "negatives.jsonl"], "preset": "world", "snr_db": (0.0,)}


def test_the_world_has_a_slice_for_each_condition(report, world):
    slices = [part for part in report(**world)["slices"] if part["kind"] == "condition"]
    names = [part["name"] for part in slices]
    assert names[:4] == ["clean", "noise at 0 dB", "babble at 0 dB", "one talker at 0 dB"]
    assert {"room and noise at 5 dB", "far field", "telephone", "codec", "level -6 dBFS"} <= set(names)
    assert all(part["clips"] == 3 and "p95" in part["delay_ms"] for part in slices)


def test_the_same_world_is_played_every_time(report, world, corpus):
    plan = Plan([corpus / "positives.jsonl"], [corpus / "negatives.jsonl"], **world)
    first, again = (gather(plan, report.model, lambda note: None) for _ in range(2))
    for one, other in zip(first.conditions, again.conditions, strict=True):
        played = [next(words_in_background(material.spoken, condition, 1)) for material, condition in ((first, one), (again, other))]
        np.testing.assert_array_equal(played[0].samples, played[1].samples, err_msg=one.name)


@pytest.mark.slow
@pytest.mark.parametrize("text", ["burst", "Burst!", "A burst, please.", "Say: burst"])
def test_negatives_in_which_the_word_is_said_are_left_out(report, corpus, text):
    lines = [json.loads(line) for line in (corpus / "negatives.jsonl").read_text().splitlines()]
    lines[-1]["text"] = text
    lines[-2]["text"] = "outbursts"
    (corpus / "n.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    made = report(negatives=corpus / "n.jsonl")
    assert report()["negatives"]["hours"] - made["negatives"]["hours"] == pytest.approx(20.0 / 3600)
    assert any("Left out 1 recording whose" in note for note in made["notes"])


def test_recordings_that_training_has_heard_are_left_out(remake, corpus):
    lines = [json.loads(line) for line in (corpus / "positives.jsonl").read_text().splitlines()]
    model = open_model(remake({"data": {"recordings": lines[-1]["sha256"][:12]}}))
    notes: list[str] = []
    made = evaluate(model, Plan([corpus / "positives.jsonl"], [corpus / "negatives.jsonl"]), notes.append)
    assert made["positives"]["clips"] == 2
    assert any("Left out 1 recording" in note for note in notes)


def test_nothing_left_to_evaluate_on_is_an_error(report):
    with pytest.raises(ManifestError, match="No recording of"):
        report("dev")


def test_what_is_neither_run_nor_bundle_is_an_error(tmp_path):
    with pytest.raises(BundleError, match="does not exist"):
        open_model(tmp_path / "none.wake")


def test_the_det_counts_are_finite(report):
    assert np.isfinite(np.array(report()["det"])).all()


def words_of(folder, **files):
    for name, samples in files.items():
        (folder / "words").mkdir(exist_ok=True)
        soundfile.write(folder / "words" / f"{name}.wav", samples, RATE)
    return folder / "words"


def test_takes_without_a_word_count_as_misses_and_are_named(report, corpus, bursts):
    made = report(positives=words_of(corpus, a=bursts((0.5,), 1.5), hiss=bursts((), 1.5), mute=np.zeros(RATE)))
    assert (made["positives"]["clips"], made["positives"]["detected"]) == (3, 1)
    assert [note for note in made["notes"] if "hiss.wav, mute.wav" in note and "counts as a miss" in note]


def test_every_word_of_a_file_in_which_it_is_said_several_times_counts(report, corpus, said):
    made = report(positives=words_of(corpus, many=said.with_pauses([said.spoken()] * 5, [1.2] * 5, 40.0)))
    assert made["positives"]["clips"] == 5
    assert made["negatives"]["events_beside_words"] == 0
    assert [note for note in made["notes"] if note.startswith("Cut 1 recording at the pauses into 5 takes")]


def test_noise_of_which_nothing_is_left_is_passed_over_with_a_note(report, corpus):
    place = corpus / "noises"
    place.mkdir()
    soundfile.write(place / "good.wav", np.random.default_rng(0).normal(0, 0.01, RATE), RATE)
    soundfile.write(place / "mute.wav", np.zeros(RATE), RATE)
    soundfile.write(place / "one.wav", np.full(1, 0.5), 48_000)
    made = report(noise=[place])
    assert any("one.wav is too short" in note for note in made["notes"])
    assert "Left out 1 recording without any sound: mute.wav." in made["notes"]
    assert made["slices"][1]["name"] == "noise at 10 dB"


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(word=st.floats(0.05, 30.0), before=st.floats(0.0, 3.0), after=st.floats(0.0, 3.0), seed=st.integers(0, 9))
def test_an_event_at_the_end_of_a_word_of_any_length_is_its_own(recording_of, tiny, word, before, after, seed):
    scorer = scorer_of(tiny())
    random = np.random.default_rng(seed)
    samples = np.zeros(int((before + word + after) * RATE), np.float32)
    samples[int((before + word - 0.05) * RATE) : int((before + word) * RATE)] = 0.5
    recording = recording_of(samples, (before, before + word))
    for condition in (Condition(), Condition("noise", 30.0, [random.normal(0, 0.01, 100).astype(np.float32)])):
        stream = score_stream(scorer, words_in_background([recording] * 2, condition, seed))
        played = len(stream.times) * stream.step_seconds
        assert all(one.end + GRACE < played for one in stream.words)
        assert [one.end - one.start for one in stream.words] == pytest.approx([word] * 2)
        stream.scores[:] = 0.0
        for one in stream.words:
            stream.scores[np.searchsorted(stream.times, one.end)] = 1.0
        counts = count(stream, TriggerSettings(0.5, 1, 0.5))
        assert None not in counts.detected
        assert counts.false_accepts == []
