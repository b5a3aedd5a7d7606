from pathlib import Path

import numpy as np

from speechtl.bench.measures import describe_bundle, percentiles, score_summary, time_summary


def test_percentiles_are_those_of_numpy_and_none_of_nothing():
    values = np.arange(1, 1001)
    assert percentiles(values) == {"p50": 500.5, "p95": 950.05, "p99": 990.01, "max": 1000.0}
    assert percentiles([]) == {"p50": None, "p95": None, "p99": None, "max": None}


def test_times_are_told_in_milliseconds_and_for_each_unit():
    told = time_summary(np.array([[1_000_000, 500_000], [3_000_000, 1_500_000]]), "picture", 4)
    assert told["wall_ms"]["p50"] == 2.0
    assert told["cpu_ms_per_picture"] == 0.5


def test_passes_that_differ_are_told():
    told = score_summary([np.zeros((3, 1), np.float32), np.ones((3, 1), np.float32)])
    assert told["repeatable"] is False


def test_a_bundle_whose_encoder_is_no_table_is_described_without_it(tmp_path):
    Path(tmp_path / "a.wake").write_bytes(b"12345")
    assert describe_bundle(tmp_path / "a.wake", {"name": "a", "encoder": {"name": "x"}}, "g", "e")["encoder"] == "x"
    told = describe_bundle(tmp_path / "a.wake", {"name": "a", "encoder": "x"}, "g", "e")
    assert (told["encoder"], told["bytes"], told["file"]) == (None, 5, "a.wake")
