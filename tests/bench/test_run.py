import json
from pathlib import Path

import pytest

from speechtl.bench import run as module
from speechtl.bench.run import bench, open_any_bundle
from speechtl.errors import BundleError, SpeechtlError


@pytest.fixture(scope="module", params=["wake word", "image"])
def bundle(request, tiny_bundle, halves):
    return tiny_bundle if request.param == "wake word" else halves / "halves.wake"


@pytest.fixture(scope="module")
def seen():
    return []


@pytest.fixture(scope="module")
def report(bundle, seen):
    seen.clear()
    return bench(bundle, repetitions=1, progress=lambda done, total: seen.append((done, total)))


def test_a_report_is_one_json_document_with_a_schema(report):
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert (report["kind"], report["schema"], report["repetitions"]) == ("speechtl bench", 1, 1)
    assert report["machine"]["cores"] >= 1
    assert report["versions"]["python"]
    assert set(report["condition"]) == {"before", "after"}


def test_progress_reaches_its_end(report, seen):
    assert seen == sorted(seen)
    assert seen[-1][0] == seen[-1][1] > 1


def test_what_cannot_be_measured_is_an_error(bundle, tmp_path):
    with pytest.raises(BundleError, match="does not exist"):
        bench(tmp_path / "none.wake")
    with pytest.raises(BundleError, match="has no graph"):
        bench(bundle, graph="other.onnx")
    with pytest.raises(SpeechtlError, match="at least 1 repetition"):
        bench(bundle, repetitions=0)
    cut = tmp_path / "cut.wake"
    cut.write_bytes(bundle.read_bytes()[: bundle.stat().st_size // 2])
    with pytest.raises(BundleError, match="is not a bundle, or was cut short"):
        bench(cut)


def test_a_ready_word_is_opened_by_its_name_and_an_unknown_one_is_refused(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert [word.name for word in open_any_bundle(Path("computer")).words] == ["computer"]
    with pytest.raises(BundleError, match=r"computr does not exist, and is no ready word \(did you mean 'computer'\?\)"):
        open_any_bundle(Path("computr"))


def test_words_are_not_for_pictures(halves):
    with pytest.raises(SpeechtlError, match="is a bundle for pictures; leave out --positives and --split"):
        bench(halves / "halves.wake", words=[])


def test_a_bundle_of_a_kind_that_nobody_knows_is_refused(remake):
    with pytest.raises(BundleError, match="is a bundle of the kind 'smell', where 'wake word' is needed"):
        open_any_bundle(remake({"kind": "smell"}))


def test_wake_words_are_measured_without_what_reads_pictures(tiny_bundle, monkeypatch):
    monkeypatch.setitem(module.sys.modules, "PIL", None)
    monkeypatch.delitem(module.sys.modules, "speechtl.runtime.pictures", raising=False)
    monkeypatch.delitem(module.sys.modules, "speechtl.runtime.bundle.pictures", raising=False)
    assert open_any_bundle(tiny_bundle).name == "burst"
