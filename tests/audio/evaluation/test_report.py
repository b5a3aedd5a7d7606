import json
import re
from html.parser import HTMLParser

import pytest
from scipy.stats import binomtest, chi2

from speechtl.audio.evaluation.page import page
from speechtl.audio.evaluation.report import evaluation_summary, training_summary, write_report

VOID = {"meta"}


class Reader(HTMLParser):
    """Read a page, insisting that every tag is closed where it should be."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.ids, self.words = [], [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes
        self.ids += [value for key, value in attributes if key == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def recall(detected, clips):
    limits = binomtest(detected, clips).proportion_ci(0.95, "exact") if clips else (0.0, 1.0)
    return {
        "clips": clips,
        "detected": detected,
        "recall": detected / max(clips, 1),
        "recall_low": limits[0],
        "recall_high": limits[1],
    }


def part(name, kind, detected, clips):
    return {"name": name, "kind": kind, **recall(detected, clips), "delay_ms": {"p50": 298.0 if detected else None, "p95": None}}


def make_report(detected=70, clips=72, events=0, hours=2.897455, threshold=0.678, speakers=("Ann", "Bob"), noise=True):
    """Return a report as `evaluate` makes it."""
    delays = {"p50": 298.0, "p95": 340.7} if detected else {"p50": None, "p95": None}
    conditions = [part("clean", "condition", detected, clips)] + ([part("noise at 10 dB", "condition", 28, 72)] if noise else [])
    return {
        "schema": 2,
        "model": "runs/computer.wake",
        "graph": "model.onnx in onnxruntime",
        "split": "test",
        "threshold_source": "calibrated",
        "name": "computer",
        "positives": recall(detected, clips),
        "negatives": {
            "hours": hours,
            "events": events,
            "per_hour": events / hours,
            "events_beside_words": 0,
            "per_hour_high": chi2.ppf(0.95, 2 * events + 2) / 2 / hours,
        },
        "threshold": threshold,
        "detector": {"threshold": threshold, "smoothing": 2, "refractory": 1.0},
        "delay_ms": delays,
        "det": [[0.1, 1.0, 8.28], [0.5, 0.99, 0.345], [threshold, detected / max(clips, 1), events / hours], [0.999, 0.1, 0.0]],
        "slices": conditions + [part(name, "speaker", min(index, 10), 10) for index, name in enumerate(speakers)],
        "missed": [{"file": f"words/{index}.opus", "time": 0.75} for index in range(clips - detected)],
        "false_accepts": [{"file": f"speech/{index}.flac", "time": 1.25} for index in range(events)],
    }


EDGES = {
    "typical": make_report(),
    "all detected": make_report(detected=72),
    "none detected": make_report(detected=0),
    "no recording of the word": make_report(detected=0, clips=0, speakers=(), noise=False),
    "many false accepts": make_report(events=1000),
    "very short negatives": make_report(hours=0.002),
    "very long negatives": make_report(hours=20000.0, events=3),
    "no noise": make_report(noise=False),
    "no speakers": make_report(speakers=()),
    "very long names": make_report(speakers=["a long name " * 40, "x" * 400]),
    "no other thresholds": make_report() | {"det": []},
    "threshold of 1": make_report(threshold=1.0),
}


@pytest.mark.parametrize("report", EDGES.values(), ids=EDGES.keys())
def test_a_page_is_whole_self_contained_and_finite(report):
    text = page(report)
    read = Reader(text)
    assert not {"script", "link", "img", "iframe"} & set(read.tags)
    assert not {"href", "src", "style", "onload"} & {key for key, _ in read.attributes}
    assert "http" not in text
    assert "@import" not in text
    assert not re.search(r"\b(nan|inf|None(?!\.))\b", text)
    assert len(set(read.ids)) == len(read.ids)
    for key, value in read.attributes:
        for target in value.split() if key == "aria-labelledby" else re.findall(r"url\(#(.*)\)", value):
            assert target in read.ids


@pytest.mark.parametrize("report", EDGES.values(), ids=EDGES.keys())
def test_the_operating_point_lies_inside_the_plot(report):
    found = re.search(r'class="point" cx="([\d.]+)" cy="([\d.]+)"', page(report))
    assert 40 < float(found[1]) < 460
    assert 0 < float(found[2]) < 300


def test_the_two_answers_stand_in_plain_words():
    text = Reader(page(make_report())).text
    assert "misses 2 of 72 = 2.8 % (0.3 to 9.7 %)" in text
    assert (
        "0 false accepts in 2.90 h: at most 1.03 per hour with 95 % confidence; to claim 0.5 per hour you need 6 hours without one" in text
    )
    assert "298 ms" in text
    assert "341 ms" in text
    assert "With noise at 10 dB it misses 44 of 72 = 61.1 % (48.9 to 72.4 %)" in text


def test_a_threshold_that_reads_like_another_stands_once_in_the_table():
    report = make_report(threshold=0.5000001)
    alike = [[value, 0.9, 0.345] for value in (0.5, report["threshold"])]
    assert page(report | {"det": [[0.1, 1.0, 8.28], *alike]}).count("<td>0.50</td>") == 1


def test_hours_that_suffice_for_the_claim_call_for_no_more():
    assert "to claim" not in page(make_report(hours=6.0))
    assert "to claim" in page(make_report(hours=5.9))


def test_a_rate_above_the_claim_is_not_promised_away_with_more_hours():
    text = Reader(page(make_report(events=14))).text
    assert "4.83 per hour" in text
    assert "14 false accepts in 2.90 h" in text
    assert "to claim" not in text


def test_an_event_below_the_claim_raises_the_hours_it_takes():
    # A Poisson mean of 4.744 is the upper 95 % limit of one event (Garwood 1936).
    assert "you need 9.5 hours with no more of them" in page(make_report(events=1))


def test_a_word_that_was_never_played_has_no_miss_rate():
    text = Reader(page(EDGES["no recording of the word"])).text
    assert "was tested on no recording of the word" in text
    assert "misses 0 of 0" not in text


def test_events_between_words_are_reported_when_there_are_any():
    assert "between the words" not in page(make_report())
    report = make_report(events=3)
    report["negatives"]["events_beside_words"] = 2
    assert "2 events occurred between the words" in page(report)


def test_a_threshold_near_one_keeps_its_digits():
    assert "0.99999917" in page(make_report(threshold=0.99999917))


def test_zero_stands_apart_from_the_logarithmic_axis():
    zero, one_tenth, one = (
        float(re.search(rf'<text x="([\d.]+)" [^>]*text-anchor="middle">{label}</text>', page(make_report()))[1])
        for label in ("0", "0.1", "1")
    )
    assert zero < one_tenth < one
    assert float(re.search(r'class="point" cx="([\d.]+)"', page(make_report()))[1]) == zero


def test_names_are_text_whatever_they_hold():
    evil = '<script>alert("1")</script>&amp;\''
    report = make_report(speakers=[evil], events=1) | {"name": evil, "missed": [{"file": evil, "time": 1.0}], "model": evil}
    report["false_accepts"] = [{"file": evil, "time": 1.0}]
    report["slices"] += [part(evil, evil, 1, 2), part(evil, "condition", 1, 2)]
    read = Reader(page(report))
    assert "script" not in read.tags
    assert read.text.count(evil) >= 7


def test_control_characters_of_names_are_written_out():
    evil = "a\x1b[2J\nb\x00\u202ec"
    report = make_report(speakers=[evil], events=1) | {"name": evil, "missed": [{"file": evil, "time": 1.0}], "model": evil}
    written = page(report)
    assert not {"\x1b", "\x00", "\u202e"} & set(written)
    assert written.count(r"a\x1b[2J\x0ab\x00\u202ec") >= 4


def test_speakers_come_most_missed_first_and_many_are_collapsed():
    report = make_report(speakers=["worst", "middle", "best"])
    report["slices"].reverse()
    text = Reader(page(report)).text
    assert text.index("worst") < text.index("middle") < text.index("best")
    assert Reader(page(make_report(speakers=[str(index) for index in range(11)]))).tags.count("details") == 1
    assert "3 more" in page(make_report(speakers=[str(index) for index in range(15)]))


def test_files_are_listed_and_long_lists_collapsed():
    few, many = Reader(page(make_report(events=2))), Reader(page(make_report(detected=40, events=100)))
    assert "words/1.opus" in few.text
    assert "speech/1.flac at 1.25 s" in few.text
    assert many.tags.count("details") == few.tags.count("details") + 2
    assert "speech/99.flac" in many.text


def world_report():
    """Return a report with 12 conditions and two kinds of negatives."""
    names = [f"{kind} at {snr} dB" for kind in ("noise", "babble", "room and noise") for snr in (10, 5, -5)]
    report = make_report(noise=False)
    conditions = [part(name, "condition", 60 - index, 72) for index, name in enumerate([*names, "far field", "telephone"])]
    kinds = [{"name": name, "kind": "negatives", "hours": 1.5, "events": 3, "per_hour": 2.0, "per_hour_high": 5.17} for name in "ab"]
    speakers = report["slices"][1:]
    return report | {"slices": [report["slices"][0], *conditions, *kinds, *speakers]}


def test_many_conditions_are_a_table_by_kind_and_ratio():
    text = Reader(page(world_report())).text
    assert "Surroundings as they are 10 dB 5 dB -5 dB" in text
    assert "babble 79.2 68.0 to 87.8 77.8" in text  # 57 and 56 of 72
    assert "Worst of 11 other surroundings: with telephone it misses 22 of 72" in text
    assert "With noise at 10 dB" not in text


def test_false_accepts_by_kind_are_a_table_where_there_are_several():
    assert "b 1.50 3 2 5.17" in Reader(page(world_report())).text
    report = world_report()
    report["slices"] = [one for one in report["slices"] if one["name"] != "b"]
    assert "False accepts by manifest" not in page(report)


def of_sound(name, events, hours):
    high = chi2.ppf(0.95, 2 * events + 2) / 2 / hours
    return {"name": name, "kind": "sound", "hours": hours, "events": events, "per_hour": events / hours, "per_hour_high": high}


def test_kinds_of_sound_come_worst_first_and_the_worst_stands_at_the_top():
    report = make_report()
    report["slices"] += [of_sound("read", 0, 2.0), of_sound("music", 4, 0.5), of_sound("noise", 1, 0.4)]
    text = Reader(page(report)).text
    assert "Worst of 3 kinds of sound: music , 4 in 0.50 h = 8 per hour (at most 18.31)." in text
    assert re.search(r"the worst first Kind of sound .* music 0.50 4 .* noise 0.40 1 .* read 2 0 ", text)
    lines = evaluation_summary(report).splitlines()
    assert [line.split()[2] for line in lines if line.startswith("  false accepts, ")] == ["music", "noise", "read"]


def test_what_manifests_tell_of_people_has_sections_and_a_worst_line():
    report = make_report()
    report["slices"] += [part("20 to 39", "age", 30, 30), part("under 13", "age", 20, 30), part("kitchen", "room", 10, 12)]
    text = Reader(page(report)).text
    assert "Worst age, under 13 : it misses 10 of 30" in text
    assert "Worst room" not in text  # there is one only
    assert text.index("By age, the worst first") < text.index("By room, the worst first")
    assert text.rindex("under 13") < text.rindex("20 to 39")


def test_requirements_that_are_not_met_stand_first():
    met = {"kind": None, "name": None, "measure": "recall", "at_least": 0.9, "value": 0.97, "ok": True}
    failed = {"kind": "sound", "name": "music", "measure": "per_hour", "at_most": 1.0, "value": 8.0, "ok": False}
    text = Reader(page(make_report() | {"requirements": [met, failed]})).text
    assert "Requirements: 1 of 2 not met" in text
    assert "Slice Required Found sound music false accepts per hour at most 1 8 1 met" in text
    assert "overall recall at least 90.0 % 97.0 %" in text
    assert "Requirements: all 1 met" in Reader(page(make_report() | {"requirements": [met]})).text
    assert "Requirements" not in page(make_report())


def test_misses_and_false_accepts_have_players_of_files_beside_the_page():
    players = {"missed": ["report-audio/missed-0001.flac", None], "false_accepts": ["report-audio/false-accepts-0001.flac"]}
    read = Reader(page(make_report(events=3), players))
    assert [value for key, value in read.attributes if key == "src"] == [
        "report-audio/missed-0001.flac",
        "report-audio/false-accepts-0001.flac",
    ]
    assert read.tags.count("audio") == 2
    assert [key for key, _ in read.attributes].count("preload") == 2  # nothing is loaded before someone plays it
    assert ("aria-label", "words/0.opus at 0.75 s") in read.attributes
    assert "The first 1 can be played." in read.text
    assert "The first 2" not in read.text
    assert "http" not in page(make_report(events=3), players)


def test_a_page_says_how_to_repeat_its_report():
    stated = {
        "model_sha256": "ab" * 32,
        "sources": [{"source": "sets/words.jsonl", "sha256": None, "files": {"a.wav": "00", "b.wav": "01"}}],
        "versions": {"speechtl": "0.1.0", "numpy": "2.0"},
        "machine": {"processor": "Cortex-A76", "cores": 4, "system": "Linux"},
    }
    text = Reader(page(make_report() | {"statement": stated})).text
    assert "speechtl evaluate --repeat report.json" in text
    assert "2 files of words.jsonl" in text
    assert "ab" * 32 in text
    assert "speechtl 0.1.0, numpy 2.0" in text


def test_thousands_of_speakers_do_not_make_a_page_of_thousands_of_rows():
    text = page(make_report(speakers=[f"p{index}" for index in range(350)]))
    assert "50 that are better are in report.json." in text


def test_the_curve_begins_at_the_threshold_with_most_false_accepts():
    # The scores of a weak network hardly fall below 0.01 and 0.1, so that nothing rises to these thresholds.
    weak = [[0.01, 0.0, 0.0], [0.1, 0.1, 5.0], [0.2, 1.0, 80.0], [0.5, 0.9, 2.0], [0.9, 0.5, 0.1]]
    assert page(make_report() | {"det": weak}).count('<path class="curve') == 2


def test_a_report_without_noise_says_so():
    assert "Only clean recordings were played" in page(make_report(noise=False))
    assert "Only clean recordings were played" not in page(make_report())


def test_a_report_is_written_as_json_and_as_a_page(tmp_path):
    report = make_report() | {"name": "größer"}
    write_report(tmp_path / "new" / "folder", report)
    folder = tmp_path / "new" / "folder"
    assert json.loads((folder / "report.json").read_text("utf-8")) == report
    assert (folder / "report.html").read_text("utf-8") == page(report)
    assert sorted(path.name for path in folder.iterdir()) == ["report.html", "report.json"]


def test_the_summary_of_an_evaluation_has_both_rates_with_limits():
    lines = evaluation_summary(make_report()).splitlines()
    assert lines[0] == "computer at a threshold of 0.678:"
    assert lines[1].endswith("70 of 72 = 97.2 % (90.3 to 99.7 % with 95 % confidence)")
    assert lines[2].startswith("  recall, noise at 10 dB")
    assert lines[3].startswith("  recall, worst speaker: Ann")
    assert lines[4].endswith("0 in 2.90 h = 0.00 per hour (at most 1.03 with 95 % confidence)")
    assert "298 ms" in lines[5]


def test_the_summary_of_an_evaluation_without_detections_has_no_delay():
    assert "delay" not in evaluation_summary(make_report(detected=0))


def test_the_summary_of_a_training_is_that_of_the_rate_aimed_at(tmp_path):
    point = {**recall(38, 40), "hours": 0.5, "events": 1, "per_hour": 2.0, "per_hour_high": 9.5}
    about = {
        "name": "computer",
        "seconds": {"all": 90.0},
        "recipe": {"calibrate": {"false_accepts_per_hour": 0.5}},
        "operating_points": [
            {**point, "false_accepts_per_hour": 0.1, "threshold": 0.9, "events": 0},
            {**point, "false_accepts_per_hour": 0.5, "threshold": 0.7},
        ],
        "data": {"speakers_apart": True},
        "licence": {"commercial": "no", "reasons": ["first", "second", "third"]},
    }
    text = training_summary(about, tmp_path)
    assert "1.5 minutes" in text
    assert "speakers not trained on" in text
    assert "speakers" not in training_summary(about | {"data": {"speakers_apart": False}}, tmp_path)
    assert "threshold of 0.7:" in text
    assert "38 of 40 = 95.0 % (83.1 to 99.4 % with 95 % confidence)" in text
    assert "1 in 0.50 h = 2.00 per hour (at most 9.5 with 95 % confidence), aimed at 0.5 per hour" in text
    assert "Commercial use: no (first; second; third)" in text
    assert f"speechtl export {tmp_path} -o computer.wake" in text
    assert "synthesised" not in text
    for clips, sentence in ((240, "All words are synthesised"), (250, "of the 10 real takes; 240 synthesised ones")):
        data = {"speakers_apart": True, "synthesised": 240, "positives": {"clips": clips}}
        assert sentence in training_summary(about | {"data": data}, tmp_path)


def test_a_summary_names_the_words_that_are_taken_for_it():
    found = [{"text": "commuter", "takes": 4, "events": 3}, {"text": "pewter", "takes": 4, "events": 0}]
    assert "commuter (3 of 4), of 2 words that sound like it, spoken 8 times" in evaluation_summary(make_report() | {"confusables": found})
    text = Reader(page(make_report() | {"confusables": found})).text
    assert "Words that sound like it: 1 of 2 are taken for it" in text
    assert "commuter" in text
    assert "sound like it" not in page(make_report())
    assert "taken for it" not in evaluation_summary(make_report())
