import json

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from speechtl.cli.app import app
from speechtl.errors import PictureError, SpeechtlError
from speechtl.image.recipe import read_image_recipe
from speechtl.image.train import pretrain
from speechtl.study.look_image import _encoders as encoders_of
from speechtl.study.look_image import look


@pytest.fixture
def run(shapes, monkeypatch):
    monkeypatch.setenv("SPEECHTL_CACHE", str(shapes / "cache"))
    torch.set_num_threads(1)
    done = CliRunner().invoke(app, ["image", "train", str(shapes / "shapes.toml"), "--out", str(shapes / "run")])
    assert done.exit_code == 0, done.output
    return shapes / "run"


@pytest.mark.slow
def test_filters_and_patches_before_and_after_training_are_drawn(run, shapes):
    done = CliRunner().invoke(app, ["image", "look", str(run), str(shapes / "shapes"), "--out", str(shapes / "looks"), "--units", "3"])
    assert done.exit_code == 0, done.output
    names = [line.rsplit("/", 1)[1] for line in done.stdout.splitlines()]
    assert names == ["filters_before.png", "filters.png", "conv3.png", "conv4.png"]
    for name in names:
        picture = Image.open(shapes / "looks" / name).convert("L")
        assert min(picture.size) > 150
        low, high = picture.getextrema()
        assert high - low > 150  # not blank


@pytest.mark.slow
def test_layers_that_did_not_learn_are_drawn_once(run, shapes, capsys):
    about = json.loads((run / "run.json").read_text())
    about["recipe"]["transfer"]["policy"] = "head"
    (run / "run.json").write_text(json.dumps(about))
    written = look(str(run), [shapes / "shapes"], shapes / "looks", units=2, patches=3)
    assert [path.name for path in written] == ["filters.png", "conv3.png", "conv4.png"]
    assert "Only the new layers were trained" in capsys.readouterr().err


def test_a_kept_backbone_sees_pictures_in_the_form_that_it_was_pretrained_on(shapes, monkeypatch):
    monkeypatch.setenv("SPEECHTL_CACHE", str(shapes / "cache"))
    pretrain(read_image_recipe(shapes / "shapes.toml"))
    encoders, settings = encoders_of("shapes")
    assert settings.size == 32
    assert list(encoders) == ["shapes"]


def test_nothing_to_look_at_and_unknown_models_are_one_sentence(run, shapes):
    (shapes / "empty").mkdir()
    with pytest.raises(PictureError, match="There are no pictures in"):
        look(str(run), [shapes / "empty"], shapes / "looks")
    with pytest.raises(SpeechtlError, match="neither a run's folder nor a backbone"):
        look("nothing", [shapes / "shapes"], shapes / "looks")
    assert not (shapes / "looks").exists()
