import copy
import json

import pytest

from speechtl.bench.compare import Budget, compare, read_budgets
from speechtl.bench.measures import COSTS, DETECTION, PREDICTION
from speechtl.bench.report import conditions, read_report
from speechtl.bench.run import bench
from speechtl.bench.show import print_comparison
from speechtl.errors import SpeechtlError


@pytest.fixture(scope="module")
def measured(tiny_bundle):
    """A real report, without the delay."""
    return bench(tiny_bundle, repetitions=1, words=[])


@pytest.fixture(scope="module")
def seen(halves):
    """A real report on a bundle for pictures."""
    return bench(halves / "halves.wake", repetitions=1)


@pytest.fixture
def report(measured, tmp_path):
    """Return a function that reads a real report with values changed, given as dotted paths; by default that on a wake word."""

    def make(name: str = "a.json", of: dict = measured, **changes) -> object:
        document = copy.deepcopy(of)
        for where, value in changes.items():
            *above, last = where.split("__")
            part = document
            for key in above:
                part = part[key]
            part[last] = value
        (tmp_path / name).write_text(json.dumps(document))
        return read_report(tmp_path / name)

    return make


def test_a_report_compared_with_itself_has_ratios_of_one_and_no_drift(report):
    comparison = compare(report(deadlines__missed=0), report("b.json", deadlines__missed=0))
    assert comparison.ok
    assert (comparison.drift.largest, comparison.drift.identical) == (0.0, True)
    assert comparison.ratio("peak_mb") == 1.0
    assert comparison.ratio("delay_p95_ms") is None  # was not measured
    assert comparison.ratio("missed_deadlines") is None  # nothing is no multiple of nothing
    json.dumps(comparison.to_json(), allow_nan=False)


def test_square_brackets_are_printed_as_they_stand(report, capsys):
    print_comparison(compare(report("a [b].json", machine__model="Pi [red]"), report("b.json")))
    assert "a [b].json, " in (said := capsys.readouterr().out)
    assert "Pi [red], " in said


def test_a_ratio_is_how_many_times_the_first_the_second_is(report):
    comparison = compare(report(process__cpu_ms_per_second=2.0), report("b.json", process__cpu_ms_per_second=5.0))
    assert comparison.ratio("cpu_ms_per_second") == 2.5
    assert comparison.to_json()["measures"]["cpu_ms_per_second"] == {"values": [2.0, 5.0], "ratio": 2.5}


@pytest.mark.parametrize(("difference", "ok"), [(5e-5, True), (5e-3, False)])
def test_scores_may_drift_as_far_as_the_graph_allows(report, measured, difference, ok):
    values = [list(step) for step in measured["scores"]["values"]]
    values[7][0] += difference
    comparison = compare(report(), report("b.json", scores__values=values, scores__sha256="other"))
    assert comparison.drift.largest == pytest.approx(difference)
    assert (comparison.drift.ok, comparison.ok, comparison.drift.identical) == (ok, ok, False)


def test_scores_of_different_graphs_are_compared_without_a_verdict(report, measured):
    values = [[1.0 - step[0]] for step in measured["scores"]["values"]]
    comparison = compare(report(), report("b.json", scores__values=values, bundle__graph="model.int8.onnx"))
    assert comparison.drift.largest > 0.5
    assert comparison.ok


def test_different_bundles_are_compared_in_cost_alone(report):
    drift = compare(report(), report("b.json", bundle__sha256="0" * 64, scores__values=[[0.5]])).drift
    assert (drift.largest, drift.ok, drift.reason) == (None, True, "the reports are of different bundles")


@pytest.mark.parametrize("change", [{"audio__sha256": "0" * 64}, {"scores__values": [[0.5]]}])
def test_machines_that_heard_or_scored_something_else_do_not_agree(report, change):
    comparison = compare(report(), report("b.json", **change))
    assert comparison.drift.largest is None
    assert not comparison.ok


def test_a_budget_is_kept_up_to_its_value_and_broken_beyond(report):
    one, other = report(process__peak_mb=60.0), report("b.json", process__peak_mb=60.1)
    comparison = compare(one, other, [Budget("peak_mb", 60.0)])
    assert [(verdict.report, verdict.ok) for verdict in comparison.verdicts] == [(0, True), (1, False)]
    assert not comparison.ok


def test_a_budget_of_what_was_not_measured_is_broken(report):
    comparison = compare(report(), report("b.json"), [Budget("delay_p95_ms", 250.0)])
    assert [verdict.ok for verdict in comparison.verdicts] == [False, False]


def test_a_budget_is_for_the_bundles_that_it_names(report):
    one, other = report(bundle__encoder="conv-ctc"), report("b.json", bundle__precision="int8")
    budgets = [Budget("cpu_ms_per_second", 1e9, encoder="conv-ctc"), Budget("peak_mb", 1e9, encoder="tiny", precision="int8")]
    verdicts = compare(one, other, budgets).verdicts
    assert [(verdict.report, verdict.budget.measure) for verdict in verdicts] == [(0, "cpu_ms_per_second"), (1, "peak_mb")]


def test_budgets_that_are_meant_for_neither_are_an_error(report):
    with pytest.raises(SpeechtlError, match="None of the budgets applies to these reports"):
        compare(report(), report("b.json"), [Budget("peak_mb", 1.0, engine="other")])


def test_versions_that_differ_and_a_missing_delay_are_noted(report):
    notes = compare(report(), report("b.json", versions={"python": "3.9.9"})).notes
    assert any("no detection delay: no word is spoken" in note for note in notes)
    assert any("Versions differ" in note and "3.9.9" in note for note in notes)


def test_reports_on_pictures_are_compared_by_their_own_measures(report, seen):
    one, other = report(of=seen, process__cpu_ms_per_picture=2.0), report("b.json", seen, process__cpu_ms_per_picture=3.0)
    comparison = compare(one, other, [Budget("cpu_ms_per_picture", 2.5), Budget("peak_mb", 1e9, kind="image")])
    assert set(one.values) == set(PREDICTION.measures)
    assert None not in one.values.values()
    assert comparison.ratio("cpu_ms_per_picture") == 1.5
    assert comparison.ratio("prepare_1280x720_p50_ms") == 1.0
    assert comparison.drift.identical
    assert [(verdict.report, verdict.budget.measure, verdict.ok) for verdict in comparison.verdicts] == [
        (0, "cpu_ms_per_picture", True),
        (1, "cpu_ms_per_picture", False),
        (0, "peak_mb", True),
        (1, "peak_mb", True),
    ]
    assert set(comparison.to_json()["measures"]) == set(PREDICTION.measures)
    assert not any("delay" in note for note in comparison.notes)


def test_scores_of_pictures_may_drift_as_far_as_the_graph_allows(report, seen):
    values = [list(step) for step in seen["scores"]["values"]]
    values[3][0] += seen["bundle"]["tolerance"] * 2
    comparison = compare(report(of=seen), report("b.json", seen, scores__values=values, scores__sha256="other"))
    assert not comparison.ok
    drift = compare(report(of=seen), report("b.json", seen, pictures__sha256="0" * 64)).drift
    assert drift.reason == "the machines made different pictures; run bench again with the same version of speechtl on both"


def test_a_report_on_pictures_is_not_compared_with_one_on_a_wake_word(report, seen):
    with pytest.raises(SpeechtlError, match=r"a\.json .*'wake word' and .*b\.json .*'image'; compare two reports"):
        compare(report(), report("b.json", seen))


def test_a_budget_is_not_for_reports_that_do_not_have_its_measure_or_kind(report, seen):
    one, other = report(of=seen), report("b.json", seen)
    budgets = [Budget("delay_p95_ms", 250.0), Budget("start_seconds", 0.0, kind="wake word"), Budget("peak_mb", 1e9)]
    assert [verdict.budget.measure for verdict in compare(one, other, budgets).verdicts] == ["peak_mb"] * 2
    with pytest.raises(SpeechtlError, match="None of the budgets applies to these reports"):
        compare(one, other, budgets[:2])


def test_what_is_better_when_there_is_more_of_it_cannot_be_budgeted():
    assert "pictures_per_second" in PREDICTION.measures
    assert "pictures_per_second" not in COSTS


@pytest.mark.parametrize("change", [{"pictures__sha256": None}, {"prepare_by_size": {}}, {"picture": None}, {"pictures_per_second": None}])
def test_a_damaged_report_on_pictures_is_said_to_be_damaged(report, seen, change):
    with pytest.raises(SpeechtlError, match=r"is damaged: .*Make the report again"):
        report(of=seen, **change)


def test_a_report_on_a_kind_of_bundle_that_nobody_knows_needs_a_newer_version(report, seen):
    with pytest.raises(SpeechtlError, match="of kind 'smell', which this speechtl does not know"):
        report(of=seen, bundle__kind="smell")
    with pytest.raises(SpeechtlError, match=r"is damaged: bundle\.kind"):
        report(of=seen, bundle__kind=["image"])


def test_scores_that_are_not_repeatable_are_noted(report):
    notes = compare(report(), report("b.json", scores__repeatable=False)).notes
    assert any("b.json: the same audio gave different scores" in note for note in notes)


THROTTLED = {"source": "vcgencmd", "now": ["under-voltage"], "since_start": ["under-voltage"], "events": None}
COUNTED = {"source": "thermal_throttle", "now": [], "since_start": ["throttled"]}


def test_what_slows_a_machine_is_said(report):
    calm = {"condition__before__load": 0.1, "condition__after__load": 0.1, "machine__cores": 4}
    assert conditions(report(**calm).document) == []
    busy, throttled, saving = (
        conditions(report(**{**calm, **change}).document)
        for change in ({"condition__after__load": 9.5}, {"condition__after__throttling": THROTTLED}, {"machine__governor": "powersave"})
    )
    assert "load 9.5 on 4 cores" in busy[0]
    assert "under-voltage" in throttled[0]
    assert "powersave" in saving[0]


def test_throttling_events_count_only_when_they_came_during_the_measurement(report):
    calm = {"condition__after__load": 0.1, "condition__before__throttling": {**COUNTED, "events": 7}}
    same = report(**calm, condition__after__throttling={**COUNTED, "events": 7})
    more = report(**calm, condition__after__throttling={**COUNTED, "events": 8})
    assert conditions(same.document) == []
    assert "throttled its processor (too hot)" in conditions(more.document)[0]


def test_every_measure_is_read_from_a_real_report(report):
    values = report().values
    assert set(values) == set(DETECTION.measures)
    assert [name for name, value in values.items() if value is None] == ["delay_p50_ms", "delay_p95_ms", "delay_max_ms"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "is not JSON"),
        ("[1]", "is not a benchmark report"),
        ('{"kind": "else"}', "is not a benchmark report"),
        ('{"kind": "speechtl bench", "schema": 99}', "has schema 99, and this speechtl reads up to 1"),
        ('{"kind": "speechtl bench"}', "has schema None"),
        ('{"kind": "speechtl bench", "schema": 1}', "is damaged: stages.resample.cpu_ms_per_second is missing"),
        ("[" * 100_000, "is not JSON"),
    ],
)
def test_what_is_no_report_is_said(tmp_path, content, says):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(SpeechtlError, match=says):
        read_report(tmp_path / "a.json")


@pytest.mark.parametrize(
    "change",
    [
        {"process__peak_mb": None},
        {"process__peak_mb": "much"},
        {"process__peak_mb": True},
        {"process__peak_mb": float("nan")},
        {"deadlines": 3},
        {"scores__values": []},
        {"scores__values": [[0.5], [0.5, 0.6]]},
        {"scores__values": [["x"]]},
        {"scores": None},
        {"bundle__sha256": None},
        {"machine__cores": "four"},
        {"versions": []},
        {"condition__after": None},
        {"condition__after__load": "high"},
        {"delay__ms": None},
        {"bundle__engine": None},
        {"machine__model": 5},
        {"condition__after__clock_mhz": "fast"},
        {"condition__after__temperature_celsius": "hot"},
        {"condition__before__throttling": {"events": "many"}},
        {"condition__after__throttling": {"now": 3}},
    ],
)
def test_a_damaged_report_is_said_to_be_damaged(report, change):
    with pytest.raises(SpeechtlError, match=r"is damaged: .*Make the report again"):
        report(**change)


def test_files_that_are_absent_or_folders_are_said(tmp_path):
    for read in (read_report, read_budgets):
        with pytest.raises(SpeechtlError, match="does not exist"):
            read(tmp_path / "none")
        with pytest.raises(SpeechtlError, match="is a folder"):
            read(tmp_path)


def test_budgets_are_read_with_their_conditions(tmp_path):
    (tmp_path / "b.toml").write_text(
        '[[budget]]\nmeasure = "peak_mb"\nat_most = 45\nengine = "ai-edge-litert"\n[[budget]]\nmeasure = "start_seconds"\nat_most = 0.3\n'
    )
    assert read_budgets(tmp_path / "b.toml") == [Budget("peak_mb", 45.0, engine="ai-edge-litert"), Budget("start_seconds", 0.3)]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("a = ", "is not valid TOML"),
        ("", r"must hold one or more \[\[budget\]\] tables"),
        ("budget = 3", r"must hold one or more \[\[budget\]\] tables"),
        ("budget = [3]", "budget 1: must be a table"),
        ('[[budget]]\nmeasure = "peak"\nat_most = 1', r"budget 1: 'measure' must be one of .*did you mean 'peak_mb'"),
        ("[[budget]]\nat_most = 1", "budget 1: 'measure' must be one of .*got None"),
        ('[[budget]]\nmeasure = "peak_mb"', "budget 1: 'at_most' must be a number, 0 or more; got None"),
        ('[[budget]]\nmeasure = "peak_mb"\nat_most = -1', "0 or more; got -1"),
        ('[[budget]]\nmeasure = "peak_mb"\nat_most = nan', "0 or more; got nan"),
        ('[[budget]]\nmeasure = "peak_mb"\nat_most = 1\nencodr = "x"', r"the key 'encodr' is not known \(did you mean 'encoder'\?\)"),
        ('[[budget]]\nmeasure = "peak_mb"\nat_most = 1\nencoder = 3', "'encoder' must be text; got 3"),
        (
            '[[budget]]\nmeasure = "peak_mb"\nat_most = 1\nkind = "images"',
            "'kind' must be one of wake word, image; got 'images' .did you mean 'image'",
        ),
        ('[[budget]]\nmeasure = "pictures_per_second"\nat_most = 1', "'measure' must be one of .*got 'pictures_per_second'"),
        ('extra = 1\n[[budget]]\nmeasure = "peak_mb"\nat_most = 1', r"must hold one or more \[\[budget\]\] tables and nothing else"),
    ],
)
def test_mistakes_in_budgets_are_named(tmp_path, content, says):
    (tmp_path / "b.toml").write_text(content)
    with pytest.raises(SpeechtlError, match=says):
        read_budgets(tmp_path / "b.toml")
