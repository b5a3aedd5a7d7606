import hashlib
import subprocess
import sys
import tempfile

import numpy as np
import pytest

from speechtl.bench import prediction as module
from speechtl.bench.process import run_worker
from speechtl.bench.run import bench
from speechtl.bench.stimulus import PICTURE, PICTURE_SIZES, PICTURES_PER_SIZE, write_pictures
from speechtl.errors import BundleError, SpeechtlError
from speechtl.runtime.bundle.pictures import open_picture_bundle
from speechtl.runtime.engine.pictures import PictureEngine
from speechtl.runtime.pictures import read_pixels

SHOWN = len(PICTURE_SIZES) * PICTURES_PER_SIZE * module.ROUNDS


@pytest.fixture(scope="module")
def bundle(halves):
    return halves / "halves.wake"


@pytest.fixture(scope="module")
def report(bundle):
    return bench(bundle, repetitions=2)


def test_a_report_names_the_bundle_its_graph_and_the_pictures(report, bundle):
    about = report["bundle"]
    assert (about["kind"], about["name"], about["engine"], about["tasks"], about["size"]) == (
        "image",
        "halves",
        "onnxruntime",
        ["label"],
        24,
    )
    assert (about["graph"], about["precision"]) == ("model.int8.onnx", "int8")
    assert about["tolerance"] == open_picture_bundle(bundle).about["graphs"]["model.int8.onnx"]["tolerance"]
    assert about["sha256"] == hashlib.sha256(bundle.read_bytes()).hexdigest()
    assert report["pictures"]["sizes"] == ["640x480", "1280x720", "1920x1080"]
    assert (report["pictures"]["shown"], report["pictures"]["golden"]) == (SHOWN, len(open_picture_bundle(bundle).golden()[0]))
    assert report["versions"]["pillow"]


def test_every_stage_and_size_has_percentiles_in_order_and_a_cost(report):
    assert list(report["stages"]) == ["prepare", "network"]
    assert list(report["prepare_by_size"]) == list(PICTURE_SIZES)
    for told in (*report["stages"].values(), *report["prepare_by_size"].values(), report["picture"]):
        wall = told["wall_ms"]
        assert 0 < wall["p50"] <= wall["p95"] <= wall["p99"] <= wall["max"]
        assert told["cpu_ms_per_picture"] > 0
    parts = sum(stage["cpu_ms_per_picture"] for stage in report["stages"].values())
    assert report["picture"]["cpu_ms_per_picture"] == pytest.approx(parts, rel=0.01)
    assert report["pictures_per_second"] > 0


def test_a_larger_picture_costs_more_to_prepare(report):
    costs = [report["prepare_by_size"][size]["cpu_ms_per_picture"] for size in PICTURE_SIZES]
    assert costs[0] < costs[1] < costs[2] / 1.5
    assert report["stages"]["network"]["cpu_ms_per_picture"] < costs[0]  # it is tiny


def test_times_belong_to_their_stage_and_size():
    times = np.zeros((6, 2, 2), np.int64)
    times[:, 0] = np.array([1, 2, 30] * 2)[:, None] * 1_000_000
    times[:, 1] = 5_000_000
    told = module._stages([times, times])
    assert [told["prepare_by_size"][size]["wall_ms"]["p50"] for size in PICTURE_SIZES] == [1.0, 2.0, 30.0]
    assert told["stages"]["prepare"]["cpu_ms_per_picture"] == 11.0
    assert told["stages"]["network"]["wall_ms"]["max"] == 5.0
    assert told["picture"]["wall_ms"]["max"] == 35.0
    assert told["pictures_per_second"] == pytest.approx(12 / 0.192, abs=0.01)


def test_a_fresh_process_is_measured_as_often_as_asked(report):
    process = report["process"]
    assert len(process["each"]) == 2
    assert process["pictures"] == SHOWN
    for measure in ("cpu_ms_per_picture", "peak_mb", "start_seconds", "start_cpu_seconds"):
        assert process[measure] == pytest.approx(np.median([each[measure] for each in process["each"]]), abs=2e-4)
        assert process[measure] > 0


def test_the_scores_are_those_of_the_golden_and_of_the_made_pictures(report, bundle, tmp_path):
    opened = open_picture_bundle(bundle)
    engine = PictureEngine(opened)
    shown = [*opened.golden()[0], *(read_pixels(file, opened.settings) for file in write_pictures(tmp_path))]
    expected = np.stack([engine.run(pixels) for pixels in shown])
    np.testing.assert_allclose(report["scores"]["values"], expected, atol=1e-7)
    assert report["scores"]["repeatable"] is True


def test_a_graph_is_chosen_by_name(bundle):
    report = bench(bundle, graph="model.onnx", engine="onnxruntime", repetitions=1)
    assert (report["bundle"]["graph"], report["bundle"]["precision"], report["bundle"]["tolerance"]) == ("model.onnx", "fp32", 1e-4)


def test_the_folder_of_pictures_is_gone_afterwards_even_after_a_failure(bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(SpeechtlError, match="cannot be started"):
        bench(bundle, repetitions=1, python=[str(tmp_path / "no-python")])
    assert list(tmp_path.iterdir()) == []


def test_pictures_run_in_onnx_runtime_alone(bundle):
    with pytest.raises(SpeechtlError, match="which only runs in onnxruntime, not in 'ai-edge-litert'; leave out --engine"):
        bench(bundle, engine="ai-edge-litert")


def test_a_bundle_without_golden_pictures_is_said(halves, bundle, tmp_path):
    from speechtl.runtime.bundle.archive import write_bundle

    opened = open_picture_bundle(bundle)
    write_bundle(tmp_path / "bare.wake", opened.about, {name: content for name, content in opened.files.items() if name != "golden.npz"})
    with pytest.raises(BundleError, match="has no golden pictures; export it again"):
        bench(tmp_path / "bare.wake")


def test_the_worker_answers_to_every_picture_and_tells_what_they_cost(bundle, tmp_path):
    files = write_pictures(tmp_path)[:3]
    command = [sys.executable, "-m", *module.WORKER, str(bundle), "model.onnx", str(files[0])]
    cost, answer = run_worker(command, module._names(files))
    assert (cost.pieces, answer["pieces"]) == (3, 3)
    assert 0 < cost.start_cpu_seconds < cost.cpu_seconds
    assert 20 < cost.peak_mb < 300
    assert cost.per(PICTURE)["pictures"] == 3


def test_a_picture_that_the_worker_cannot_read_is_an_error(bundle, tmp_path):
    good, bad = write_pictures(tmp_path)[0], tmp_path / "none.ppm"
    for first, others in ((good, [bad]), (bad, [])):  # the first one is answered to before the worker is ready
        command = [sys.executable, "-m", *module.WORKER, str(bundle), "model.onnx", str(first)]
        with pytest.raises(SpeechtlError, match=r"none\.ppm does not exist"):
            run_worker(command, module._names(others))


def test_the_worker_imports_the_runtime_and_nothing_heavier(bundle, tmp_path):
    first = write_pictures(tmp_path)[0]
    code = f"import sys; from {module.WORKER[0]} import main; main(sys.argv[1:]); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code, *module.WORKER[1:], str(bundle), "model.onnx", str(first)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    imported = set(done.stdout.splitlines()[-1].split())
    assert {"speechtl.runtime.pictures", "PIL"} <= imported
    assert not {"torch", "scipy", "typer", "rich", "soxr", "soundfile", "speechtl.image", "speechtl.transfer", "speechtl.cli"} & imported
