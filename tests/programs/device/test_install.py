import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[3] / "device"
INSTALL = FOLDER / "install.sh"
SERVICES = ["speechtl", "speechtl-serve"]


@pytest.fixture
def install(tmp_path):
    """Return the function that runs the installer, with stand-ins for the programs with which it would begin to install."""
    stubs = tmp_path / "stubs"
    stubs.mkdir()
    for name, does in {"apt-get": "exit 1", "dpkg-query": "exit 1", "dpkg": "echo arm64"}.items():
        (stubs / name).write_text(f"#!/bin/sh\n{does}\n")
        (stubs / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{stubs}:{os.environ['PATH']}"}

    def run(*arguments, locale: str = "C.UTF-8") -> subprocess.CompletedProcess:
        command = ["bash", INSTALL, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment | {"LC_ALL": locale})

    return run


@pytest.mark.parametrize("program", ["shellcheck", "bash -n"])
def test_the_installer_is_sound_shell(program):
    name, *options = program.split()
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    done = subprocess.run([name, *options, INSTALL], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_help_is_the_comment_at_the_top(install):
    done = install("--help")
    assert done.returncode == 0
    assert "sudo device/install.sh --serve computer.wake" in done.stdout
    assert "set -euo" not in done.stdout


def refused(done: subprocess.CompletedProcess, sentence: str) -> None:
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"install.sh: {sentence}\n")


def test_an_unknown_option_is_refused(install):
    refused(install("--bla"), f"Unknown option --bla. See: {INSTALL} --help")


@pytest.mark.skipif(os.geteuid() == 0, reason="this is root")
def test_who_is_not_root_is_told_to_be(install):
    refused(install("a.wake"), f"Run it as root: sudo {INSTALL} a.wake")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root comes that far")
@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("none.wake", "{} does not exist; give a bundle made with: speechtl export RUN -o NAME.wake"),
        ("", "{} does not exist; give a bundle made with: speechtl export RUN -o NAME.wake"),  # a folder
        ("word.txt", "{} is not a bundle; bundle names end with .wake"),
        ("a&b.wake", "{}: the settings can hold letters, digits and . _ - in a name only; rename it."),
    ],
)
def test_what_is_no_bundle_that_can_be_installed_is_refused_before_anything_is_changed(install, tmp_path, name, sentence):
    for file in ("word.txt", "a&b.wake"):
        (tmp_path / file).touch()
    refused(install(tmp_path / name), sentence.format(tmp_path / name))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root comes that far")
@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_a_word_with_letters_beyond_ascii_is_accepted_in_every_locale(install, tmp_path, locale):
    (tmp_path / "größe_हिंदी.wake").touch()
    done = install(tmp_path / "größe_हिंदी.wake", locale=locale)
    assert (done.returncode, done.stderr) == (1, "")  # where the stand-in for apt-get fails
    assert done.stdout.startswith("Installing Debian packages")


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_is_walled_in(service):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", FOLDER / f"{service}.service"], capture_output=True, text=True, check=False
    )
    exposure = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert exposure, done.stderr
    assert float(exposure[1]) < 3.0  # up to 5 is called "fair" or better


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_is_one_that_systemd_understands(service, tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    text = (FOLDER / f"{service}.service").read_text().replace("/opt/speechtl/bin/speechtl", "/bin/true")
    (tmp_path / f"{service}.service").write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", tmp_path / f"{service}.service"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_can_write_to_its_cache(service):
    text = (FOLDER / f"{service}.service").read_text()
    assert "CacheDirectory=speechtl\n" in text
    assert " SPEECHTL_CACHE=/var/cache/speechtl\n" in text


@pytest.mark.parametrize("service", SERVICES)
def test_every_setting_that_a_service_uses_is_in_the_settings_file(service):
    used = set(re.findall(r"\$([A-Z]+_[A-Z]+)", (FOLDER / f"{service}.service").read_text()))
    settings = set(re.findall(r"^([A-Z_]+)=", (FOLDER / "speechtl.conf").read_text(), re.MULTILINE))
    assert len(used) == 2
    assert used <= settings
