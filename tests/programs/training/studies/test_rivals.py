import json
import shutil

import numpy as np
import pytest


@pytest.fixture
def program(load_program, corpus, monkeypatch):
    """The program in a world of three rooms, with the manifests of a test corpus."""
    module = load_program("training/studies/rivals")
    for name, value in {"ROOMS": 3, "FAR_ROOMS": 1, "MIXTURES": 2}.items():
        monkeypatch.setattr(f"speechtl.audio.evaluation.conditions.{name}", value)
    manifests = corpus / "data_manifests"
    manifests.mkdir()
    for name, new in {"positives": "wake_burst", "negatives": "speechocean762", "noise": "noise_a"}.items():
        shutil.copytree(corpus / name, manifests / name)
        lines = [json.loads(line) for line in (corpus / f"{name}.jsonl").read_text().splitlines()]
        lines = [line | ({"split": "test"} if name == "noise" else {}) for line in lines]
        (manifests / f"{new}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    monkeypatch.setattr("world.MANIFESTS", manifests)
    return module


def run(program, corpus, bundle, *more):
    return program.main([str(bundle), "--against", "--snr", "5", "--conditions", "noise", "--out", str(corpus / "out"), *more])


def test_all_engines_hear_the_same_and_go_on_where_they_were(program, tiny_bundle, corpus, monkeypatch, capsys):
    results = run(program, corpus, tiny_bundle, "--at", "1", "5")
    printed = capsys.readouterr().out
    assert "Delivered thresholds:" in printed
    assert "At most 5 false accepts per hour:" in printed
    assert "| recall | threshold | clean | non-speech 5 dB | delay, median / 95 %, ms |" in printed
    assert "| speechtl, burst.wake | 0.5 | 1.00 | " in printed
    assert "| speechtl, burst.wake | 0 | 0 | 0.00 | 0.00 to " in printed
    assert (corpus / "out" / "burst.png").exists()
    heard = {path.parent.name.rpartition("-")[0] for path in (corpus / "out").glob("heard/*/*.npz")}
    assert heard == {"clean", "noise-at-5-dB", "negatives-0"}
    monkeypatch.setattr("rival_engines.run_worker", lambda *_: 1 / 0)
    (again,) = run(program, corpus, tiny_bundle)
    assert np.array_equal(again.played.others.scores, results[0].played.others.scores)


def test_an_engine_that_cannot_be_had_is_told(program, tiny_bundle, corpus, monkeypatch, capsys):
    def absent(kind, word):
        raise program.SpeechtlError(f"{kind} {word}: no wheel")

    monkeypatch.setattr(program, "peer", absent)
    (ours,) = run(program, corpus, tiny_bundle, "--against", "pymicro")
    assert ours.model.name == "speechtl, burst.wake"
    assert "Left out: pymicro burst: no wheel" in capsys.readouterr().err


def test_negatives_are_as_many_hours_as_wanted(program, tiny_bundle, corpus):
    (ours,) = run(program, corpus, tiny_bundle, "--hours", "0.006")
    assert ours.played.others.seconds == pytest.approx(40.0)  # two of three recordings of 20 s: more than 21.6 s


@pytest.mark.parametrize("options", [["--hours", "0"], ["--at", "nan"], ["--takes", "0"], ["--against", "snowboy"]])
def test_options_that_make_no_sense_are_refused(program, options):
    with pytest.raises(SystemExit) as stopped:
        program.main(["a.wake", *options])
    assert stopped.value.code == 2
