"""The tiny word recipe, with few rooms for validation."""

import pytest


@pytest.fixture
def few_rooms(monkeypatch):
    from speechtl.audio.training import validation

    monkeypatch.setattr(validation, "ROOMS", 1)


@pytest.fixture
def recipe(corpus):
    from speechtl.audio.recipe import read_recipe

    return read_recipe(corpus / "word.toml")
