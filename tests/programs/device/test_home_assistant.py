"""The add-on for Home Assistant: its description, and the process that it runs."""

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from speechtl import __version__

FOLDER = Path(__file__).parents[3] / "device" / "home-assistant"


@pytest.fixture
def program(load_program):
    return load_program("device/home-assistant/run")


@pytest.fixture
def described() -> dict:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    return yaml.safe_load((FOLDER / "config.yaml").read_text(encoding="utf-8"))


def test_the_description_has_what_home_assistant_requires(described):
    assert {"name", "version", "slug", "description", "arch"} <= set(described)
    assert described["version"] == __version__
    assert re.fullmatch(r"[a-z0-9_-]+", described["slug"])
    assert described["arch"] == ["amd64", "aarch64"]
    assert described["discovery"] == ["wyoming"]
    assert "share:rw" in described["map"]


def test_every_option_may_be_left_out_and_is_explained(described):
    yaml = pytest.importorskip("yaml")
    types = [one[0] if isinstance(one, list) else one for one in described["schema"].values()]
    assert all(kind.endswith("?") for kind in types)
    assert described["options"] == {}
    explained = yaml.safe_load((FOLDER / "translations" / "en.yaml").read_text(encoding="utf-8"))
    assert explained["configuration"].keys() == described["schema"].keys()
    assert explained["network"].keys() == described["ports"].keys() == {"10400/tcp"}
    guide = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert all(f"`{option}`" in guide for option in described["schema"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, []),
        ({"threshold": 0.6}, ["--threshold", "0.6"]),
        (
            {"threshold": 0.6, "word_thresholds": ["computer=0.7", ""], "refractory_seconds": 2},
            ["--threshold", "0.6", "--threshold", "computer=0.7", "--refractory", "2"],
        ),
    ],
)
def test_options_become_those_of_serve(program, options, words):
    from tests.documents.test_commands import parse

    command = program.serve_command(options)
    assert command == ["speechtl", "serve", "/share/speechtl", "--uri", "tcp://0.0.0.0:10400", *words]
    parse([str(FOLDER) if word == "/share/speechtl" else word for word in command[1:]])


class Supervisor(HTTPServer):
    """Home Assistant's supervisor, as far as it is asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Asked)
        self.asked: list[tuple] = []
        self.address = f"http://127.0.0.1:{self.server_address[1]}"


class Asked(BaseHTTPRequestHandler):
    def do_POST(self):
        content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, self.headers["Authorization"], content))
        self.send_response(200 if self.headers["Authorization"] == "Bearer right" else 401)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def supervisor():
    server = Supervisor()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def served(tmp_path):
    """The port of a running server of an empty folder."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    code = "from speechtl.cli.app import main; main()"
    words = ["serve", str(tmp_path), "--uri", f"tcp://127.0.0.1:{port}"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen([sys.executable, "-c", code, *words], env=environment, stderr=subprocess.DEVNULL) as process:
        yield port
        process.terminate()


def test_a_server_that_responds_is_announced_to_the_supervisor(program, supervisor, served, capsys):
    assert not program.responds(1)
    assert program.announce(supervisor.address, "right", served, 60.0) == 0
    assert program.responds(served)
    uri = f"tcp://{socket.gethostname()}:{served}"
    assert supervisor.asked == [("/discovery", "Bearer right", {"service": "wyoming", "config": {"uri": uri}})]
    assert uri in capsys.readouterr().out
    assert program.announce(supervisor.address, "wrong", served, 60.0) == 1
    assert "HTTP Error 401: Unauthorized). Add the integration Wyoming Protocol by hand" in capsys.readouterr().err


def test_a_server_that_does_not_respond_is_not_announced(program, capsys):
    begun = time.monotonic()
    assert program.announce("http://127.0.0.1:1", "", 1, 0.1) == 1
    assert time.monotonic() - begun < 5.0
    assert "does not respond after 0 s; it is not announced" in capsys.readouterr().err
