import re
import shutil
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "device"
INSTALL = FOLDER / "install.sh"
SERVICES = ["speechtl", "speechtl-serve"]


def install(*arguments) -> subprocess.CompletedProcess:
    return subprocess.run(["bash", INSTALL, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("program", ["shellcheck", "bash -n"])
def test_the_installer_is_sound_shell(program):
    name, *options = program.split()
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    done = subprocess.run([name, *options, INSTALL], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_help_is_the_comment_at_the_top():
    done = install("--help")
    assert done.returncode == 0
    assert "sudo device/install.sh --serve computer.wake" in done.stdout
    assert "set -euo" not in done.stdout


def test_what_cannot_work_is_refused_before_anything_is_changed(tmp_path):
    (tmp_path / "a&b.wake").write_bytes(b"")
    for arguments in (["--bla"], [tmp_path / "none.wake"], [tmp_path], [tmp_path / "a&b.wake"]):
        done = install(*arguments)
        assert done.returncode == 2
        assert done.stdout == ""
        assert done.stderr.startswith("install.sh: ")
        assert done.stderr.count("\n") == 1


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
def test_every_setting_that_a_service_uses_is_in_the_settings_file(service):
    used = set(re.findall(r"\$([A-Z]+_[A-Z]+)", (FOLDER / f"{service}.service").read_text()))
    settings = set(re.findall(r"^([A-Z_]+)=", (FOLDER / "speechtl.conf").read_text(), re.MULTILINE))
    assert len(used) == 2
    assert used <= settings
