import json

import pytest
import torch
from PIL import Image
from torch import nn

from speechtl.errors import InputMismatchError, ManifestError, RecipeError, RunError
from speechtl.image.backbones import BACKBONES, kept_folder, register_backbone, small
from speechtl.image.network import PICTURES, Normalize, new_network
from speechtl.image.predict import predict_files
from speechtl.image.recipe import TrainSection, read_image_recipe
from speechtl.image.run import load_run, open_encoder
from speechtl.image.train import fit_pictures, pretrain, train
from speechtl.transfer import AllLayers, Encoder, EncoderInfo, InputSpec, SourceNetwork, Task, TaskLoss


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SPEECHTL_CACHE", str(tmp_path / "cache"))
    torch.set_num_threads(1)


def edited(shapes, *changes: tuple[str, str]):
    text = (shapes / "shapes.toml").read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (shapes / "changed.toml").write_text(text)
    return read_image_recipe(shapes / "changed.toml")


def test_a_run_read_back_gives_the_scores_it_was_left_with(shapes):
    about = train(read_image_recipe(shapes / "shapes.toml"), shapes / "run")
    run = load_run(shapes / "run")
    assert about["validation"][0]["examples"] == 4
    assert about["policy"] == "AllLayers(rate_decay=1.0)"  # from scratch: there is nothing in front to keep
    assert [task.classes for task in run.network.head.tasks] == [("cross", "square")]
    first, second = (list(predict_files(shapes / "run", [shapes / "shapes/cross/0.png"])) for _ in range(2))
    assert first == second
    assert set(first[0]["label"]["scores"]) == {"cross", "square"}
    assert run.about["encoder"]["source_examples"] == 20
    assert not list(shapes.glob("*.partial"))


def test_the_same_seed_gives_the_same_network(shapes):
    recipe = read_image_recipe(shapes / "shapes.toml")
    for name in ("one", "two"):
        train(recipe, shapes / name)
    one, two = (load_run(shapes / name).network.state_dict() for name in ("one", "two"))
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_several_labels_at_once_with_some_missing_train_one_network(manifest, shapes):
    lines = [{"labels": {"cross": int(index % 2 == 0), "late": None if index % 3 else int(index > 6)}} for index in range(16)]
    manifest(lines)
    about = train(edited(shapes, ('["shapes"]', '["pictures.jsonl"]')), shapes / "run")
    assert [result["task"] for result in about["validation"]] == ["cross", "late"]
    answer = next(predict_files(shapes / "run", [shapes / "0.png"]))
    assert 0.0 <= answer["late"]["score"] <= 1.0


def test_a_pretrained_backbone_is_kept_and_transferred(shapes):
    _, folder = pretrain(edited(shapes, ('"shapes"\n[data]', '"own"\n[data]')))
    assert folder == kept_folder("own")
    recipe = edited(shapes, ('"small"', '"own"'), ('"scratch"', '"pretrained"'), ('"all"', '"head"'))
    train(recipe, shapes / "run")
    kept, transferred = load_run(folder).network, load_run(shapes / "run").network
    for name, weights in kept.encoder.state_dict().items():
        assert torch.equal(weights, transferred.encoder.state_dict()[name])
    assert transferred.encoder.info.name == "own"
    assert transferred.encoder.info.source_examples == 20
    cut_deeper, _ = open_encoder("own", keep="conv2")
    assert list(cut_deeper.groups) == ["conv1", "conv2"]


def test_a_backbone_of_ones_own_is_registered_in_a_few_lines(shapes, monkeypatch):
    monkeypatch.setattr("speechtl.image.backbones.BACKBONES", dict(BACKBONES))

    def build() -> SourceNetwork:
        return small.build()

    register_backbone("mine", build, lambda weights: build())
    train(edited(shapes, ('"small"', '"mine"'), ('"scratch"', '"pretrained"')), shapes / "run")


def test_an_encoder_of_another_input_type_is_refused(shapes, monkeypatch):
    info = EncoderInfo("spectrograms", InputSpec("audio", {"sample_rate": 16_000}), 4)

    def build() -> SourceNetwork:
        return SourceNetwork({"one": torch.nn.Conv2d(1, 4, 3)}, torch.nn.Linear(4, 2), info)

    monkeypatch.setattr("speechtl.image.backbones.BACKBONES", dict(BACKBONES))
    register_backbone("ears", build)
    with pytest.raises(InputMismatchError, match=r"'spectrograms' was pretrained on audio .* and the data is image"):
        train(edited(shapes, ('"small"', '"ears"')), shapes / "run")
    assert not (shapes / "run").exists()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (('"small"', '"smal"'), "the backbone 'smal' is not known (did you mean 'small'?)"),
        (("size = 32", "sise = 32"), "'pictures.sise' is not known (did you mean 'size'?)"),
        (("size = 32", "size = 5"), "'pictures.size'"),
        (('"all"', '"some"'), "head, last:2 (any number), all, gradual"),
    ],
)
def test_wrong_recipes_are_one_sentence(shapes, change, sentence):
    with pytest.raises(RecipeError) as caught:
        edited(shapes, change)
    assert sentence in str(caught.value)


def test_a_name_of_a_built_in_backbone_is_not_taken_by_pretraining(shapes):
    with pytest.raises(RecipeError, match="A backbone named 'small' exists already"):
        pretrain(edited(shapes, ('"shapes"\n[data]', '"small"\n[data]')))


def test_what_is_in_the_way_is_not_overwritten(shapes):
    (shapes / "run").mkdir()
    (shapes / "run" / "thesis.txt").write_text("mine")
    with pytest.raises(RunError, match="exists and is not a run"):
        train(read_image_recipe(shapes / "shapes.toml"), shapes / "run")
    assert (shapes / "run" / "thesis.txt").read_text() == "mine"


def test_a_class_that_is_empty_after_skipping_is_an_error_and_leaves_nothing(shapes):
    for path in (shapes / "shapes" / "cross").iterdir():
        path.write_bytes(b"no picture")
    with pytest.raises(ManifestError, match="no picture of the class 'cross'"):
        train(read_image_recipe(shapes / "shapes.toml"), shapes / "run")
    assert not (shapes / "run").exists()


@pytest.mark.parametrize(
    "damage", [lambda about: about.pop("tasks"), lambda about: about.update(kind="audio"), lambda about: about.update(schema=9)]
)
def test_a_damaged_or_foreign_run_is_refused(shapes, damage):
    train(read_image_recipe(shapes / "shapes.toml"), shapes / "run")
    path = shapes / "run" / "run.json"
    about = json.loads(path.read_text())
    damage(about)
    path.write_text(json.dumps(about))
    with pytest.raises(RunError):
        load_run(shapes / "run")


def test_a_bad_file_among_good_ones_is_told_and_the_others_are_answered(shapes):
    train(read_image_recipe(shapes / "shapes.toml"), shapes / "run")
    (shapes / "bad.png").write_bytes(b"no")
    Image.new("L", (300, 20)).save(shapes / "long.png")
    answers = list(predict_files(shapes / "run", [shapes / "bad.png", shapes / "long.png"]))
    assert "not a picture" in answers[0]["error"]
    assert "label" in answers[1]


def test_interrupted_and_resumed_is_uninterrupted_bit_for_bit(shapes, monkeypatch):
    recipe = edited(shapes, ("steps = 12", "steps = 12\ncopies = 2"))
    train(recipe, shapes / "whole")
    real, seen = TaskLoss.__call__, []

    def loss(*arguments):
        seen.append(None)
        if len(seen) == 5:
            raise KeyboardInterrupt
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(TaskLoss, "__call__", loss)
        with pytest.raises(KeyboardInterrupt):
            train(recipe, shapes / "broken")
    assert not (shapes / "broken").exists()
    train(recipe, shapes / "broken", resume=True)
    one, other = (load_run(shapes / name).network.state_dict() for name in ("whole", "broken"))
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert not list(shapes.glob("*.partial"))


def test_a_changed_recipe_does_not_go_on_with_the_work_of_another(shapes, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(TaskLoss, "__call__", lambda *arguments: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train(read_image_recipe(shapes / "shapes.toml"), shapes / "run")
    with pytest.raises(RunError, match="another recipe"):
        train(edited(shapes, ("batch_size = 8", "batch_size = 4")), shapes / "run", resume=True)


def test_every_label_counts_the_same_unless_tasks_are_to():
    labels = torch.zeros(8, 2)
    labels[2:, 1] = float("nan")

    def losses(**weighting):
        torch.manual_seed(0)
        groups = {"conv": nn.Sequential(Normalize((0.5,) * 3, (0.5,) * 3), nn.Conv2d(3, 2, 3, padding=1))}
        network = new_network(Encoder(groups, EncoderInfo("small", PICTURES, 2)), [Task("a"), Task("b")])
        pixels = torch.randint(0, 256, (8, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
        return fit_pictures(network, pixels, labels, AllLayers(), TrainSection(steps=2, batch_size=8), **weighting)

    assert losses() == losses(balanced=False)
    assert losses() != losses(balanced=True)
