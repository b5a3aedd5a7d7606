import json
import shutil
import sys

import numpy as np
import pytest
import soundfile

from speechtl.audio.evaluation.scoring import PlayedWord, ScoredStream
from speechtl.errors import reported
from speechtl.runtime.trigger import TriggerSettings

DEAF = f"{sys.executable} -c 'import json, sys; print(json.dumps([0.1] * (len(sys.stdin.buffer.read()) // 2560)))'"


@pytest.fixture
def program(load_program, corpus, known_tiny, monkeypatch):
    """The program with the manifest of the word of a test corpus; the word is far louder than the noise."""
    module = load_program("training/studies/picovoice")
    monkeypatch.setattr("tracks.SNR_DB", 60.0)
    manifests = corpus / "data_manifests"
    shutil.copytree(corpus / "positives", manifests / "positives")
    shutil.copy(corpus / "positives.jsonl", manifests / "wake_burst.jsonl")
    monkeypatch.setattr(module, "MANIFESTS", manifests)
    return module


@pytest.fixture
def arguments(corpus):
    """Arguments for tracks of half a minute, with pauses between the words."""
    soundfile.write(corpus / "pause.wav", np.zeros(24_000), 16_000)
    background = ["--utterances", str(corpus / "pause.wav"), "--noise", str(corpus / "noise.jsonl")]
    return ["--hours", "0.004", *background, "--out", str(corpus / "out")]


def an_hour(scores):
    """A stream of an hour, a score a second, with two words; `scores` by second."""
    heard = np.full(3600, 0.01, np.float32)
    for second, score in scores.items():
        heard[second] = score
    return ScoredStream(heard, np.arange(3600.0), 1.0, 3600.0, [PlayedWord(100.2, 101.0, 0), PlayedWord(200.2, 201.0, 1)])


LIMITS = [(100.0, 101.5), (200.0, 201.5)]


def test_the_miss_rate_is_interpolated_between_no_alarm_and_one(program):
    stream = an_hour({101: 0.9, 500: 0.7, 201: 0.5})  # one of two is found before the first alarm, both only at 1 alarm an hour
    assert program.published_miss_rate(stream, LIMITS) == pytest.approx(0.5)
    stream = an_hour({500: 0.9, 101: 0.8995, 201: 0.8995})  # the alarm comes with both words
    assert program.published_miss_rate(stream, LIMITS) == pytest.approx(1.0 - 0.1 * 1.0)
    assert program.published_miss_rate(an_hour({101: 0.9, 201: 0.8}), LIMITS) == 0.0


def test_two_events_in_a_clip_count_twice_as_published_and_once_exactly(program):
    stream = an_hour({100: 0.9, 103: 0.9, 201: 0.9})
    wide = [(100.0, 104.0), (200.0, 201.5)]
    assert program.published_miss_rate(stream, wide) == pytest.approx(1.0 - 3 / 2)
    assert program.within_rate(an_hour({101: 0.9, 201: 0.9}), TriggerSettings()) == (0, 0)


def test_exact_counting_keeps_within_the_rate(program):
    assert program.within_rate(an_hour({101: 0.9, 500: 0.7, 201: 0.5}), TriggerSettings()) == (1, 0)
    assert program.within_rate(an_hour({500: 0.99}), TriggerSettings()) == (2, 0)


def test_a_bundle_and_a_peer_hear_the_same_track(program, arguments, tiny_bundle, capsys):
    own, other = program.main([str(tiny_bundle), *arguments, "--peer", "burst", "deaf", "0.5", DEAF])
    assert (own.clips, own.word, other.engine) == (11, "burst", "deaf")  # the bundle knows nobody
    assert (own.published, own.within, own.shipped) == (0.0, (0, 0), (0, 0))
    assert other.shipped == (11, 0)
    printed = capsys.readouterr().out
    assert "Porcupine, Picovoice's own figure" in printed
    assert "0 (0.0 to 28.5 %)" in printed


def test_scores_are_kept(program, arguments, tiny_bundle, monkeypatch):
    (first,) = program.main([str(tiny_bundle), *arguments])
    monkeypatch.setattr("tracks._listen", lambda *_: 1 / 0)
    assert program.main([str(tiny_bundle), *arguments]) == [first]
    with pytest.raises(ZeroDivisionError):
        program.main([str(tiny_bundle), *arguments, "--seed", "1"])


def test_people_whom_the_model_knows_are_not_played(program, arguments, corpus, remake):
    lines = [json.loads(line) for line in (corpus / "positives.jsonl").read_text().splitlines()]
    known = " ".join(line["sha256"][:12] for line in lines[:4])
    (found,) = program.main([str(remake({"data": {"recordings": known}})), *arguments])
    assert found.clips == 7


def test_each_fold_is_trained_without_its_people_and_kept(program, arguments, corpus, monkeypatch):
    recipe, trained = program.read_recipe(corpus / "word.toml"), []
    monkeypatch.setattr(program, "train", lambda changed, run, resume: trained.append(changed.data.positives[0]))
    runs = list(program.fold_runs(recipe, 3, corpus / "out"))
    assert [run.name[-6:] for run in runs] == ["1-of-3", "2-of-3", "3-of-3"]
    people = [{json.loads(line)["speaker"] for line in path.read_text().splitlines()} for path in trained]
    everybody = {f"p{number}" for number in range(11)}
    assert sorted(person for kept in people for person in everybody - kept) == sorted(everybody)
    assert all(json.loads(line)["split"] == "train" for line in trained[0].read_text().splitlines())
    monkeypatch.setattr(program, "is_run", lambda run: True)
    assert len(list(program.fold_runs(recipe, 3, corpus / "out"))) == 3
    assert len(trained) == 3


def test_results_of_folds_are_added(program):
    one = program.Result("burst", "recipe", 10, 24.0, 4.8, 0.1, (1, 2), (0, 3))
    other = program.Result("burst", "recipe", 30, 24.0, 4.8, 0.3, (5, 2), (1, 1))
    assert program.together([one, other]) == program.Result("burst", "recipe", 40, 48.0, 9.6, pytest.approx(0.25), (6, 4), (1, 4))


@pytest.mark.parametrize(
    ("peer", "message"),
    [("import sys; sys.exit('no such model')", "failed: no such model"), ("print([0.1])", "printed scores of the shape (1,)")],
)
def test_a_peer_that_fails_is_one_sentence(program, arguments, tiny_bundle, peer, message, capsys):
    command = f'{sys.executable} -c "{peer}"'
    assert reported(lambda: program.main([str(tiny_bundle), *arguments, "--peer", "burst", "x", "0.5", command])) == 2
    assert message in capsys.readouterr().err


def test_what_cannot_be_measured_is_one_sentence(program, arguments, corpus, remake, capsys):
    lines = [json.loads(line) for line in (corpus / "positives.jsonl").read_text().splitlines()]
    everybody = " ".join(line["sha256"][:12] for line in lines)
    assert reported(lambda: program.main([str(remake({"data": {"recordings": everybody}})), *arguments])) == 2
    assert "burst was trained on everybody in" in capsys.readouterr().err
    assert reported(lambda: program.main([str(corpus / "word.toml"), *arguments, "--folds", "6"])) == 2
    assert "11 people say 'burst'; 6 folds need 12." in capsys.readouterr().err
    with pytest.raises(SystemExit):
        program.main(["a.wake", "--hours", "0"])
