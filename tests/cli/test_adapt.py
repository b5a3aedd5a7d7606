import json

import pytest


@pytest.fixture
def reported(monkeypatch):
    """A function that lets the adaptation give a report, without one."""
    pytest.importorskip("torch", reason="torch is not installed")
    from speechtl.adapt import adapt as module

    line = {"what": "new clips: words found", "of": 5, "old": 3, "new": 5, "better": 2, "worse": 0, "p": 1.0, "reason": ""}
    report = {"words": 5, "others": 2, "table": [line]}

    def give(**values):
        monkeypatch.setattr(module, "adapt", lambda *_, **__: report | values)

    return give


def test_what_was_adapted_is_told_with_the_table(call, reported, tmp_path):
    reported(written=True, reasons=[])
    done = call("adapt", "a.wake", "--clips", tmp_path, "-o", tmp_path / "b.wake")
    assert done.returncode == 0
    assert "new clips: words found  5   3    5    2       0      1  ok" in done.stdout
    assert "adapted to 5 clips of the word and 2 of anything else" in done.stdout
    assert "SIGHUP" in done.stderr


def test_what_is_worse_ends_with_exit_code_1_and_the_reason_also_with_json(call, reported, tmp_path):
    reported(written=False, reasons=["training: words found: 9 of 80 are found less often"])
    done = call("adapt", "a.wake", "--clips", tmp_path, "-o", tmp_path / "b.wake", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["written"] is False
    assert done.stderr.startswith("speechtl: Nothing was written: training: words found: 9 of 80")


def test_undo_goes_back_and_says_how_to_come_again(call, tmp_path):
    (tmp_path / "a.wake").write_text("new")
    (tmp_path / "a.wake.previous").write_text("old")
    done = call("adapt", tmp_path / "a.wake", "--undo")
    assert (done.returncode, (tmp_path / "a.wake").read_text()) == (0, "old")
    assert "is the previous one again" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["a.wake", "--clips", "c"], "Say where to write the adapted detector"),
        (["a.wake", "--undo"], "There is no a.wake.previous"),
        (["a.wake", "--undo", "--clips", "c"], "--undo goes back to what was kept"),
        (["a.wake", "-o", "b.wake"], "Give labelled clips with --clips"),
        (["a.wake", "--clips", "c", "-o", "b.wake"], "a.wake does not exist"),
    ],
)
def test_what_is_missing_is_one_sentence(call, tmp_path, arguments, sentence):
    done = call("adapt", *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert sentence in done.stderr
