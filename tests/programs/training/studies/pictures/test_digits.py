import pytest
import torch


@pytest.fixture
def program(load_program):
    torch.set_num_threads(1)
    return load_program("training/studies/pictures/digits")


def test_drawn_digits_are_of_every_kind_and_from_the_pool(program):
    labels = torch.arange(200).float()[:, None] % 10
    pool = torch.arange(50, 150)
    chosen = program._drawn(labels, pool, 30, seed=1)
    assert len(set(chosen.tolist())) == 30
    assert set(chosen.tolist()) <= set(pool.tolist())
    assert labels[chosen, 0].long().bincount().tolist() == [3] * 10


def test_without_mnist_the_small_digits_of_scikit_learn_are_taken(program, tmp_path, monkeypatch):
    monkeypatch.setenv("SPEECHTL_IMAGES", str(tmp_path))
    digits, labels, name = program.load_digits()
    assert name == "scikit-learn's digits"
    assert digits.shape == (1797, 8, 8)
    assert digits.max() == 255
    assert labels.shape == (1797, 1)


def test_raw_pixels_from_few_digits_are_better_than_chance(program, tmp_path, monkeypatch):
    monkeypatch.setenv("SPEECHTL_IMAGES", str(tmp_path))
    monkeypatch.setattr(program, "SETUPS", {"raw pixels": program.Setup(None, program.HeadOnly(), 60, 1e-3)})
    points = program.main(["--out", str(tmp_path / "out"), "--amounts", "100", "--seeds", "1", "--test", "200"])
    assert points[0].value > 0.5
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"digits.csv", "digits.png"}


@pytest.mark.real
@pytest.mark.slow
def test_fifty_digits_are_enough_for_four_of_five(program, image_weights):
    digits, labels, name = program.load_digits()
    assert name == "MNIST"
    order = torch.randperm(len(digits), generator=torch.Generator().manual_seed(0))
    chosen = program._drawn(labels, order[:1000], 50, seed=0)
    assert program.train_once(program.SETUPS["only the new layer"], digits, labels, chosen, order[1000:1300], 0) >= 0.8


@pytest.fixture
def image_weights():
    from speechtl.image.manifest import image_data

    folder = image_data()
    if folder is None or not (folder / "weights" / "squeezenet1_0.safetensors").is_file():
        pytest.skip("neither SPEECHTL_IMAGES nor SPEECHTL_DATA leads to the pictures and weights: they are not here")
