"""All studies say which command to type."""

import ast
from pathlib import Path

import pytest

STUDIES = Path(__file__).parents[4] / "training" / "studies"
MODULES = {"mnist", "rival_curves", "rival_engines", "scenes", "tracks"}  # read by studies
PROGRAMS = sorted(path for place in ("*.py", "pictures/*.py") for path in STUDIES.glob(place) if path.stem not in MODULES)


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_the_docstring_has_the_command(path):
    described = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    assert f"python training/studies/{path.relative_to(STUDIES).as_posix()} " in described
