from speechtl.image import train as training
from speechtl.image.recipe import read_image_recipe
from speechtl.study import trials_image as trials


def test_random_weights_learn_at_one_rate_whatever_the_way_is_called(shapes, monkeypatch):
    tried = []

    def fit_pictures(network, pixels, labels, policy, *rest):
        tried.append(policy)
        return training.fit_pictures(network, pixels, labels, policy, *rest)

    monkeypatch.setattr(trials, "fit_pictures", fit_pictures)
    known = trials.ImageTrials(read_image_recipe(shapes / "shapes.toml"))  # its recipe says scratch
    assert known.run("scratch", 16) == known.run("all", 16)
    assert [repr(policy) for policy in tried] == ["AllLayers(rate_decay=1.0)"] * 2
