import re
from pathlib import Path

import pytest
import torch

README_PATH = Path(__file__).parents[1] / "README.md"
README = README_PATH.read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.S)


def run(part: str) -> dict:
    """Run the one block of Python in which that stands."""
    (block,) = [block for block in BLOCKS if part in block]
    names: dict = {"__name__": "readme"}
    exec(compile(block, "README.md", "exec"), names)
    return names


def test_the_text_network_is_transferred_by_the_core_alone():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    names = run("class Topics")
    with torch.no_grad():
        answers = names["network"](names["inputs"]).argmax(dim=1)
    assert answers.tolist() == names["labels"][:, 0].tolist()


def test_the_backbone_of_ones_own_is_known_by_its_name(monkeypatch):
    from speechtl.image import backbones

    monkeypatch.setattr(backbones, "BACKBONES", dict(backbones.BACKBONES))
    run("register_backbone(")
    network = backbones.load_backbone("mine", "scratch")
    assert network(torch.zeros(2, 3, 32, 32, dtype=torch.uint8)).shape == (2, 100)


def test_a_backbone_of_ones_own_brings_its_weights_into_a_training_by_recipe(tmp_path, monkeypatch):
    import numpy as np
    from PIL import Image

    from speechtl.image import backbones
    from speechtl.image.recipe import read_image_recipe
    from speechtl.image.run import load_run
    from speechtl.image.train import train

    monkeypatch.setattr(backbones, "BACKBONES", dict(backbones.BACKBONES))
    names = run("register_backbone(")
    pretrained = names["build"]()
    names["register_backbone"]("mine", names["build"], lambda path: pretrained)
    for kind, light in (("dark", 20), ("light", 220)):
        (tmp_path / "pictures" / kind).mkdir(parents=True)
        for number in range(4):
            Image.fromarray(np.full((20, 20), light + number, np.uint8)).save(tmp_path / "pictures" / kind / f"{number}.png")
    (tmp_path / "leaves.toml").write_text(
        'name = "leaves"\n[data]\ntrain = ["pictures"]\n[pictures]\nsize = 32\n[transfer]\nbackbone = "mine"\n[train]\nsteps = 2\n'
    )
    train(read_image_recipe(tmp_path / "leaves.toml"), tmp_path / "run")
    trained = load_run(tmp_path / "run").network.encoder.state_dict()
    assert all(torch.equal(weights, trained[name]) for name, weights in pretrained.encoder.state_dict().items())


def test_every_recipe_that_is_named_somewhere_is_there():
    folder = Path(__file__).parents[1]
    texts = [path.read_text(encoding="utf-8") for part in ("speechtl", "training", "device") for path in (folder / part).rglob("*.py")]
    texts += [
        path.read_text(encoding="utf-8") for path in (README_PATH, folder / "training" / "README.md", folder / "device" / "README.md")
    ]
    named = {name for text in texts for name in re.findall(r"training/recipes/[\w/-]+\.toml", text)}
    assert len(named) > 2
    assert not [name for name in sorted(named) if not (folder / name).is_file()]


@pytest.mark.parametrize("backbone", ["squeezenet", "mobilenet", "small"])
def test_the_backbones_that_are_named_are_there(backbone):
    from speechtl.image.backbones import BACKBONES

    assert backbone in BACKBONES
    assert backbone in README


def test_the_recipe_for_pictures_is_one(tmp_path):
    from speechtl.image.recipe import read_image_recipe

    (text,) = re.findall(r"```toml\n(.*?)```", README, re.S)
    (tmp_path / "leaves.toml").write_text(text)
    assert read_image_recipe(tmp_path / "leaves.toml").transfer.keep == "fire7"
