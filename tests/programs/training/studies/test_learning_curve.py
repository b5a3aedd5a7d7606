import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    monkeypatch.setenv("SPEECHTL_CACHE", str(tmp_path / "cache"))
    random = np.random.default_rng(0)
    for kind in ("dark", "light"):
        (tmp_path / "pictures" / kind).mkdir(parents=True)
        for index in range(16):
            values = random.integers(0, 120, (20, 20)) + 100 * (kind == "light")
            Image.fromarray(values.astype(np.uint8)).save(tmp_path / "pictures" / kind / f"{index}.png")
    (tmp_path / "light.toml").write_text(
        'name = "light"\n[data]\ntrain = ["pictures"]\n[pictures]\nsize = 16\n[transfer]\nbackbone = "small"\nweights = "scratch"\n'
        "[train]\nsteps = 10\nbatch_size = 8\n"
    )
    return tmp_path / "light.toml"


def test_a_curve_of_pictures_is_written_and_drawn(load_program, recipe, tmp_path):
    arguments = [
        str(recipe),
        "--amounts",
        "4",
        "400",
        "1000",
        "--policies",
        "head",
        "scratch",
        "--seeds",
        "2",
        "--out",
        str(tmp_path / "out"),
    ]
    points = load_program("training/studies/learning_curve").main(arguments)
    assert [(point.policy, point.examples, point.seed) for point in points][:3] == [("head", 4, 0), ("head", 4, 1), ("scratch", 4, 0)]
    assert {point.examples for point in points} == {4, 26}  # of 32, some are kept to report on
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"curve.csv", "curve.png"}


@pytest.mark.slow
def test_a_curve_of_a_wake_word_uses_the_same_program(load_program, corpus, known_tiny, tmp_path):
    arguments = [str(corpus / "word.toml"), "--amounts", "5", "--policies", "head", "--seeds", "1", "--out", str(tmp_path / "out")]
    (point,) = load_program("training/studies/learning_curve").main(arguments)
    assert 0.0 <= point.value <= 1.0
