"""The reference pages are what training/reference.py makes of the recipe models and of the command line."""

import re
import runpy

import pytest

from speechtl.audio.pretraining.recipe import read_pretraining_recipe
from speechtl.audio.recipe import make_recipe
from speechtl.image.recipe import make_image_recipe
from speechtl.toml_files import read_toml
from tests.documents.pages import ROOT, blocks


@pytest.fixture(scope="module")
def program():
    return runpy.run_path(str(ROOT / "training" / "reference.py"))


def test_the_pages_are_up_to_date(program, capsys):
    assert program["main"](["--check"]) == 0, capsys.readouterr().out


def test_a_page_that_is_out_of_date_is_named(program, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(program["main"].__globals__, "ROOT", tmp_path)
    monkeypatch.setitem(program["main"].__globals__, "pages", lambda: {tmp_path / "cli" / "README.md": "new\n"})
    assert program["main"](["--check"]) == 1
    assert "cli/README.md is out of date; run: python training/reference.py" in capsys.readouterr().out
    assert program["main"]([]) == 0
    assert (tmp_path / "cli" / "README.md").read_text() == "new\n"
    assert program["main"](["--check"]) == 0


def test_every_key_and_every_option_is_described(program):
    undescribed = [line for line in program["recipe_reference"]().splitlines() if " = " in line and "# " not in line.lstrip("# ")]
    assert undescribed == []
    assert re.findall(r"^\| `(?:--.*|[A-Z.]+)` \|\s*\|$", program["command_reference"](), re.M) == []


def test_every_command_has_a_section_and_an_example(program):
    page = program["command_reference"]()
    commands = [name for name, command in program["walk"]() if not getattr(command, "commands", None)]
    assert len(commands) > 20
    for name in commands:
        (section,) = re.findall(rf"^## {re.escape(name)}\n(.*?)(?=^## |\Z)", page, re.S | re.M)
        assert f"Example: {name.replace('bench run', 'bench')}" in section


def recipe_block(part: str) -> str:
    (block,) = [block for block in blocks(ROOT / "training" / "recipes" / "README.md", "toml") if part in block]
    return block


@pytest.fixture
def shown(tmp_path):
    def read(block: str) -> dict:
        (tmp_path / "shown.toml").write_text(block, encoding="utf-8")
        return read_toml(tmp_path / "shown.toml")

    return read


def test_the_recipes_that_are_shown_have_the_defaults(shown, tmp_path):
    word, pictures = shown(recipe_block("negative_minutes")), shown(recipe_block("backbone"))
    least = {"name": word["name"], "data": {key: word["data"][key] for key in ("positives", "negatives")}}
    assert make_recipe(word, base=tmp_path, source="shown") == make_recipe(least, base=tmp_path, source="least")
    least = {"name": pictures["name"], "data": {"train": pictures["data"]["train"]}}
    assert make_image_recipe(pictures, base=tmp_path, source="shown") == make_image_recipe(least, base=tmp_path, source="least")


def test_the_recipe_for_pretraining_that_is_shown_has_the_defaults(tmp_path):
    (tmp_path / "shown.toml").write_text(recipe_block("transcribed"))
    (tmp_path / "least.toml").write_text('name = "phones"\n')
    given = {"speech.hours": 1.0}  # there must be something to learn from
    assert read_pretraining_recipe(tmp_path / "shown.toml", given) == read_pretraining_recipe(tmp_path / "least.toml", given)
