"""Reports that are repeated: the statement that they make, and what keeps a repetition from being one."""

import copy
import hashlib
import json
import shutil
from pathlib import Path

import pytest

from speechtl.audio.data.manifest import read_manifest
from speechtl.audio.evaluation.evaluate import listen_to
from speechtl.audio.evaluation.material import Plan
from speechtl.audio.evaluation.model import open_model
from speechtl.audio.evidence.repeat import differences, repeat
from speechtl.audio.evidence.report_file import read_report
from speechtl.audio.evidence.statement import make_statement, model_hash
from speechtl.errors import SpeechtlError
from speechtl.files import sha256_of
from speechtl.runtime import ready


@pytest.fixture
def report(tiny_bundle, corpus, monkeypatch):
    """A report in a folder with everything that it was made of, as seen from that folder."""
    monkeypatch.chdir(corpus)
    shutil.copy(tiny_bundle, corpus / "burst.wake")
    plan = Plan([corpus / "positives.jsonl"], [corpus / "negatives.jsonl"], [corpus / "noise.jsonl"], snr_db=(5.0,))
    made = listen_to(open_model(corpus / "burst.wake"), plan, lambda note: None).report
    (corpus / "report.json").write_text(json.dumps(made))
    return made


def again(path="report.json", model=None):
    return repeat(Path(path), model, lambda note: None)


def test_a_report_states_what_it_was_made_of(report, corpus):
    stated = report["statement"]
    assert stated["model_sha256"] == hashlib.sha256((corpus / "burst.wake").read_bytes()).hexdigest()
    files = {one["source"].rsplit("/", 1)[1]: one["files"] for one in stated["sources"]}
    assert {name: len(listed) for name, listed in files.items()} == {"positives.jsonl": 3, "negatives.jsonl": 3, "noise.jsonl": 3}
    assert files["positives.jsonl"]["positives/9.wav"] == hashlib.sha256((corpus / "positives" / "9.wav").read_bytes()).hexdigest()
    assert stated["plan"]["snr_db"] == [5.0]
    assert {"speechtl", "python", "numpy"} <= set(stated["versions"])
    assert stated["machine"]["cores"] >= 1
    assert stated["folder"] == str(corpus)


def test_a_report_is_repeated_where_it_was_made(report):
    done = again()
    assert done.differences == []
    assert done.elsewhere == []
    assert "report.json is repeated" in str(done)
    assert done.to_json()["same"] is True


def test_a_report_on_a_ready_word_is_repeated_by_its_name(corpus, monkeypatch):
    monkeypatch.chdir(corpus)
    plan = Plan([corpus / "positives.jsonl"], [corpus / "negatives.jsonl"])
    made = listen_to(open_model("computer"), plan, lambda note: None).report
    (corpus / "report.json").write_text(json.dumps(made))
    assert (made["model"], made["name"], made["statement"]["model_sha256"]) == ("computer", "computer", sha256_of(ready.BUNDLE))
    assert again().differences == []


def test_another_place_of_bundle_and_recordings_is_the_same_report(report, corpus, tmp_path_factory, monkeypatch):
    there = tmp_path_factory.mktemp("there")
    shutil.copytree(corpus, there, dirs_exist_ok=True)
    for path in corpus.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    monkeypatch.chdir(there.parent)
    assert again(there / "report.json").differences == []


def test_a_difference_is_told_in_a_table(report, corpus):
    report["positives"]["detected"] = 2
    report["delay_ms"]["p50"] += 1e-5  # rounding
    report["missed"] = [{"file": "positives/9.wav", "time": 0.3}]
    report["statement"]["versions"]["numpy"] = "1.0"
    (corpus / "report.json").write_text(json.dumps(report))
    done = again()
    assert done.differences == [("positives, detected", "2", "3"), ("missed, positives/9.wav at 0.3 s", "listed", "-")]
    text = str(done)
    assert text.startswith("2 results of report.json changed:")
    assert "The report was made with numpy 1.0, here " in text


def test_only_what_was_measured_is_compared(report):
    other = copy.deepcopy(report) | {"model": "elsewhere.wake"}
    other["slices"].reverse()
    assert differences(report, other) == []
    other["slices"][0]["clips"] += 1
    assert len(differences(report, other)) == 1
    del other["slices"][0]
    assert [(before, now) for _, before, now in differences(report, other)] == [("there", "-")]


def test_recordings_that_are_gone_changed_or_new_are_named(report, corpus):
    (corpus / "positives" / "8.wav").unlink()
    (corpus / "positives" / "9.wav").write_bytes((corpus / "positives" / "10.wav").read_bytes())
    lines = (corpus / "negatives.jsonl").read_text().splitlines()
    moved = json.loads(lines[0]) | {"split": "test"}
    (corpus / "negatives.jsonl").write_text("\n".join([json.dumps(moved), *lines[1:]]))
    with pytest.raises(SpeechtlError) as raised:
        again()
    assert str(raised.value) == (
        "report.json cannot be repeated, because its recordings are not the same any more: "
        "1 recording is gone: positives/8.wav of positives.jsonl; "
        "1 recording is changed: positives/9.wav of positives.jsonl; "
        "1 recording is added: negatives/0.wav of negatives.jsonl."
    )


def test_another_model_is_refused(report, remake):
    with pytest.raises(SpeechtlError, match=r"changed\.wake is not the model of report\.json: its SHA-256 is another one"):
        again(model=remake({"name": "other"}))


def test_a_model_that_is_gone_is_named_with_where_it_was_looked_for(report, corpus):
    (corpus / "burst.wake").unlink()
    with pytest.raises(SpeechtlError, match=r"burst\.wake, which report\.json was made with, is gone; looked for .*burst\.wake"):
        again()


def test_a_manifest_that_was_edited_is_told(report, corpus):
    with (corpus / "noise.jsonl").open("a") as file:
        file.write("\n")
    assert again().elsewhere == ["Edited since, with the same recordings: noise.jsonl."]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{}", "is no report"),
        ("[1]", "is no report"),
        ('{"schema": true, "slices": []}', "is no report"),
        ('{"schema": 99, "slices": []}', r"was made by a newer speechtl \(schema 99; this one repeats 2\)"),
        ('{"schema": 1, "slices": []}', r"says too little to be repeated \(schema 1\)"),
        ('{"schema": 2, "slices": []}', "is damaged: 'model': Field required"),
        ("no", "is not JSON"),
    ],
)
def test_what_is_no_report_of_this_schema_is_a_sentence(tmp_path, text, sentence):
    (tmp_path / "report.json").write_text(text)
    with pytest.raises(SpeechtlError, match=sentence):
        read_report(tmp_path / "report.json")
    with pytest.raises(SpeechtlError, match="does not exist; give the report"):
        read_report(tmp_path / "none.json")


def test_a_recording_that_goes_while_it_is_hashed_is_no_part_of_a_statement(tiny_bundle, corpus):
    clips = [clip for clip in read_manifest(corpus / "positives.jsonl") if clip.split == "test"]
    (corpus / "positives" / "9.wav").unlink()
    plan = Plan([corpus / "positives.jsonl"], [])
    (source,) = make_statement(open_model(tiny_bundle), plan, clips)["sources"]
    assert list(source["files"]) == ["positives/8.wav", "positives/10.wav"]


def test_a_run_has_a_hash_of_its_own(recorded_run, tmp_path):
    from speechtl.audio.run import save_run

    hashes = []
    for name in ("one", "two"):
        run = recorded_run(name=name)
        (tmp_path / name).mkdir()
        save_run(tmp_path / name, run.network, run.about)
        hashes.append(model_hash(tmp_path / name))
    assert hashes[0] != hashes[1]
    assert len(hashes[0]) == 64
