import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from speechtl.audio.evaluation.scoring import ScoredStream, count
from speechtl.errors import reported
from speechtl.runtime.trigger import TriggerSettings


@pytest.fixture
def program(load_program, corpus, monkeypatch):
    """The program in a world of three rooms, with the manifests of a test corpus."""
    module = load_program("training/studies/world")
    for name, value in {"ROOMS": 3, "FAR_ROOMS": 1, "MIXTURES": 2}.items():
        monkeypatch.setattr(f"speechtl.audio.evaluation.conditions.{name}", value)
    manifests = corpus / "data_manifests"
    manifests.mkdir()
    names = {"positives": "wake_burst", "negatives": "speechocean762", "noise": "word_hiss"}
    for name, new in names.items():
        shutil.copytree(corpus / name, manifests / name)
        shutil.copy(corpus / f"{name}.jsonl", manifests / f"{new}.jsonl")
    lines = [json.loads(line) | {"split": "test"} for line in (corpus / "noise.jsonl").read_text().splitlines()]
    (manifests / "noise_a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (manifests / "common_voice.jsonl").write_text(json.dumps({"audio_filepath": "gone.wav", "duration": 1.0}) + "\n")
    monkeypatch.setattr(module, "MANIFESTS", manifests)
    return module


def model_and_played(scores, sources=("a.jsonl",)):
    """A model, and an hour of negatives with given peaks, in parts of the same length from several manifests."""
    stream = np.full(3600, 0.05, np.float32)
    stream[np.linspace(10, 3500, len(scores)).astype(int)] = scores
    seconds = 3600.0 / len(sources)
    times = np.arange(3600.0)
    others = ScoredStream(stream, times, 1.0, 3600.0, passages=[(index * seconds, "x", 0.0) for index in range(len(sources))])
    silent = [SimpleNamespace(clip=SimpleNamespace(manifest=source), seconds=seconds) for source in map(Path, sources)]
    model = SimpleNamespace(name="burst", trigger=TriggerSettings(0.5))
    return model, SimpleNamespace(others=others, material=SimpleNamespace(silent=silent))


def events_at(played, threshold):
    return len(count(played.others, TriggerSettings(threshold)).false_accepts)


@pytest.mark.parametrize("rate", [0.0, 1.0, 2.0, 3.0])
def test_the_threshold_is_the_lowest_with_the_rate(program, rate):
    model, played = model_and_played([0.9, 0.5, 0.8, 0.6, 0.7])
    threshold = program.threshold_for(model, played, lambda trigger: program._total(played, trigger), rate)
    assert events_at(played, threshold) == rate
    assert events_at(played, threshold - 1e-6) == rate + 1
    assert threshold == pytest.approx(0.9 - 0.1 * rate)


def test_the_worst_kind_sets_the_threshold(program):
    model, played = model_and_played([0.9, 0.8, 0.7, 0.6], ("a.jsonl", "b.jsonl"))  # two events in half an hour each
    threshold = program.threshold_for(model, played, lambda trigger: program._worst(played, trigger, {}), 2.0)
    assert threshold == pytest.approx(0.8)
    together = program.threshold_for(model, played, lambda trigger: program._worst(played, trigger, {"a": "x", "b": "x"}), 2.0)
    assert together == pytest.approx(0.7)


def test_scores_of_1_cannot_be_calibrated_away(program, capsys):
    model, played = model_and_played([1.0, 1.0])
    assert program.threshold_for(model, played, lambda trigger: program._total(played, trigger), 0.5) == 1.0
    assert "burst: even at the highest score there are more than 0.5 false accepts per hour." in capsys.readouterr().err


def test_the_tables_have_every_condition_and_every_kind(program, tiny_bundle, corpus, capsys):
    found = program.main([str(tiny_bundle), "--snr", "5", "-5", "--at", "1", "--at-worst", "1", "--json", str(corpus / "w.json")])
    printed = capsys.readouterr()
    assert list(found) == [
        "Shipped thresholds",
        "At most 1 false accepts per hour",
        "At most 1 false accepts per hour on each kind of negatives",
    ]
    assert json.loads((corpus / "w.json").read_text()) == found
    head, rule, word, mean = printed.out.splitlines()[2:6]
    assert head.startswith(
        "|  | threshold | clean | non-speech 5 / -5 dB | babble 5 / -5 dB | one talker 5 / -5 dB | music 5 / -5 dB | rooms"
    )
    assert len({row.count("|") for row in (head, rule, word, mean)}) == 1
    assert word.startswith("| burst | 0.5 | 1.00 | ")
    assert mean.startswith("| mean |  | 1.00 | ")
    assert "| false accepts | speechocean762 | isolated words | all | per hour, at most |" in printed.out
    assert "| burst | 0 in 0.02 h | 0 in 0.00 h | 0 in 0.02 h | " in printed.out
    assert "Left out without recordings on this machine: " in printed.err
    assert "common_voice" in printed.err


def test_a_word_without_a_manifest_is_one_sentence(program, remake, capsys):
    (program.MANIFESTS / "wake_burst.jsonl").unlink()
    assert reported(lambda: program.main([str(remake({}))])) == 2
    assert "wake_burst.jsonl does not exist; name the recordings of 'burst' with --positives." in capsys.readouterr().err


@pytest.mark.parametrize("options", [["--at", "-1"], ["--at-worst", "nan"], ["--snr", "x"]])
def test_wrong_numbers_are_refused(program, options, capsys):
    with pytest.raises(SystemExit) as stopped:
        program.main(["a.wake", *options])
    assert stopped.value.code == 2
