import csv
from collections import defaultdict

import pytest

from speechtl.audio.recipe import read_recipe
from speechtl.audio.training.examples import ExampleMaker
from speechtl.errors import SpeechtlError
from speechtl.runs import training_folder


@pytest.mark.slow
def test_a_table_of_encoders_is_filled_and_gone_on_with(load_program, corpus, known_tiny, tmp_path, monkeypatch, capsys):
    program = load_program("training/studies/transfer_study")
    arguments = [str(corpus / "word.toml"), "--amounts", "5", "--policies", "tiny/head", "--epochs", "1", "--out", str(tmp_path / "out")]
    (point,) = program.main([*arguments, "--seeds", "1"])
    assert (point.policy, point.examples, point.seed) == ("tiny/head", 5, 0)
    assert 0.0 <= point.value <= 1.0
    assert (tmp_path / "out" / "transfer.png").exists()
    assert "Calibrating" not in capsys.readouterr().err  # the threshold is that of the test negatives
    trained = []
    monkeypatch.setattr(program, "recall", lambda recipe, way, clips, seed, *kept: trained.append(seed) or 0.25)
    points = program.main([*arguments, "--seeds", "2"])
    assert trained == [1]
    assert [found.value for found in points] == [round(point.value, 4), 0.25]
    with (tmp_path / "out" / "transfer.csv").open() as file:
        assert [row["seed"] for row in csv.DictReader(file)] == ["0", "1"]
    points = program.main([*arguments[:1], "--amounts", "8", "--policies", "tiny/last:1", "--seeds", "1", "--epochs", "1", *arguments[-2:]])
    assert [(found.policy, found.examples, found.seed) for found in points] == [
        ("tiny/head", 5, 0),
        ("tiny/head", 5, 1),
        ("tiny/last:1", 8, 0),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["head", "all"])
def test_a_training_that_shares_negatives_gives_the_network_that_it_gives_alone(load_program, corpus, known_tiny, monkeypatch, policy):
    program = load_program("training/studies/transfer_study")
    for path in (corpus / "positives.jsonl", corpus / "negatives.jsonl"):
        path.write_text(path.read_text().replace('"split": "validation"', '"split": "train"'))
    lines = (corpus / "positives.jsonl").read_text().splitlines()

    def train(out: str, negatives: dict, seed: int = 0) -> bytes:
        recipe = read_recipe(
            corpus / "word.toml", {"transfer": {"policy": policy}, "train": {"seed": seed}, "calibrate": {"enabled": False}}
        )
        with training_folder(corpus / out) as work:
            program.SharingTraining(recipe, work, negatives).run(corpus / out)
        return (corpus / out / "network.safetensors").read_bytes()

    shared = defaultdict(dict)
    train("first", shared)
    (corpus / "positives.jsonl").write_text("\n".join(lines[:6]))
    alone = train("alone", defaultdict(dict))
    monkeypatch.setattr(ExampleMaker, "render_negatives", lambda *_: 1 / 0)
    assert train("second", shared) == alone
    with pytest.raises(ZeroDivisionError):  # another seed has negatives of its own
        train("third", shared, seed=1)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["--amounts", "-1"], "-1 is too small; the minimum is 0"),
        (["--batch-size", "1"], "1 is too small; the minimum is 2"),
        (["--epochs", "0"], "0 is too small; the minimum is 1"),
        (["--seeds", "0"], "0 is too small; the minimum is 1"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(load_program, corpus, wrong, message, capsys):
    with pytest.raises(SystemExit) as stop:
        load_program("training/studies/transfer_study").main([str(corpus / "word.toml"), *wrong])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_what_cannot_be_trained_is_told_before_anything_is(load_program, corpus, known_tiny, tmp_path, monkeypatch):
    program = load_program("training/studies/transfer_study")
    monkeypatch.setattr(program, "SharingTraining", lambda *arguments: 1 / 0)
    (tmp_path / "file").write_text("")
    (corpus / "away.toml").write_text((corpus / "word.toml").read_text().replace("positives.jsonl", "away.jsonl"))
    untested = (corpus / "negatives.jsonl").read_text().replace('"split": "test"', '"split": "train"')
    (corpus / "untested.jsonl").write_text(untested)
    (corpus / "untested.toml").write_text((corpus / "word.toml").read_text().replace("negatives.jsonl", "untested.jsonl"))
    (corpus / "away.jsonl").write_text('{"audio_filepath": "gone/a.wav", "duration": 1.0}\n')
    for recipe, way, out, message in (
        ("word.toml", "tinny/head", "out", "the encoder 'tinny' is not known"),
        ("word.toml", "tiny/heads", "out", "'heads' is not known"),
        ("none.toml", "tiny/head", "out", "does not exist"),
        ("untested.toml", "tiny/head", "out", "None of the negatives of 'burst' has split 'test'"),
        ("away.toml", "tiny/head", "out", "None of the 1 training recordings of 'burst' is on this machine"),
    ):
        with pytest.raises(SpeechtlError, match=message):
            program.main([str(corpus / recipe), "--policies", "tiny/head", way, "--out", str(tmp_path / out)])
    assert not (tmp_path / "out").exists()
    with pytest.raises(SystemExit):
        program.main([str(corpus / "word.toml"), "--out", str(tmp_path / "file")])
