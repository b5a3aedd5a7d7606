import json
import socket
import sys

import pytest

from speechtl.cli.app import main
from speechtl.runtime.listen.tally_file import append_lines


@pytest.fixture
def refused(monkeypatch, capsys):
    """Run `speechtl serve` as it must not be; return the one sentence that it answers with."""

    def run(*arguments) -> str:
        monkeypatch.setattr(sys, "argv", ["speechtl", "serve", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        said = capsys.readouterr()
        assert stopped.value.code == 2
        assert said.out == ""
        assert said.err.startswith("speechtl: ")
        assert said.err.count("\n") == 1
        return said.err

    return run


def test_a_port_in_use_is_exit_code_2(refused, tiny_bundle):
    with socket.create_server(("127.0.0.1", 0)) as other:
        assert "is in use by another program" in refused(tiny_bundle, "--uri", f"tcp://127.0.0.1:{other.getsockname()[1]}")


def test_bad_addresses_and_bundles_are_exit_code_2(refused, tiny_bundle, tmp_path):
    assert "not an address to listen at" in refused(tiny_bundle, "--uri", "localhost:10400")
    assert "does not exist" in refused(tmp_path / "none.wake")
    assert "could not be distinguished" in refused(tiny_bundle, tiny_bundle)
    assert "has no graph" in refused(tiny_bundle, "--graph", "none.onnx")
    assert "is not known" in refused(tiny_bundle, "--engine", "none")
    assert "from this machine only" in refused(tiny_bundle, "--zeroconf", "kitchen")


@pytest.mark.parametrize(("module", "extra", "options"), [("wyoming", "serve", []), ("zeroconf", "zeroconf", ["--zeroconf", "kitchen"])])
def test_a_missing_package_is_named_with_the_pip_command(refused, tiny_bundle, monkeypatch, module, extra, options):
    for name in [name for name in sys.modules if name.startswith(("speechtl.runtime.server", module)) and name != "speechtl.cli.device"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Forbid(module), *sys.meta_path])
    assert f"pip install 'speechtl[{extra}]'" in refused(tiny_bundle, *options)


class Forbid:
    """An installation without a package."""

    def __init__(self, module: str) -> None:
        self.module = module

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == self.module:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def test_a_tally_is_printed_for_people_and_for_programs(call, tmp_path):
    about = {"word": "computer", "bundle": "0123456789ab", "threshold": 0.5}
    heard = [{"what": "heard", **about, "seconds": 600.0}] * 6
    append_lines(tmp_path / "tally", [*heard, {"what": "event", **about, "clip": None}])
    with (tmp_path / "tally").open("a") as file:
        file.write("{torn")
    done = call("tally", tmp_path / "tally", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)[0]["false_accepts"] == [0, 1]
    assert done.stderr == f"speechtl: 1 line of {tmp_path}/tally cannot be used, and is left out.\n"
    assert "events         1: 1 without a verdict" in call("tally", tmp_path / "tally").stdout
    assert "does not exist. A tally is written by" in call("tally", tmp_path / "none").stderr
