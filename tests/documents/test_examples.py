"""Python and TOML in the documents: all of it runs or is read, and stands where a reader expects it."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from speechtl.runtime.detector import Detector
from tests.documents.pages import EXAMPLES, ROOT, blocks, run

PLACES = ("def listen(frames)", "pvporcupine", "WakeWordProcessor", "def print_words")  # tests/places runs them


def test_no_example_is_left_out():
    tested = ("detector.feed", "hand_over", "class Topics", "def build", "read_image_recipe", *PLACES)
    assert all(sum(part in block for part in tested) == 1 for _, block in EXAMPLES)
    assert len(EXAMPLES) == len(tested)


def test_the_detector_of_the_readme_finds_the_word(tiny_bundle, bursts, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("computer.wake").write_bytes(tiny_bundle.read_bytes())
    soundfile.write("some_recording.wav", bursts((1.0, 3.0)), 16_000)
    run("detector.feed")
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["burst", "burst"]


def test_a_request_is_read_in_python(tiny_bundle, bursts, capsys):
    sound = bursts((1.0,), 4.0)
    run("hand_over", detector=Detector.open(tiny_bundle), blocks=(sound[start : start + 640] for start in range(0, len(sound), 640)))
    word, *request = capsys.readouterr().out.splitlines()
    assert word.startswith("burst")
    assert sum(map(int, request)) > 1.5 * 16_000


def test_the_text_network_is_transferred_by_the_core_alone():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    names = run("class Topics")
    with torch.no_grad():
        answers = names["network"](names["inputs"]).argmax(dim=1)
    assert answers.tolist() == names["labels"][:, 0].tolist()


@pytest.fixture
def own_backbone(monkeypatch):
    """The names of the example that registers a backbone, which is forgotten afterwards."""
    from speechtl.image import backbones

    monkeypatch.setattr(backbones, "BACKBONES", dict(backbones.BACKBONES))
    return run("def build")


def test_an_own_backbone_is_known_by_its_name(own_backbone):
    from speechtl.image import backbones

    network = backbones.load_backbone("mine", "scratch")
    assert network(torch.zeros(2, 3, 32, 32, dtype=torch.uint8)).shape == (2, 100)


def test_an_own_backbone_brings_its_weights_into_a_training_by_recipe(own_backbone, tmp_path, monkeypatch):
    from PIL import Image

    from speechtl.image.run import load_run

    pretrained = own_backbone["build"]()
    own_backbone["register_backbone"]("mine", own_backbone["build"], lambda path: pretrained)
    for kind, light in (("dark", 20), ("light", 220)):
        (tmp_path / "pictures" / kind).mkdir(parents=True)
        for number in range(4):
            Image.fromarray(np.full((20, 20), light + number, np.uint8)).save(tmp_path / "pictures" / kind / f"{number}.png")
    (tmp_path / "leaves.toml").write_text(
        'name = "leaves"\n[data]\ntrain = ["pictures"]\n[pictures]\nsize = 32\n[transfer]\nbackbone = "mine"\n[train]\nsteps = 2\n'
    )
    monkeypatch.chdir(tmp_path)
    run("read_image_recipe")
    trained = load_run(tmp_path / "runs" / "leaves").network.encoder.state_dict()
    assert all(torch.equal(weights, trained[name]) for name, weights in pretrained.encoder.state_dict().items())


@pytest.mark.parametrize("backbone", ["squeezenet", "mobilenet", "small"])
def test_the_backbones_that_are_named_are_there(backbone):
    from speechtl.image.backbones import BACKBONES

    assert backbone in BACKBONES
    assert backbone in (ROOT / "training" / "recipes" / "README.md").read_text(encoding="utf-8")


def test_the_short_recipe_for_pictures_is_one(tmp_path):
    from speechtl.image.recipe import read_image_recipe

    (text,) = [block for block in blocks(ROOT / "training" / "README.md", "toml") if "remove more than" in block]
    (tmp_path / "leaves.toml").write_text(text)
    assert read_image_recipe(tmp_path / "leaves.toml").transfer.keep == "fire7"


def test_the_requirements_on_an_evaluation_are_read(tmp_path):
    from speechtl.audio.evidence.requirements import read_requirements

    (text,) = [block for block in blocks(ROOT / "training" / "README.md", "toml") if "[[require]]" in block]
    (tmp_path / "floors.toml").write_text(text)
    assert [one.limit for one in read_requirements(tmp_path / "floors.toml")] == [0.9, 1.5]


def test_the_readme_lists_every_extra():
    from speechtl.toml_files import read_toml

    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    extras = read_toml(ROOT / "pyproject.toml")["project"]["optional-dependencies"]
    (table,) = [part for part in readme.split("\n## ") if part.startswith("Extras")]
    assert [extra for extra in extras if f"`{extra}`" not in table] == []


def test_guides_stay_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 130
    assert len((ROOT / "training" / "README.md").read_text(encoding="utf-8").splitlines()) <= 250
