import json

import pytest
from typer.testing import CliRunner

from speechtl.cli.app import app, main


@pytest.fixture
def picture_recipe(tmp_path, monkeypatch):
    """Pictures with a bright left or right half, and a recipe for them."""
    import numpy as np
    from PIL import Image

    monkeypatch.setenv("SPEECHTL_CACHE", str(tmp_path / "cache"))
    random = np.random.default_rng(0)
    for kind in ("left", "right"):
        (tmp_path / "halves" / kind).mkdir(parents=True)
        for index in range(20):
            values = random.integers(0, 90, (24, 24)).astype(np.uint8)
            values[:, slice(0, 12) if kind == "left" else slice(12, 24)] += 120
            Image.fromarray(values).save(tmp_path / "halves" / kind / f"{index}.png")

    def write(backbone: str = "small", weights: str = "scratch"):
        (tmp_path / "halves.toml").write_text(
            f'name = "halves"\n[data]\ntrain = ["halves"]\n[pictures]\nsize = 24\n[transfer]\nbackbone = "{backbone}"\n'
            f'weights = "{weights}"\ngrid = 2\n[train]\nsteps = 20\nbatch_size = 8\nlearning_rate = 5e-3\n'
        )
        return tmp_path / "halves.toml"

    return write


def run(*arguments):
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_advice_is_given_in_words_with_reasons(picture_recipe):
    text = run("advise", picture_recipe())
    assert text.startswith("Transfer hardly makes sense here")
    assert "is not trained" in text


def test_measuring_trains_the_ways_and_tells_which_was_best(picture_recipe):
    document = json.loads(run("advise", picture_recipe(), "--measure", "--policy", "head", "scratch", "--examples", "16", "--json"))
    assert set(document["measured"]) == {"head", "scratch"}
    assert all(0.0 <= value <= 1.0 for value in document["measured"].values())
    assert document["verdict"].startswith("Best was")


@pytest.fixture
def half_known(picture_recipe, tmp_path):
    """A recipe of two tasks, of which the validation pictures know both kinds of the first alone, or of none."""

    def write(known: bool):
        lines = []
        for number in range(16):
            kind, held_out = ("left", "right")[number % 2], number >= 12
            labels = {"left": 1 - number % 2 if known or not held_out else 1, "late": None if held_out else number // 2 % 2}
            split = "validation" if held_out else "train"
            lines.append(json.dumps({"image_filepath": f"halves/{kind}/{number}.png", "labels": labels, "split": split}))
        (tmp_path / "halves.jsonl").write_text("\n".join(lines))
        recipe = picture_recipe()
        recipe.write_text(recipe.read_text().replace('["halves"]', '["halves.jsonl"]'))
        return recipe

    return write


def test_a_task_that_the_validation_pictures_do_not_know_is_left_out_of_the_measure(half_known, tmp_path):
    recipe = half_known(known=True)
    done = CliRunner().invoke(app, ["advise", str(recipe), "--measure", "--policy", "scratch", "--json"])
    assert done.exit_code == 0, done.output
    assert "validation pictures are all of one kind: late" in done.stderr
    assert 0.0 <= json.loads(done.stdout)["measured"]["scratch"] <= 1.0
    assert "late: none of the pictures to report on has a label" in run("image", "train", recipe, "--out", tmp_path / "run")


def test_nothing_is_measured_on_labels_of_one_kind(half_known):
    from speechtl.errors import ManifestError

    with pytest.raises(ManifestError, match="nothing can be measured"):
        CliRunner().invoke(app, ["advise", str(half_known(known=False)), "--measure"], catch_exceptions=False)


def test_an_encoder_of_sound_is_refused_for_pictures_and_measured_by_force(picture_recipe, monkeypatch, capsys, embedding_path):
    recipe = picture_recipe("speech-embedding", "pretrained")
    from speechtl.image import backbones

    monkeypatch.setattr(backbones, "BACKBONES", dict(backbones.BACKBONES))
    assert "another type" in run("advise", recipe)
    monkeypatch.setattr("sys.argv", ["speechtl", "advise", str(recipe), "--measure"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert "pretrained on audio" in capsys.readouterr().err
    forced = json.loads(run("advise", recipe, "--measure", "--force", "--policy", "head", "--examples", "8", "--json"))
    assert not forced["transfer"]
    assert 0.0 <= forced["measured"]["head"] <= 1.0


def test_a_wake_word_recipe_is_advised_on_too(corpus, known_tiny):
    document = json.loads(run("advise", corpus / "word.toml", "--json"))
    assert document["policy"] == "head"
    assert any("recordings for each of 2 outputs" in reason for reason in document["reasons"])


@pytest.mark.slow
def test_a_wake_word_s_ways_are_measured_on_people_kept_out(corpus, known_tiny):
    document = json.loads(run("advise", corpus / "word.toml", "--measure", "--policy", "head", "--json"))
    assert document["measure"] == "recall"
    assert 0.0 <= document["measured"]["head"] <= 1.0


def test_a_recipe_that_is_not_there_is_one_sentence(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["speechtl", "advise", "none.toml"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert "none.toml does not exist" in capsys.readouterr().err
