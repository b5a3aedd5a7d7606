import csv


def test_a_table_of_encoders_is_filled_and_gone_on_with(load_program, corpus, known_tiny, tmp_path, monkeypatch, capsys):
    program = load_program("transfer")
    arguments = [str(corpus / "word.toml"), "--amounts", "5", "--ways", "tiny/head", "--epochs", "1", "--out", str(tmp_path / "out")]
    (point,) = program.main([*arguments, "--seeds", "1"])
    assert (point.way, point.examples, point.seed) == ("tiny/head", 5, 0)
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
    points = program.main([*arguments[:1], "--amounts", "8", "--ways", "tiny/last:1", "--seeds", "1", "--epochs", "1", *arguments[-2:]])
    assert [(found.way, found.examples, found.seed) for found in points] == [
        ("tiny/head", 5, 0),
        ("tiny/head", 5, 1),
        ("tiny/last:1", 8, 0),
    ]
