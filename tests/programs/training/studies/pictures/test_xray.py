import json

import numpy as np
import pytest
import torch
from PIL import Image

from speechtl.image.manifest import read_pictures


@pytest.fixture
def program(load_program):
    torch.set_num_threads(1)
    return load_program("training/studies/pictures/xray")


@pytest.fixture
def patients(tmp_path):
    """Pictures of 12 patients, two each; the sick ones are lighter in the middle."""
    random = np.random.default_rng(0)
    lines = []
    for index in range(24):
        sick = index // 2 % 2
        values = random.integers(0, 120, (40, 40)).astype(np.uint8)
        values[10:30, 10:30] += 100 * sick
        Image.fromarray(values).save(tmp_path / f"{index}.png")
        lines.append({"image_filepath": f"{index}.png", "label": ("normal", "pneumonia")[sick], "group": f"p{index // 2}"})
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path / "m.jsonl"


def test_a_patient_is_in_one_fold(program, patients):
    pictures = read_pictures([patients])
    folds = program.folds_of(pictures, 3)
    assert set(folds) == {0, 1, 2}
    of = {}
    for picture, fold in zip(pictures, folds, strict=True):
        assert of.setdefault(picture.group, fold) == fold


@pytest.mark.slow
def test_every_setup_is_reported_with_limits(program, patients, tmp_path, monkeypatch):
    small = {"only": program.Setup("scratch", program.HeadOnly(), 20), "all": program.Setup("scratch", program.AllLayers(), 2)}
    monkeypatch.setattr(program, "SETUPS", small)
    monkeypatch.setattr(program, "open_encoder", lambda name, weights, keep: _tiny())
    results = program.main([str(patients), "--out", str(tmp_path / "out"), "--examples", "8"])
    assert [(result.setup, result.examples) for result in results] == [("only", 8), ("all", 8), ("only", 12), ("all", 12)]
    assert all(result.low <= result.value <= result.high for result in results)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"xray.csv", "xray.png"}


def _tiny():
    from speechtl.image.run import open_encoder

    return open_encoder("small", "scratch", "conv2")
