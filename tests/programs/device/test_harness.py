import getpass
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[3] / "device" / "harness.py"
SSHD = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/sbin")


@pytest.fixture
def program(load_program):
    return load_program("device/harness")


class Device:
    """An ssh server on loopback with keys of its own, and what the harness needs to log in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("host_key", "user_key", "other_key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
        (folder / "authorized_keys").write_text((folder / "user_key.pub").read_text())
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        host_key = (folder / "host_key.pub").read_text().split()
        (folder / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {host_key[0]} {host_key[1]}\n")
        (folder / "sshd_config").write_text(
            f"ListenAddress 127.0.0.1:{self.port}\nHostKey {folder}/host_key\nAuthorizedKeysFile {folder}/authorized_keys\n"
            f"PidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n"
        )

    def options(self, key: str = "user_key") -> list[str]:
        known = f"UserKnownHostsFile={self.folder / 'known_hosts'}"
        options = ("BatchMode=yes", "StrictHostKeyChecking=yes", known, "GlobalKnownHostsFile=/dev/null")
        return [*("--port", str(self.port), "--identity", str(self.folder / key)), *(f"--ssh-option={option}" for option in options)]

    @property
    def host(self) -> str:
        return f"{getpass.getuser()}@127.0.0.1"


@pytest.fixture(scope="module")
def device(tmp_path_factory):
    """A running sshd; skips where there is none, or where it lets nobody in."""
    if SSHD is None or shutil.which("ssh") is None:
        pytest.skip("no ssh server or client is installed (Debian: openssh-server, openssh-client)")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # as root, sshd wants this folder, which its service makes
    device = Device(tmp_path_factory.mktemp("sshd"))
    with (device.folder / "log").open("wb") as log:
        server = subprocess.Popen([SSHD, "-D", "-e", "-f", str(device.folder / "sshd_config")], stdin=subprocess.DEVNULL, stderr=log)
    try:
        _wait(device, server)
        yield device
    finally:
        server.terminate()
        server.wait(20)


def _wait(device: Device, server: subprocess.Popen) -> None:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", device.port), 1).close()
            break
        except OSError:
            time.sleep(0.05)
        if server.poll() is not None:
            pytest.skip(f"sshd does not start here: {(device.folder / 'log').read_text().strip()[-200:]}")
    command = ["ssh", "-p", str(device.port), "-i", str(device.folder / "user_key"), "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes"]
    command += ["-o", f"UserKnownHostsFile={device.folder / 'known_hosts'}", device.host, "true"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        pytest.skip(f"sshd lets nobody in here: {done.stderr.strip()[-200:]}")


REMOTE = f"env PYTHONPATH={PROGRAM.parents[1]} {sys.executable} -m speechtl"  # this checkout, wherever another one is installed


def leftovers() -> set[Path]:
    return set(Path("/tmp").glob("tmp.*/*.wake"))


@pytest.mark.slow
def test_a_device_is_measured_over_ssh_and_compared_with_this_machine(program, device, tiny_bundle, tmp_path, capsys):
    before = leftovers()
    bundle = tmp_path / "it's my word.wake"  # a name that a shell would stumble over
    bundle.write_bytes(tiny_bundle.read_bytes())
    arguments = [device.host, str(bundle), *device.options(), "--remote", REMOTE, "--out", str(tmp_path / "reports"), "--repetitions", "1"]
    assert program.main([*arguments, "--graph", "model.onnx", "--plot", str(tmp_path / "c.png")]) == 0, capsys.readouterr().err
    said = capsys.readouterr()
    assert "Scores are the same, bit for bit." in said.out
    assert "| cpu_ms_per_second " in said.out
    names = sorted(path.name for path in (tmp_path / "reports").iterdir())
    assert names == [re.sub("[^A-Za-z0-9.]", "_", f"device-{device.host}.json").replace("device_", "device-"), "workstation.json"]
    there, here = (json.loads((tmp_path / "reports" / name).read_text()) for name in names)
    assert there["bundle"] == here["bundle"]
    assert there["process"] != here["process"]
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")
    assert leftovers() == before


@pytest.mark.slow
def test_a_bundle_for_pictures_is_measured_over_ssh(program, device, halves, tmp_path, capsys):
    where = [device.host, str(halves / "halves.wake"), *device.options()]
    arguments = [*where, "--remote", REMOTE, "--out", str(tmp_path), "--repetitions", "1"]
    assert program.main([*arguments, "--plot", str(tmp_path / "c.png")]) == 0, capsys.readouterr().err
    said = capsys.readouterr().out
    assert "| cpu_ms_per_picture " in said
    assert "Scores are the same, bit for bit." in said
    assert program.main([*arguments, "--engine", "tflite-runtime"]) == 2
    assert "could not measure the bundle" in (said := capsys.readouterr().err)
    assert "which only runs in onnxruntime, not in 'tflite-runtime'" in said


def test_a_broken_budget_is_exit_code_1(program, device, tiny_bundle, tmp_path, capsys):
    (tmp_path / "b.toml").write_text('[[budget]]\nmeasure = "peak_mb"\nat_most = 1\n')
    arguments = [device.host, str(tiny_bundle), *device.options(), "--remote", REMOTE, "--out", str(tmp_path), "--repetitions", "1"]
    assert program.main([*arguments, "--budget", str(tmp_path / "b.toml")]) == 1
    said = capsys.readouterr()
    assert said.out.count("BROKEN:") == 2
    assert "a budget is exceeded" in said.err


@pytest.mark.parametrize(
    ("remote", "says"),
    [
        ("no-such-speechtl", "has no 'no-such-speechtl'"),
        (f"{REMOTE} --version; exit 9;", "could not measure the bundle"),
        (f"{REMOTE} no-such-command", "has an older speechtl, whose bench differs (No such command 'no-such-command'.)"),
        ("echo Welcome to my device; true", "sent something other than a report: 'Welcome to my device'"),
        ("true", "sent something other than a report: 'nothing'"),
        ("echo '{}'; true", "is not a benchmark report"),
    ],
)
def test_a_device_that_gives_no_report_is_one_sentence(program, device, tiny_bundle, tmp_path, capsys, remote, says):
    before = leftovers()
    code = program.main([device.host, str(tiny_bundle), *device.options(), "--remote", remote, "--out", str(tmp_path)])
    said = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("Measuring")]
    assert code == 2
    assert len(said) == 1
    assert says in said[0]
    assert leftovers() == before


def test_an_error_of_the_remote_speechtl_is_passed_on(program, device, tiny_bundle, tmp_path, capsys):
    arguments = [device.host, str(tiny_bundle), *device.options(), "--remote", REMOTE, "--out", str(tmp_path)]
    assert program.main([*arguments, "--graph", "other.onnx"]) == 2
    assert "could not measure the bundle" in (said := capsys.readouterr().err)
    assert "has no graph 'other.onnx'" in said


def test_a_device_that_does_not_finish_is_given_up(program, device, tiny_bundle, tmp_path, capsys):
    arguments = [device.host, str(tiny_bundle), *device.options(), "--remote", "sleep 5; true", "--out", str(tmp_path), "--timeout", "1"]
    assert program.main(arguments) == 2
    assert "did not finish within 1 s; give it more with --timeout" in capsys.readouterr().err


@pytest.mark.slow
def test_a_place_that_cannot_be_written_to_after_all_is_one_sentence(program, device, tiny_bundle, tmp_path, capsys):
    arguments = [
        device.host,
        str(tiny_bundle),
        *device.options(),
        "--remote",
        f"rmdir {tmp_path / 'out'}; touch {tmp_path / 'out'}; {REMOTE}",
    ]
    (tmp_path / "out").mkdir()
    assert program.main([*arguments, "--out", str(tmp_path / "out"), "--repetitions", "1"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"File exists ({tmp_path / 'out'})."


def test_a_key_that_is_not_accepted_and_a_port_where_nobody_listens_are_said(program, device, tiny_bundle, tmp_path, capsys):
    assert program.main([device.host, str(tiny_bundle), *device.options("other_key"), "--out", str(tmp_path)]) == 2
    assert "cannot be reached with ssh" in (said := capsys.readouterr().err)
    assert "Permission denied" in said
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        arguments = [device.host, str(tiny_bundle), *device.options(), "--port", str(free.getsockname()[1]), "--out", str(tmp_path)]
        assert program.main(arguments) == 2
    assert "Connection refused" in capsys.readouterr().err


def test_bad_input_is_said_before_anything_is_connected(program, tiny_bundle, remake_halves, tmp_path, capsys):
    for arguments, says in (
        (["pi", str(remake_halves({"tasks": 3}))], "tasks must be a list"),
        (["pi", str(tmp_path / "none.wake")], "none.wake does not exist"),
        (["pi", str(tiny_bundle), "--identity", str(tmp_path / "key")], "key does not exist; give the private key"),
        (["pi", str(tiny_bundle), "--budget", str(tmp_path / "none.toml")], "none.toml does not exist"),
        (["pi", str(tiny_bundle), "--plot", "c.doc"], "must end in .png"),
        (["pi", str(tiny_bundle), "--plot", str(tiny_bundle / "c.png")], "c.png cannot be written"),
        (["pi", str(tiny_bundle), "--out", str(tiny_bundle)], "workstation.json cannot be written"),
    ):
        assert program.main(arguments) == 2
        assert says in capsys.readouterr().err
    for wrong in (
        ["pi", str(tiny_bundle), "--port", "x"],
        ["-oProxyCommand=reboot", str(tiny_bundle)],
        ["pi", str(tiny_bundle), "--port", "x"],
        ["pi"],
    ):
        with pytest.raises(SystemExit) as stopped:
            program.main(wrong)
        assert stopped.value.code == 2


FAKE_EMULATOR = """
import subprocess, sys
assert sys.argv[1:4] == ["--machine", "arm64", "--run"], sys.argv
open(__file__ + ".calls", "a").write(sys.argv[5] + "\\n")
sys.exit(subprocess.run([sys.executable, *sys.argv[4:]]).returncode)
"""


@pytest.mark.slow
def test_an_emulated_processor_is_measured_by_emulators_alone(program, tiny_bundle, tmp_path, monkeypatch, capsys):
    emulator = tmp_path / "an emulator.py"
    emulator.write_text(FAKE_EMULATOR)
    monkeypatch.setattr(program, "EMULATE", emulator)
    arguments = ["--emulate", "arm64", str(tiny_bundle), "--out", str(tmp_path), "--repetitions", "1", "--graph", "model.onnx"]
    assert program.main(arguments) == 0, capsys.readouterr().err
    assert "bit for bit" in capsys.readouterr().out
    report = json.loads((tmp_path / "device-emulated_arm64.json").read_text())
    assert report["kind"] == "speechtl bench"
    # bench itself, and in it a process to warm up and one to measure
    worker = "speechtl.bench.worker"
    assert (tmp_path / "an emulator.py.calls").read_text().split() == ["speechtl", worker, worker]


@pytest.mark.slow
def test_arm64_gives_the_scores_of_this_machine(program, tiny_bundle, tmp_path, capsys):
    from speechtl.files import cache_folder

    if not program.EMULATE.is_file() or shutil.which("qemu-aarch64-static") is None:
        pytest.skip("QEMU is not installed (Debian: qemu-user-static)")
    if not list(cache_folder().glob("emulation/arm64-*/complete")):
        pytest.skip("the arm64 packages are not in the cache; fetch them by running device/emulation/emulate.py once")
    assert program.main(["--emulate", "arm64", str(tiny_bundle), "--out", str(tmp_path), "--repetitions", "1"]) == 0
    said = capsys.readouterr().out
    assert "1e-04 allowed: ok" in said or "bit for bit" in said


def test_a_machine_without_ssh_is_told_which_package_to_install(program, tiny_bundle, monkeypatch, capsys):
    monkeypatch.setattr(program.shutil, "which", lambda _name: None)
    assert program.main(["pi", str(tiny_bundle)]) == 2
    assert "sudo apt install openssh-client" in capsys.readouterr().err
