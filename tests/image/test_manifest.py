import math

import pytest
from PIL import Image

from speechtl.errors import ManifestError, PictureError
from speechtl.image.data import draw, load_pictures, prepare, read_all, split
from speechtl.image.manifest import read_pictures, targets_of, tasks_of
from speechtl.image.recipe import read_image_recipe
from speechtl.runtime.pictures import PictureSettings
from speechtl.transfer import Task

SETTINGS = PictureSettings(size=16)


def test_a_folder_of_classes_needs_no_manifest(shapes):
    pictures = read_pictures([shapes / "shapes"])
    assert len(pictures) == 24
    assert tasks_of(pictures) == [Task("label", ("cross", "square"))]
    assert [row[0] for row in targets_of(pictures, tasks_of(pictures))] == [0.0] * 12 + [1.0] * 12


def test_labels_are_several_tasks_and_unknown_ones_are_not_numbers(manifest):
    path = manifest([{"labels": {"car": 1, "stop": 0}}, {"labels": {"car": None, "stop": 1}}, {"labels": {"car": False}}])
    pictures = read_pictures([path])
    tasks = tasks_of(pictures)
    assert tasks == [Task("car"), Task("stop")]
    targets = targets_of(pictures, tasks)
    assert targets[0] == [1.0, 0.0]
    assert math.isnan(targets[1][0])
    assert targets[1][1] == 1.0
    assert targets[2][0] == 0.0
    assert math.isnan(targets[2][1])


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ([{"labels": {"car": None, "stop": 1}}, {"labels": {"stop": 0}}], "All labels of 'car' are missing"),
        ([{"labels": {"car": 1}}, {"labels": {"car": 1}}], "All known labels of 'car' are true"),
        ([{"label": "cat"}, {"label": "cat"}], "All pictures are of one class, 'cat'"),
        ([{"label": "cat"}, {"labels": {"dog": 1}}], "Some pictures have one 'label' and others"),
        ([{}, {}], "None of the pictures has a label"),
        ([{"labels": {"car": 1, "error": 1}}, {"labels": {"car": 0, "error": 0}}], "named 'error', which is reserved for predictions"),
        ([{"labels": {"file": 1}}, {"labels": {"file": 0}}], "named 'file'"),
    ],
)
def test_what_cannot_be_learned_is_one_sentence(manifest, lines, sentence):
    with pytest.raises(ManifestError, match=sentence):
        tasks_of(read_pictures([manifest(lines)]))


def test_a_wanted_class_without_pictures_is_refused(manifest):
    pictures = read_pictures([manifest([{"label": "cat"}, {"label": "dog"}])])
    with pytest.raises(ManifestError, match="no picture of the class 'cow'; the pictures are of: cat, dog"):
        tasks_of(pictures, ["cat", "dog", "cow"])


def test_an_unknown_class_is_refused_with_its_line_and_the_nearest(manifest):
    pictures = read_pictures([manifest([{"label": "cat"}, {"label": "dog"}, {"label": "dogg"}])])
    with pytest.raises(ManifestError, match=r"pictures\.jsonl:3: the class 'dogg' is not known \(did you mean 'dog'\?\)"):
        targets_of(pictures, tasks_of(pictures, ["cat", "dog"]))


def test_all_wrong_lines_are_listed(tmp_path):
    (tmp_path / "m.jsonl").write_text(
        '{"image_path": "a.png"}\nnot json\n[1]\n{"image_filepath": "a.png", "split": "tset"}\n'
        '{"image_filepath": "a.png", "labels": {"car": 2}}\n{"image_filepath": 3}\n'
        '{"image_filepath": "a", "label": "x", "labels": {"y": 1}}\n{"image_filepath": "", "label": ""}\n'
    )
    with pytest.raises(ManifestError) as caught:
        read_pictures([tmp_path / "m.jsonl", tmp_path / "none.jsonl"])
    message = str(caught.value)
    assert message.startswith("10 problems")
    for part in (
        "did you mean 'image_path'",
        "not JSON",
        "object is expected",
        "'tset'",
        "1, 0 or null",
        "must be text",
        "not both",
        "'image_filepath' is empty",
        "'label' is empty",
        "none.jsonl",
    ):
        assert part in message


def test_an_empty_class_folder_and_an_empty_folder_are_refused(shapes):
    (shapes / "shapes" / "circle").mkdir()
    (shapes / "nothing").mkdir()
    with pytest.raises(ManifestError, match=r"circle has no pictures of that class"):
        read_pictures([shapes / "shapes"])
    with pytest.raises(ManifestError, match="no pictures in sub-folders"):
        read_pictures([shapes / "nothing"])


@pytest.mark.parametrize("split", ["test", "validation"])
def test_a_group_in_training_and_another_split_is_refused(manifest, split):
    path = manifest([{"label": "a", "group": "p1", "split": split}, {"label": "b", "group": "p1"}])
    with pytest.raises(ManifestError, match=rf"The group 'p1' is in several splits \(.*{split}.*\); keep a group together"):
        read_pictures([path])


@pytest.mark.parametrize("split", ["test", "validation"])
def test_without_pictures_to_learn_from_the_error_says_which_split_they_are_in(manifest, shapes, split):
    manifest([{"label": "ab"[index % 2], "split": split} for index in range(4)])
    recipe = read_image_recipe(shapes / "shapes.toml")
    data = recipe.data.model_copy(update={"train": [shapes / "pictures.jsonl"]})
    with pytest.raises(ManifestError, match=f"All pictures are in the {split} split; give pictures to train on"):
        prepare(recipe.model_copy(update={"data": data}), print)


def test_pictures_that_cannot_be_read_are_skipped_counted_and_said(manifest, tmp_path):
    pictures = read_pictures([manifest([{"label": "a"}, {"label": "b"}, {"label": "a"}])])
    (tmp_path / "0.png").write_bytes((tmp_path / "0.png").read_bytes()[:60])
    (tmp_path / "2.png").unlink()
    said = []
    loaded = load_pictures(pictures, tasks_of(pictures), SETTINGS, said.append)
    assert len(loaded) == 1
    assert said[0] == "2 of 3 pictures cannot be used and are skipped:"
    assert "0.png is damaged" in said[1]
    assert "2.png does not exist" in said[2]


def test_nothing_left_to_read_is_an_error(manifest, tmp_path):
    pictures = read_pictures([manifest([{"label": "a"}, {"label": "b"}])])
    for name in ("0.png", "1.png"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(ManifestError, match="None of the 2 pictures can be used"):
        load_pictures(pictures, tasks_of(pictures), SETTINGS, lambda text: None)


def test_more_pictures_than_memory_are_refused_before_any_is_read(tmp_path):
    with pytest.raises(PictureError, match=r"1,000,000,000 pictures of 16 pixels take 1536 GB .*; make pictures.size smaller"):
        read_all(range(1_000_000_000), SETTINGS)


def test_splits_never_share_a_group_and_hold_both_classes(manifest):
    lines = [{"label": "ab"[index % 2], "group": f"p{index // 4}"} for index in range(80)]
    pictures = read_pictures([manifest(lines)])
    train, validation = split(pictures, 0.2, seed=1)
    assert sorted(train + validation) == list(range(80))
    groups = [{pictures[index].group for index in part} for part in (train, validation)]
    assert not groups[0] & groups[1]
    assert {pictures[index].label for index in validation} == {"a", "b"}
    assert 8 <= len(validation) <= 24


def test_marked_validation_lines_are_kept(manifest):
    pictures = read_pictures([manifest([{"label": "a"}, {"label": "b", "split": "validation"}, {"label": "b"}])])
    assert split(pictures, 0.5, seed=0) == ([0, 2], [1])


def test_drawn_pictures_are_even_over_classes_and_repeatable(manifest):
    pictures = read_pictures([manifest([{"label": "abc"[index % 3 if index < 30 else 0]} for index in range(60)])])
    chosen = draw(pictures, range(60), 9, seed=3)
    assert sorted(pictures[index].label for index in chosen) == list("aaabbbccc")
    assert chosen == draw(pictures, range(60), 9, seed=3)
    assert chosen != draw(pictures, range(60), 9, seed=4)
    with pytest.raises(ManifestError, match="asks for 61 pictures, but there are 60"):
        draw(pictures, range(60), 61, seed=0)


def test_a_grey_file_beside_a_coloured_one_is_one_set(manifest, tmp_path):
    path = manifest([{"label": "a"}, {"label": "b"}])
    Image.new("L", (5, 9), 100).save(tmp_path / "0.png")
    pictures = read_pictures([path])
    assert load_pictures(pictures, tasks_of(pictures), SETTINGS, print).pixels.shape == (2, 3, 16, 16)
