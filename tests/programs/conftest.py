"""The programs of the folders training, export and device, as modules."""

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def load_program(monkeypatch):
    """A function that loads a program by its path without ending, `training/peers`; it finds the modules in its own folder."""

    def load(name: str):
        path = ROOT / f"{name}.py"
        monkeypatch.syspath_prepend(path.parent)
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, path.stem, module)  # dataclasses look their module up
        spec.loader.exec_module(module)
        return module

    return load
