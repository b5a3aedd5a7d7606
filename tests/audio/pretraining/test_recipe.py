import pytest

from speechtl.audio.pretraining.recipe import read_pretraining_recipe
from speechtl.errors import RecipeError


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text('name = "small"\n[speech]\nhours = 1.0\n[data]\nnoise = ["noise.jsonl"]\n')
    return path


def test_paths_are_relative_to_the_recipe(recipe):
    assert read_pretraining_recipe(recipe).data.noise == [recipe.parent / "noise.jsonl"]


def test_weights_to_start_from_are_relative_to_the_recipe_and_on_the_command_line_to_the_working_folder(recipe, tmp_path, monkeypatch):
    assert read_pretraining_recipe(recipe).start is None
    recipe.write_text('start = "first/encoder.safetensors"\n' + recipe.read_text())
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert read_pretraining_recipe(recipe).start == recipe.parent / "first" / "encoder.safetensors"
    given = read_pretraining_recipe(recipe, {"start": "other.safetensors"})
    assert given.start == tmp_path / "elsewhere" / "other.safetensors"
    assert read_pretraining_recipe(recipe, {"start": str(recipe)}).start == recipe


def test_single_keys_can_be_replaced(recipe):
    changed = read_pretraining_recipe(recipe, {"train.epochs": 3, "name": "other", "speech.hours": 2})
    assert (changed.train.epochs, changed.name, changed.speech.hours) == (3, "other", 2.0)


@pytest.mark.parametrize(
    ("replaced", "message"),
    [
        ({"train.epoch": 3}, "'train.epoch' is not known .did you mean 'epochs'"),
        ({"speech.hours": 0}, "nothing to learn phones from"),
        ({"tasks.ctc": 0, "tasks.teacher_weight": 0}, "nothing to learn"),
        ({"encoder": "conv"}, "the encoder 'conv' is not known"),
        ({"train.learning_rate": -1}, "train.learning_rate"),
        ({"train.precision": "half"}, "the precision 'half' is not known.*bf16-mixed"),
        ({"speech.hours": float("inf")}, "'speech.hours': .*finite"),
        ({"name.first": "a"}, "'name'"),
    ],
)
def test_wrong_settings_are_named(recipe, replaced, message):
    with pytest.raises(RecipeError, match=message):
        read_pretraining_recipe(recipe, replaced)
