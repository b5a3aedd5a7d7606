import csv

import pytest
import torch

from speechtl.image.data import prepare
from speechtl.image.recipe import read_image_recipe


def test_digits_become_a_folder_of_classes_that_its_recipe_reads(load_program, tmp_path):
    program = load_program("training/studies/pictures/own_backbone")
    program.write_folder(tmp_path / "small", *program.eight_by_eight(), most=60)
    recipe = read_image_recipe(program.write_recipe(tmp_path / "own-8x8.toml", "small", "small", "scratch", 5, 0.2))
    data = prepare(recipe, print)
    assert recipe.name == "own-8x8"
    assert data.tasks[0].classes == tuple("0123456789")
    assert data.train.pixels.shape[1:] == (3, 28, 28)
    assert len(data.train) + len(data.validation) == 60


@pytest.mark.slow
def test_both_directions_are_pretrained_transferred_written_and_drawn(load_program, tmp_path, monkeypatch):
    torch.set_num_threads(1)
    program = load_program("training/studies/pictures/own_backbone")
    monkeypatch.setenv("SPEECHTL_CACHE", str(tmp_path / "cache"))
    few = tuple(array[:200] for array in program.eight_by_eight())
    monkeypatch.setattr(program, "mnist", lambda: few)
    monkeypatch.setattr(program, "eight_by_eight", lambda: few)
    monkeypatch.setattr(program, "PRETRAIN_STEPS", 4)
    monkeypatch.setattr(program, "DIRECTIONS", (("mnist", "8x8", 100, (10, 20), 2), ("8x8", "mnist", 50, (40,), 2)))
    panels = program.main(["--out", str(tmp_path / "own"), "--seeds", "1"])
    assert [len(panel.points) for panel in panels] == [6, 3]
    rows = list(csv.DictReader((tmp_path / "own" / "own.csv").open()))
    assert {row["over"] for row in rows} == {panel.name for panel in panels}
    assert (tmp_path / "own" / "own.png").stat().st_size > 10_000
    assert {folder.name for folder in (tmp_path / "cache" / "backbones").iterdir()} == {"own-mnist", "own-8x8"}
