from speechtl.image.data import prepare
from speechtl.image.recipe import read_image_recipe


def test_digits_become_a_folder_of_classes_that_its_recipe_reads(load_program, tmp_path):
    program = load_program("own_backbone")
    program.write_folder(tmp_path / "small", *program.eight_by_eight(), most=60)
    recipe = read_image_recipe(program.write_recipe(tmp_path / "own-8x8.toml", "small", "small", "scratch", 5, 0.2))
    data = prepare(recipe, print)
    assert recipe.name == "own-8x8"
    assert data.tasks[0].classes == tuple("0123456789")
    assert data.train.pixels.shape[1:] == (3, 28, 28)
    assert len(data.train) + len(data.validation) == 60
