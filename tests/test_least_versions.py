"""The least versions that pyproject.toml allows do what the newest do.

The tests here run the device's commands in an environment of the base install's least versions. The whole suite runs in
the least versions of everything with:

    python3 -m venv .least && .least/bin/pip install $(python tests/test_least_versions.py dev)
    PYTHONPATH=. .least/bin/pytest -m "not slow"
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile
from packaging.requirements import Requirement
from packaging.version import Version

from speechtl.cache import environment
from speechtl.errors import SpeechtlError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]


def least(*extras: str) -> list[str]:
    """The base install and these extras, each package in the least version that pyproject.toml allows on this machine."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pinned: dict[str, Version] = {}

    def add(lines: list[str]) -> None:
        for line in map(Requirement, lines):
            if line.marker is not None and not line.marker.evaluate():
                continue
            if line.name == project["name"]:
                for extra in sorted(line.extras):
                    add(project["optional-dependencies"][extra])
                continue
            (version,) = (Version(limit.version) for limit in line.specifier if limit.operator in (">=", "=="))
            pinned[line.name] = max(version, pinned.get(line.name, version))

    add(project["dependencies"])
    for extra in extras:
        add(project["optional-dependencies"][extra])
    return [f"{name}=={version}" for name, version in pinned.items()]


@pytest.fixture(scope="module")
def speechtl(tmp_path_factory):
    """Run the command line in an environment of the least versions; skipped where that cannot be made."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPEECHTL_CACHE", str(tmp_path_factory.mktemp("least")))
        try:
            python = environment("tests", "least", "the least versions", [least("image", "serve")])
        except SpeechtlError as error:
            pytest.skip(str(error))

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        where = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONNOUSERSITE": "1"}
        return subprocess.run(
            [str(python), "-m", "speechtl", *arguments], capture_output=True, text=True, env=where, timeout=120, check=False
        )

    return run


@pytest.mark.slow
def test_both_graphs_of_a_word_keep_their_scores_in_the_least_versions(speechtl, recorded_run, tmp_path):
    from speechtl.export.bundle import export_run

    export_run(recorded_run(head="conv"), tmp_path / "burst.wake", tflite=False)
    done = speechtl("verify", str(tmp_path / "burst.wake"), "--json")
    assert done.returncode == 0, done.stderr
    assert [(result["graph"], result["ok"]) for result in json.loads(done.stdout)] == [("model.int8.onnx", True), ("model.onnx", True)]


@pytest.mark.slow
def test_words_are_detected_in_the_least_versions(speechtl, tiny_bundle, bursts, tmp_path):
    soundfile.write(tmp_path / "a.wav", bursts((1.0,), 2.0, 44_100), 44_100)
    done = speechtl("detect", str(tiny_bundle), str(tmp_path / "a.wav"), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["name"] == "burst"


@pytest.mark.slow
def test_both_graphs_of_pictures_keep_their_scores_in_the_least_versions(speechtl, halves):
    done = speechtl("image", "verify", str(halves / "halves.wake"), "--json")
    assert done.returncode == 0, done.stderr
    assert [result["graph"] for result in json.loads(done.stdout) if result["ok"]] == ["model.int8.onnx", "model.onnx"]


if __name__ == "__main__":
    print(*least(*sys.argv[1:]))
