"""The command line in this process, where what is heavy to import is imported already."""

import subprocess
import sys

import pytest

from speechtl.cli.app import main


@pytest.fixture
def call(monkeypatch, capsys):
    """Run the command line in this process, where what is heavy to import is imported already."""

    def inside(*arguments, cwd=None) -> subprocess.CompletedProcess:
        monkeypatch.setattr(sys, "argv", ["speechtl", *map(str, arguments)])
        if cwd is not None:
            monkeypatch.chdir(cwd)
        with pytest.raises(SystemExit) as stopped:
            main()
        said = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, stopped.value.code or 0, said.out, said.err)

    return inside
